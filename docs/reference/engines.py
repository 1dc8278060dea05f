"""The page of engines: what each computes, from the constructs that tests/engines proves and from what refuses them."""

from __future__ import annotations

import runpy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from proml_kedro.engine.portable.expressions import portable
from proml_kedro.engine.portable.values import Column, NotPortableError
from proml_kedro.engine.session import connect
from proml_kedro.features.views.portable.carried import refusal
from proml_kedro.spec.features import FeatureViewSpec
from proml_kedro.spec.hardware import HardwareSpec

_SUITE = Path(__file__).resolve().parents[2] / "tests" / "engines" / "constructs.py"

_COLUMNS = {
    "x": Column("x", "number"),
    "n": Column("n", "whole", 1000),
    "large": Column("large", "whole", 2**62),
    "b": Column("b", "truth"),
    "s": Column("s", "text"),
    "t": Column("t", "other"),
    "my column": Column("m", "number"),
}
"""Those of the suite's tables."""

_BEFORE = """# Engines

What `hardware=spark` computes elsewhere, and how equal it is. Written by `docs/reference/generate.py` from the suite
`tests/engines`, which runs each construct marked ✔ on random tables against DuckDB's own queries:
`python -m pytest -m slow tests/engines --engines duckdb,sail,spark`. CI runs it on `duckdb` (the portable text on
DuckDB) and `sail`; `spark` is a server at `SPARK_REMOTE`, last run by hand on Spark 4.3.0.
[Compute on Sail or Spark](../how-to/compute-on-an-engine.md)
says how to use one.

## The contract

| | engines against DuckDB |
|---|---|
"""

_CONTRACT = {
    "rows, keys, moments, `count`, `count_distinct`, `rate`, `min`, `max`, `last`, columns as they stand, nulls": (
        "exact; 0 and -0 are the same"
    ),
    "`sum`": (
        "error at most 1e-12 of the sum of the sizes of what is added up; the same on every engine and in every run,"
        " since numbers are added up as whole numbers"
    ),
    "`mean`": "error at most 1e-12 of the mean size",
    "features of training sets": "exact: a join only picks",
    "numbers too far apart to be added up like that, from about 1e40 between the largest and the smallest": "refused",
    "what is not on this page": (
        "by this process as ever: reading tables, derived columns, examples and labels, training, evaluation, scoring,"
        " online values"
    ),
}


def engines_page() -> Iterator[str]:
    """Yield the lines of the page."""
    yield _BEFORE + "\n".join(f"| {what} | {how} |" for what, how in _CONTRACT.items())
    suite = runpy.run_path(str(_SUITE))
    yield "\n## Windowed features\n\n| construct | YAML | DuckDB | Sail 0.7 | Spark ≥ 4.2 |\n|---|---|---|---|---|"
    yield from (_row(name, one) for name, one in suite["AGGREGATES"].items())
    yield "\n## Columns as they stand\n\n| construct | YAML | DuckDB | Sail 0.7 | Spark ≥ 4.2 |\n|---|---|---|---|---|"
    yield from (_row(name, one) for name, one in suite["COLUMNS"].items())
    yield "| vector | `{dtype: vector[3]}` | ✔ | ✔ | ✔ |"
    yield "\n## Refused\n\nOne line names the feature, before anything is computed; `hardware=cpu` computes them.\n"
    yield "| construct | YAML | Sail, Spark |\n|---|---|---|"
    for name, one in suite["REFUSED"].items():
        yield f"| {name} | `{_yaml(one)}` | refused: {_why(one)} |"


def _row(name: str, one: Mapping[str, Any]) -> str:
    why = _why(one)
    marks = "✔ | ✔ | ✔" if why is None else f"✔ | refused: {why} | refused"
    return f"| {name} | `{_yaml(one)}` | {marks} |"


def _yaml(one: Mapping[str, Any]) -> str:
    return "{" + ", ".join(f"{key}: {value}" for key, value in one.items()).replace("|", "\\|") + "}"


def _why(one: Mapping[str, Any]) -> str | None:
    """Why a feature is refused; None when it is not."""
    if "agg" in one:
        source = {"table": "events", "event_time": "t"}
        windows = ["all"] if one["agg"] == "decay" else ["3h"]
        view = FeatureViewSpec.model_validate(
            {"key": "id", "source": source, "features": {"f": {**one, "windows": windows}}}
        )
        if why := refusal(view.features["f"]):  # type: ignore[arg-type]
            return why.partition(": ")[2].partition(": ")[2].partition(";")[0]
    try:
        _write(one)
    except NotPortableError as error:
        return str(error)
    return None


def _write(one: Mapping[str, Any]) -> None:
    from proml_kedro.engine.portable.values import convert

    wanted = {"float": "number", "int": "whole", "bool": "truth", "str": "text"}
    with connect(HardwareSpec(threads=1, memory="100MB")) as session:
        part = portable(session, one["expression"], _COLUMNS) if "expression" in one else None
        if part is not None and (dtype := one.get("dtype", "float" if one.get("agg") in ("sum", "mean") else None)):
            convert(part, wanted[dtype])  # type: ignore[arg-type]
        if "filter" in one:
            portable(session, one["filter"], _COLUMNS)
