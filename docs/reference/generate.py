"""Write the references from the code itself, so that they cannot go out of date.

python docs/reference/generate.py            # write all of them, and the table in CONTRIBUTING.md
python docs/reference/generate.py --check    # exit with 1 when one of them is not what would be written
"""

from __future__ import annotations

import ast
import importlib
import inspect
import itertools
import re
import sys
import textwrap
import types
from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, RootModel
from pydantic.fields import FieldInfo

from engines import engines_page
from proml_kedro import extensions, testing
from proml_kedro.authoring.descriptions import described, summary
from proml_kedro.authoring.schema import FILE, as_text, make_schema
from proml_kedro.extensions import (
    NameIn,
    Registry,
    aggregates,
    blocks,
    components,
    heads,
    metrics,
    ranking_metrics,
    splits,
    table_readers,
)
from proml_kedro.spec import RunSpec
from proml_kedro.spec.base import format_duration
from proml_kedro.spec.feature_kinds import WindowFeature
from proml_kedro.spec.features import FeaturesSpec, FeatureViewSpec
from proml_kedro.spec.model import spec_of
from proml_kedro.spec.split import SplitSpec
from proml_kedro.spec.table import TableSpec

_BASIC = {str: "text", int: "whole number", float: "number", bool: "true or false", timedelta: "duration"}


HERE = Path(__file__).resolve().parent
GUIDES = {"components": "add-a-component.md", "online_stores": "keep-online-values-elsewhere.md"}
"""Guides that hold the smallest entry of a registry, where it is too long for ``examples.py``."""


def main(arguments: Sequence[str]) -> int:
    """Write the documents, or name those that are out of date and return 1."""
    contributing = HERE.parents[1] / "CONTRIBUTING.md"
    table = "\n".join(["| registry | look at | prove |", "|---|---|---|", *map(row, registries())])
    documents = {
        HERE / "configuration.md": "\n".join(configuration()) + "\n",
        HERE / "engines.md": "\n".join(engines_page()) + "\n",
        HERE / "extensions.md": "\n".join(extensions_page()) + "\n",
        HERE / FILE: as_text(make_schema()),
        contributing: between_markers(contributing.read_text(encoding="utf-8"), table),
    }
    old = [file for file, text in documents.items() if not file.exists() or file.read_text(encoding="utf-8") != text]
    if "--check" in arguments:
        print(*(f"{file.name} is out of date; `make docs` writes it" for file in old), sep="\n", file=sys.stderr)
        return bool(old)
    for file in old:
        file.write_text(documents[file], encoding="utf-8")
    return 0


def configuration() -> Iterator[str]:
    """Yield the reference of the configuration."""
    yield "# Configuration\n"
    yield "Every key that a file of `conf/` may hold. Made from the specs by `docs/reference/generate.py`.\n"
    yield "Durations are written `30s`, `15m`, `3h`, `7d`, `2w`. Expressions and filters are DuckDB SQL.\n"
    shown: set[type[BaseModel]] = set()
    yield "\n".join(section("conf/config.yaml", RunSpec, shown))
    own: list[tuple[str, Registry[Any], type[BaseModel]]] = [
        ("reader", table_readers, TableSpec),
        ("by", splits, SplitSpec),
        ("agg", aggregates, WindowFeature),
    ]
    for key, registry, base in own:
        for name in registry.names():
            yield "\n".join(section(f"{key}: {name}", registry.get(name), shown, base))
    for name in components.names():
        yield "\n".join(section(f"kind: {name}", spec_of(name), shown))
    for name in blocks.names():
        yield "\n".join(section(f"block: {name}", blocks.get(name), shown))
    for name in heads.names():
        yield "\n".join(section(f"loss: {name}", heads.get(name), shown))
    yield "\n".join(metrics_table())


def registries() -> Iterator[tuple[str, Registry[Any], str]]:
    """Yield each open registry with its name in ``extensions.py`` and what stands below it there."""
    body = ast.parse(inspect.getsource(extensions)).body
    for statement, following in itertools.pairwise(body):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            registry = getattr(extensions, statement.target.id)
            if isinstance(registry, Registry):
                yield statement.target.id, registry, _text(following)


def _text(statement: ast.stmt) -> str:
    value = statement.value if isinstance(statement, ast.Expr) else None
    text = value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else ""
    return in_markdown(text)


def in_markdown(text: str) -> str:
    """Return a docstring's text on one line, its roles and double backticks as Markdown has them."""
    return re.sub(r":\w+:`~?([^`]+)`", r"`\1`", re.sub(r"\s+", " ", text).strip()).replace("``", "`")


@cache
def laws() -> dict[str, str]:
    """Return the docstring of each law in ``proml_kedro.testing``, none of whose modules is imported."""
    functions = {}
    for file in sorted(Path(testing.__file__).parent.glob("*.py")):
        for one in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(one, ast.FunctionDef) and one.name.startswith("check_"):
                functions[one.name] = ast.get_docstring(one) or ""
    return functions


def law_of(name: str) -> str | None:
    """Return the name of the law that entries of a registry prove."""
    law = "check_block" if name == "layers" else f"check_{name.removesuffix('s')}"  # `layer:` is a block
    return law if law in laws() else None


def extensions_page() -> Iterator[str]:
    """Yield the page of all registries."""
    yield "# Extensions\n"
    yield (
        "All open registries. What comes with proml_kedro is declared as yours is: an entry point in the registry's "
        "group, or a decorator in a module that `extensions:` of `conf/config.yaml` names. The examples are in "
        "[examples.py](examples.py), and a test proves them. Each registry has a law in "
        "`proml_kedro.testing` to prove an entry by. Made from `extensions.py` by `docs/reference/generate.py`.\n"
    )
    for name, registry, meaning in registries():
        yield f"## {name}\n\n{meaning}\n"
        yield f"Entry points: `{registry.group}`. Decorator: `@{name}.register(NAME)` of `proml_kedro.extensions`."
        law = law_of(name)
        if law:
            yield f"Law: `{law}`: {in_markdown(laws()[law].partition(chr(10))[0])}\n"
            yield from example(laws()[law])
        else:
            yield ""
        yield from smallest(name)
        if registry.names():
            yield from (
                "| | |",
                "|---|---|",
                *(f"| `{one}` | {entry(registry, one)} |" for one in registry.names()),
                "",
            )


def own_names(registry: Registry[Any]) -> list[str]:
    """Return the names in a registry without those that it takes from another one."""
    others = registry.also.names() if registry.also else []
    return [one for one in registry.names() if one not in others]


def origin(registry: Registry[Any], name: str) -> tuple[str, str]:
    """Return the module that an entry is in, and its name there."""
    for point in entry_points(group=registry.group or "", name=name):
        return point.module, point.attr
    found = registry.get(name)  # a decorator put it there
    return found.__module__, getattr(found, "__qualname__", "")


def example(docstring: str) -> Iterator[str]:
    """Yield the code that a docstring shows behind ``::``."""
    shown = docstring.partition("::\n\n")[2]
    lines = list(itertools.takewhile(lambda line: not line or line.startswith("    "), shown.splitlines()))
    if lines:
        yield from ("```python", *textwrap.dedent("\n".join(lines)).strip("\n").splitlines(), "```", "")


def smallest(registry: str) -> Iterator[str]:
    """Yield the entry of a registry in ``examples.py``."""
    source = (HERE / "examples.py").read_text(encoding="utf-8")
    for one in ast.parse(source).body:
        decorators = one.decorator_list if isinstance(one, ast.ClassDef | ast.FunctionDef) else []
        if any(ast.unparse(decorator).startswith(f"{registry}.register(") for decorator in decorators):
            lines = source.splitlines()[decorators[0].lineno - 1 : one.end_lineno]
            yield from ("```python", *lines, "```", "")
    guide = HERE.parent / "how-to" / GUIDES.get(registry, "none")
    if guide.exists():
        title = guide.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        yield f"[{title}](../how-to/{guide.name}) has the smallest one.\n"


def entry(registry: Registry[Any], name: str) -> str:
    """Return what an entry says of itself: its docstring's first line, or the text below the constant that it is."""
    found = registry.get(name)
    found = getattr(found, "Spec", found) if inspect.ismodule(found) else found
    if inspect.isclass(found) or inspect.isroutine(found):
        return in_markdown(summary_of(found))
    module, attribute = origin(registry, name)
    body = ast.parse(inspect.getsource(importlib.import_module(module))).body
    for statement, following in itertools.pairwise(body):
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        if any(isinstance(one, ast.Name) and one.id == attribute for one in targets):
            return _text(following)
    return ""


def summary_of(item: Any) -> str:
    """Return the first line of an object's own docstring."""
    return inspect.cleandoc(item.__doc__ or "").partition("\n")[0]


def row(registry: tuple[str, Registry[Any], str]) -> str:
    """Return the registry's row in CONTRIBUTING.md: where a neighbour is, and the law."""
    name, known, _ = registry
    places = dict.fromkeys(origin(known, one)[0].removeprefix("proml_kedro.") for one in own_names(known))
    law = law_of(name)
    return f"| `{name}` | {', '.join(f'`{one}`' for one in places)} | {f'`{law}`' if law else ''} |"


def between_markers(text: str, part: str) -> str:
    """Return a text with a part put between its markers."""
    start, end = "<!-- registries: written by docs/reference/generate.py -->\n", "<!-- registries: end -->"
    before, after = text.index(start) + len(start), text.index(end)
    return f"{text[:before]}{part}\n{text[after:]}"


def section(
    title: str, model: type[BaseModel], shown: set[type[BaseModel]], base: type[BaseModel] | None = None
) -> Iterator[str]:
    """A model's keys as a table, and after it those of the models it is made of; but for those of a base."""
    if model in shown:
        return
    shown.add(model)
    if issubclass(model, RootModel):
        yield from section(f"{title}, each view", FeatureViewSpec, shown)
        return
    fields = {name: one for name, one in model.model_fields.items() if not base or name not in base.model_fields}
    yield f"## {title}\n\n{summary(model)}"
    if fields:
        yield "\n| key | value | default | |\n|---|---|---|---|"
    meanings = attributes(model)
    nested: list[tuple[str, type[BaseModel]]] = []
    for name, field in fields.items():
        key = field.alias or name
        yield f"| `{key}` | {hint(field.annotation)} | {default(field)} | {meanings.get(key, '')} |"
        nested += [(name, one) for one in models(field.annotation)]
    yield ""
    for name, one in nested:
        place = f"conf/{name}/*.yaml" if model is RunSpec else f"{title.partition(', ')[0]}, {name}"
        yield from section(place, one, shown)


def metrics_table() -> Iterator[str]:
    """What is installed of metrics and ranking metrics, and what they say."""
    yield "## Metrics\n\n| `evaluation.metrics` | tasks | better | |\n|---|---|---|---|"
    for name in sorted(metrics.names(), key=lambda one: metrics.get(one).order):
        metric = metrics.get(name)
        tasks = ", ".join(f"{one} (default)" if one in metric.default_for else one for one in metric.tasks)
        yield f"| `{name}` | {tasks} | {'higher' if metric.higher_is_better else 'lower'} | {metric.meaning} |"
    yield "\n| `evaluation.ranking.metrics` | better | |\n|---|---|---|"
    for name in ranking_metrics.names():
        metric = ranking_metrics.get(name)
        better = "higher" if metric.higher_is_better else "lower"
        yield f"| `{name}{'@K' if metric.has_cut else ''}` | {better} | {metric.meaning.format(k='K')} |"
    yield ""


def attributes(model: type[BaseModel]) -> dict[str, str]:
    """What the docstrings of a model and its bases say of each attribute, for a table."""
    return {name: text.replace("|", "\\|") for name, text in described(model).items()}


def models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models in a type hint."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield FeatureViewSpec if annotation is FeaturesSpec else annotation
    for one in get_args(annotation):
        if get_origin(annotation) is not Literal:
            yield from models(one)


def hint(annotation: Any) -> str:
    """A type hint in words."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        registry = next((one.registry for one in annotation.__metadata__ if isinstance(one, NameIn)), None)
        return ", ".join(f"`{one}`" for one in registry.names()) if registry else hint(arguments[0])
    if origin is Literal:
        return ", ".join(f"`{one}`" for one in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(hint(one) for one in arguments if one is not type(None)))
    if origin is list:
        return f"list of: {hint(arguments[0])}"
    if origin is dict:
        return f"names to: {hint(arguments[1])}"
    return _BASIC.get(annotation, "keys below" if list(models(annotation)) else annotation.__name__)


def default(field: FieldInfo) -> str:
    """A field's default as it would be written."""
    value = field.default
    if field.is_required():
        return "*required*"
    if isinstance(value, timedelta):
        return f"`{format_duration(value)}`"
    if value is None or value == "" or isinstance(value, BaseModel):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
