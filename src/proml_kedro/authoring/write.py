"""Proposals as commented YAML, and as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from proml_kedro.authoring.draft import Draft, Undecided
from proml_kedro.authoring.features import View
from proml_kedro.authoring.names import mapping, on_one_line, scalar
from proml_kedro.authoring.propose import Proposal
from proml_kedro.authoring.schema import named_by

_WIDE = 110
"""Characters up to which a mapping stands on one line."""
_BLOCKS = ("types", "date_format", "columns")


def problem_yaml(found: Proposal) -> str:
    """Return the problem's file.

    Args:
        found: The problem.
    """
    lines = [named_by("problem"), f"description: {scalar(_description(found))}", "", "tables:"]
    for table in found.tables.values():
        lines += (f"  {one}".rstrip() for one in _table(table.draft))
    lines += ["", "examples:", f"  table: {scalar(found.label.table)}"]
    if found.entities:
        lines.append(f"  entities: {scalar(found.entities)}".ljust(40) + "  # whom or what a row is about")
    if found.moment.column:
        lines.append(f"  timestamp: {scalar(found.moment.column)}".ljust(40) + f"  # {on_one_line(_why_moment(found))}")
    lines += ["", "label:", f"  # {on_one_line(found.label.why)}", f"  expression: {scalar(found.label.expression)}"]
    lines.append(f"  task: {found.label.task}")
    if found.label.drop_when:
        lines.append(f"  drop_when: {scalar(found.label.drop_when)}")
    return "\n".join([*lines, "", f"# {on_one_line(found.split.why)}", f"split: {mapping(found.split.yaml)}", ""])


def _description(found: Proposal) -> str:
    return f"{found.label.column} of {found.label.table}"


def _why_moment(found: Proposal) -> str:
    others = [*found.moment.later, *found.moment.earlier]
    return (
        f"chosen among {found.moment.column}, {', '.join(others)}"
        if others
        else "the moment of a row; UTC without a zone"
    )


def _table(draft: Draft) -> Iterator[str]:
    yield f"{scalar(draft.name)}:"
    for key, value in draft.yaml().items():
        if key not in _BLOCKS:
            yield from _line(f"  {key}: {scalar(value)}", draft.reasons.get(key))
    asked = dict(draft.undecided)
    for block in _BLOCKS:
        values: Mapping[str, str] = getattr(draft, block)
        own = {name: one for name, one in asked.items() if block in {key for key, _ in one.ways.values()}}
        if values:
            yield f"  {block}:"
        for name, value in values.items():
            yield from _line(f"    {scalar(name)}: {scalar(value)}", draft.reasons.get(f"{block}.{name}"))
        for name, one in own.items():
            yield from _ask(name, one, inside=bool(values))
    for name, one in asked.items():
        if not {key for key, _ in one.ways.values()} & set(_BLOCKS):
            yield from _ask(name, one, inside=False)


def _line(text: str, why: str | None) -> Iterator[str]:
    why = on_one_line(why) if why else None
    if why and len(text) + len(why) > _WIDE:
        yield " " * (len(text) - len(text.lstrip())) + f"# {why}"
        yield text
    else:
        yield f"{text}  # {why}" if why else text


def _ask(name: str, one: Undecided, inside: bool) -> Iterator[str]:
    space = "    " if inside else "  "
    asked = f"{one.cell!r} in {name} can be read in {len(one.ways)} ways; take the # off the right line:"
    yield f"{space}# {on_one_line(asked)}"
    yield from (f"{space}# {line}  # {on_one_line(meaning)}" for meaning, line in lines_for(name, one, inside))


def lines_for(name: str, one: Undecided, inside: bool = False) -> Iterator[tuple[str, str]]:
    """Yield what each reading makes of a cell, and the line of YAML for it.

    Args:
        name: The column.
        one: What is not decided of it.
        inside: Whether the line stands inside of its block.
    """
    for meaning, (key, value) in one.ways.items():
        if key in _BLOCKS:
            own = f"{scalar(name)}: {scalar(value)}"
            yield meaning, own if inside else f"{key}: {{{own}}}"
        else:
            yield meaning, f"{key}: {scalar(value)}"


def features_yaml(views: list[View]) -> str:
    """Return the file of the problem's features.

    Args:
        views: The views.
    """
    lines: list[str] = []
    for view in views:
        lines += ["", f"# {on_one_line(view.comment)}", f"{scalar(view.name)}:"]
        lines += (
            f"  {key}: {mapping(one) if isinstance(one, dict) else scalar(one)}" for key, one in view.head.items()
        )
        lines.append("  features:")
        for name, one in view.features.items():
            lines += _line(f"    {scalar(name)}: {mapping(one)}", view.notes.get(name))
        if view.left_out:
            lines.append("    # left out:")
            lines += (f"    # {name}: {on_one_line(why)}" for name, why in view.left_out.items())
    return "\n".join([named_by("features"), *lines[1:], ""])


def said(found: Proposal, views: list[View]) -> Iterator[str]:
    """Yield what a user should know, one line each: what was taken for what, and what is left to decide.

    Args:
        found: The problem.
        views: Its features.
    """
    moment = found.moment.column
    yield f"label {found.label.column} of {found.label.table} ({found.label.task}): {found.label.why}"
    yield f"examples: moment {moment or 'none'}, keys {', '.join(found.entities) or 'none'}"
    for view in views:
        for name, why in view.left_out.items():
            if " alone tells " in why or "follows the label" in why or "known afterwards" in why:
                yield f"left out: {view.name}.{name} {why}"
        yield from (f"look at: {view.name}.{name}: {what}" for name, what in view.notes.items())
    for table in found.tables.values():
        yield from (f"{table.name}.{key}: {why}" for key, why in table.draft.reasons.items())
        for name, one in table.draft.undecided.items():
            ways = " or ".join(f"{line} ({meaning})" for meaning, line in lines_for(name, one))
            yield f"decide: {table.name}.{name}: {one.cell!r} can be read in {len(one.ways)} ways: {ways}"
    yield from _unused(found, views)


def _unused(found: Proposal, views: list[View]) -> Iterator[str]:
    used = {one.head["source"]["table"] for one in views if isinstance(one.head["source"], dict)}
    yield from (f"left out: {name}, which has no rows" for name in found.empty)
    for name in found.tables:
        if name not in {*used, found.label.table}:
            linked = any(one.table == name for one in found.links)
            lacks = "a moment of the examples" if linked and not found.moment.column else "a key or a moment"
            yield f"not used: {name}; it or the examples lack {lacks}"
