"""Draw the architecture from the import contracts and the code into docs/explanation/architecture.md.

    python tools/architecture.py            # write the drawings and lists
    python tools/architecture.py --check    # exit with 1 when the document is not what would be written

Layers come from the contracts in ``pyproject.toml``, what a package is from its own docstring. Each step of a way is a
symbol that must exist, and says what its docstring says. Each arrow is proved too: one of the two modules imports the
other; or a third one, named on the arrow, imports both, at most by one module between; or a library does the step,
which one of the two imports; or it is a result that the catalog has a place for, or a key of a spec. What is none of
these ends with an error.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import yaml

from behaviours import as_markdown, moved
from source_code import PACKAGE, ROOT, MovedError, Symbol, imports_of, module_file

DOCUMENT = ROOT / "docs/explanation/architecture.md"

Way = Sequence[tuple[str, str]]
"""Steps, each with its arrow: empty for an import, ``by MODULE``, ``through LIBRARY``, a result, or a key."""

ROW: Way = (
    ("source tables", ""),
    ("features.tables.read:read_tables", ""),
    ("features.views.compute:compute_views", "tables"),
    ("features.training.training_set:build_training_set", "feature_tables"),
    ("models.examples:read_examples", "training_set"),
    ("models.graph.graph:ModelGraph", "by workflow.steps.train"),
    ("bundle.bundle:write_bundle", "trained_model"),
    ("serving.scorer:BundleScorer", "bundle"),
    ("serving.lookup:OnlineLookup", ""),
    ("serving.request_log:RequestLog", ""),
    ("features.online.request_log:compare_log", "serving.log"),
)
OVERRIDE: Way = (
    ("kedro run model.components.trees.params.max_depth=4", ""),
    ("commands.run:run_command", ""),
    ("config.loader:HydraConfigLoader", "through kedro"),
    ("config.overrides:parse", ""),
    ("config.composition:compose", "by config.loader"),
    ("config.validation:validate", "by config.loader"),
    ("spec.run:RunSpec", ""),
    ("hooks:ProjectHooks", "through kedro"),
    ("workflow.run:Run", ""),
    ("workflow.steps.train:train_model", ""),
    ("workflow.recipes:trained_model", ""),
    ("artifacts:ArtifactStore", ""),
)
REQUEST: Way = (
    ("POST /predict_online", ""),
    ("serving.guard:RequestGuard", ""),
    ("serving.http.application:make_application", ""),
    ("serving.http.decoder:Decoder", ""),
    ("serving.scorer:BundleScorer", "by serving.http.application"),
    ("serving.lookup:OnlineLookup", ""),
    ("features.online.lookup:OnlineFeatures", ""),
    ("bundle.bundle:Bundle", "by serving.scorer"),
    ("bundle.row_scorer:RowScorer", ""),
    ("models.graph.graph:ModelGraph", ""),
)


def parts() -> dict[str, str]:
    """Return what stands between each pair of markers, by the markers' name."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    return {
        "layers": "\n".join(draw_layers(contracts)),
        "contracts": "\n".join(list_contracts(contracts)),
        "row": "\n".join(draw_way(ROW)),
        "override": "\n".join(draw_way(OVERRIDE)),
        "request": "\n".join(draw_way(REQUEST)),
        "behaviours": as_markdown(),
    }


def draw_layers(contracts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a Mermaid drawing of the layers, and below it a table of what stands in them."""
    layers = [line.split(" : ") for one in contracts if one["type"] == "layers" for line in one["layers"]]
    yield from ("```mermaid", "flowchart TD")
    for number, names in enumerate(layers):
        yield f'  L{number}["{" · ".join(names)}"]'
    yield "  " + " --> ".join(f"L{number}" for number in range(len(layers)))
    yield from ("```", "", "| | |", "|---|---|")
    for names in layers:
        for name in names:
            yield f"| `{name}` | {Symbol(name).docstring().replace('``', '`')} |"


def list_contracts(contracts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a table of the libraries with the modules that may import them, then the other contracts."""
    yield from ("| library | imported by nothing but |", "|---|---|")
    for one in contracts:
        if one["type"] == "library":
            yield f"| {one['name']} | {', '.join(f'`{_short(name)}`' for name in one['modules'])} |"
    yield ""
    for one in contracts:
        if one["type"] not in ("library", "layers"):
            names = one.get("source_modules") or one.get("modules") or []
            others = f" never import {_listed(one['forbidden_modules'])}" if one["type"] == "forbidden" else ""
            yield f"- {one['name']}" + (f": {_listed(names)}{others}" if names else "")


def draw_way(way: Way) -> Iterator[str]:
    """Yield a Mermaid drawing of a way, each step with its module and what its docstring says.

    Raises:
        MovedError: A step is not where it was, or an arrow is not in the code any more.
    """
    yield from ("```mermaid", "flowchart TD")
    yield f'  S0(["{way[0][0]}"])'
    previous: Symbol | None = None
    for number, (place, arrow) in enumerate(way[1:], 1):
        step = Symbol.parse(place)
        words = re.sub(r"[`\"]|:\w+:", "", step.docstring()).replace("<", "‹").replace(">", "›")
        if previous is not None and not is_in_code(previous, arrow, step):
            raise MovedError(f"{previous} does not lead to {step} any more: '{arrow or 'import'}' is not in the code")
        yield f'  S{number}["<b>{step.module}</b> {step.name}<br/>{words}"]'
        yield f"  S{number - 1} -->" + (f'|"{arrow}"|' if arrow else "") + f" S{number}"
        previous = step
    yield "```"


def is_in_code(one: Symbol, arrow: str, other: Symbol) -> bool:
    """Return whether an arrow between two steps stands for something in the code."""
    word, _, name = arrow.partition(" ")
    if not arrow:
        return imports(one.module, other) or imports(other.module, one)
    if word == "by":
        return all(any(imports(between, step) for between in _near(name)) for step in (one, other))
    if word == "through":
        return name in imports_of(one.module) | imports_of(other.module)
    if "." in arrow:
        group, key = arrow.split(".")
        Symbol(f"spec.{group}", f"{group.capitalize()}Spec.{key}").docstring()  # raises where there is no such key
        return True
    return arrow in yaml.safe_load((ROOT / "conf/catalog/default.yaml").read_text(encoding="utf-8"))


def imports(module: str, symbol: Symbol) -> bool:
    """Return whether a module imports the one of a symbol, or the symbol from the face of its package."""
    package = symbol.module.rpartition(".")[0]
    return bool({symbol.module, f"{package}.{symbol.name}"} & imports_of(module)) or module == symbol.module


def _near(module: str) -> Iterator[str]:
    """Yield a module and those of the package that it imports."""
    yield module
    for name in imports_of(module):
        with suppress(MovedError):
            module_file(name)
            yield name


def _short(module: str) -> str:
    return module.removeprefix(f"{PACKAGE}.")


def _listed(modules: Sequence[str]) -> str:
    return ", ".join(f"`{_short(one)}`" for one in modules)


def written() -> str:
    """Return the document with what stands between its markers drawn anew."""
    text = DOCUMENT.read_text(encoding="utf-8")
    for name, part in parts().items():
        pattern = re.compile(
            rf"(<!-- {name}: drawn by tools/architecture\.py -->\n).*?(<!-- {name}: end -->)", re.DOTALL
        )
        if not pattern.search(text):
            raise MovedError(f"{DOCUMENT.name} has no markers for {name}")
        text = pattern.sub(lambda match, part=part: f"{match[1]}{part}\n{match[2]}", text)  # type: ignore[misc]
    return text


def main(arguments: Sequence[str]) -> int:
    """Write the document, or check it; return 1 when something moved or is out of date."""
    try:
        text, lines = written(), moved()
    except MovedError as error:
        text, lines = "", [str(error)]
    if not lines and "--check" not in arguments:
        DOCUMENT.write_text(text, encoding="utf-8")
    elif not lines and text != DOCUMENT.read_text(encoding="utf-8"):
        lines = [f"{DOCUMENT.relative_to(ROOT)} is out of date; python tools/architecture.py writes it"]
    if lines:
        print(*lines, sep="\n", file=sys.stderr)
    return bool(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
