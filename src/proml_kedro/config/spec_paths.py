"""What the specs say about a place in the configuration: its keys, and whether names there are the user's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, Discriminator, RootModel, Tag

from proml_kedro.config.catalog import WholeSpec
from proml_kedro.spec.base import Spec


def known_keys(path: Sequence[str], config: Any) -> list[str]:
    """List the keys that may stand at a place; none where names are the user's own, or there is only a value.

    Args:
        path: Parts of the key, from the top.
        config: The whole configuration as plain values: the kind of a component decides about its keys.
    """
    return [key for kind in _kinds_at(path, config) if _is_model(kind) for key in _keys_of(kind)]


def _keys_of(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def is_free(path: Sequence[str], config: Any) -> bool:
    """Tell whether names at this place are the user's own, as those of tables are."""
    return any(get_origin(kind) is dict for kind in _kinds_at(path, config))


def choices_at(path: Sequence[str], config: Any) -> list[str]:
    """List the values that a key may have, as YAML has them, where the specs list them."""
    found: list[str] = []
    for parent in _kinds_at(path[:-1], config) if path else ():
        if _is_model(parent) and issubclass(parent, Spec) and path[-1] in parent.registries:
            found += parent.registries[path[-1]].names()
    for kind in _kinds_at(path, config):
        if get_origin(kind) is Literal:
            found += map(str, get_args(kind))
        elif kind is bool:
            found += ["true", "false"]
    return found


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _kinds_at(path: Sequence[str], config: Any) -> list[Any]:
    kinds: list[Any] = [WholeSpec]
    value = config
    for part in path:
        value = _child(value, part)
        kinds = [kind for parent in kinds for below in _step(parent, part) for kind in _take_apart(below, value)]
    return kinds


def _child(value: Any, part: str) -> Any:
    if isinstance(value, Mapping):
        return value.get(part)
    if isinstance(value, list) and part.isdigit() and int(part) < len(value):
        return value[int(part)]
    return None


def _step(kind: Any, part: str) -> Iterator[Any]:
    if _is_model(kind):
        yield from (field.annotation for name, field in kind.model_fields.items() if part in (name, field.alias))
    elif get_origin(kind) is dict:
        yield get_args(kind)[1]
    elif get_origin(kind) is list:
        yield get_args(kind)[0]


def _take_apart(kind: Any, value: Any) -> Iterator[Any]:
    """Unwrap ``Annotated``, unions, root models and kinds into plain types, given the value there."""
    origin = get_origin(kind)
    if origin is Annotated:
        inner, *notes = get_args(kind)
        yield from _take_apart(_discriminated(inner, notes, value), value)
    elif origin in (Union, UnionType):
        for member in _of_its_kind(get_args(kind), value):
            yield from _take_apart(member, value)
    elif _is_model(kind) and issubclass(kind, RootModel):
        yield from _take_apart(kind.model_fields["root"].annotation, value)
    elif _is_model(kind) and issubclass(kind, Spec):
        yield kind.for_value(value)
    else:
        yield kind


def _of_its_kind(members: Sequence[Any], value: Any) -> Sequence[Any]:
    """Choose the members of a union whose literal ``kind`` is that of the value; all of them when none has it."""
    if not isinstance(value, Mapping):
        return members
    fields = [(member, member.model_fields.get("kind")) for member in members if _is_model(member)]
    return [
        member for member, field in fields if field and value.get("kind", field.default) in get_args(field.annotation)
    ] or members


def _discriminated(kind: Any, notes: list[Any], value: Any) -> Any:
    """Choose the member of a union that the value asks for; the union itself when the value does not say."""
    chooser = next((note.discriminator for note in notes if isinstance(note, Discriminator)), None)
    if not callable(chooser) or value is None:
        return kind
    tag = chooser(value)
    for member in get_args(kind):
        if get_origin(member) is Annotated and Tag(str(tag)) in get_args(member)[1:]:
            return member
    return kind
