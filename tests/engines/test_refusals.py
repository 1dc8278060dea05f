"""What engines would compute differently is refused by name, before anything is computed, and nothing else is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from both import HERE, engine, read
from constructs import AGGREGATES, COLUMNS, REFUSED
from random_events import Case, make_case

from proml_kedro.engine.portable.expressions import portable
from proml_kedro.engine.portable.values import Column, NotPortableError
from proml_kedro.engine.session import connect
from proml_kedro.errors import UserError
from proml_kedro.features.views.compute import compute_views
from proml_kedro.spec.features import FeaturesSpec

COLUMN = {
    "x": Column("c0", "number"),
    "n": Column("c1", "whole", 1000),
    "large": Column("c2", "whole", 2**62),
    "b": Column("c3", "truth"),
    "s": Column("c4", "text"),
    "single": Column("c5", "single"),
    "day": Column("c6", "other"),
}


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> tuple[Case, Path]:
    case = make_case(0, 3, list(AGGREGATES)[:1])
    return case, read(case, tmp_path_factory.mktemp("refused"))


def _compute(tables: tuple[Case, Path], feature: dict[str, Any], folder: Path) -> None:
    windows = ["all"] if feature["agg"] == "decay" else ["3h"]
    view = {"key": "id", "source": {"table": "events", "event_time": "t"}}
    features = {"one": {**view, "features": {"f": {**feature, "windows": windows}}}}
    with engine("duckdb") as hardware:
        compute_views(tables[0].problem, FeaturesSpec.model_validate(features), tables[1], hardware, folder)


@pytest.mark.parametrize("construct", REFUSED)
def test_what_engines_do_differently_is_refused(construct: str, tables: tuple[Case, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"features\.one\.features\.f") as error:
        _compute(tables, REFUSED[construct], tmp_path)
    assert len(error.value.mistakes) == 1
    assert not list(tmp_path.iterdir()), "half-written"


def test_a_sum_of_numbers_too_far_apart_is_refused(tables: tuple[Case, Path], tmp_path: Path) -> None:
    """Up to what six limbs hold it is computed; beyond, it would be wrong without a word."""
    _compute(tables, {"agg": "sum", "expression": "case when b then 1e-20 else 1e20 end"}, tmp_path)
    with pytest.raises(UserError, match="too far apart"):
        _compute(tables, {"agg": "sum", "expression": "case when b then 1e-40 else 1e20 end"}, tmp_path)


ALIKE = {
    "n > 15": "(c1 > CAST(15 AS BIGINT))",
    "x > 0.5": "((c0 + 0e0) > CAST(0.5e0 AS DOUBLE))",
    '"N" = 1': "(c1 = CAST(1 AS BIGINT))",
    "not b and n is null or s = 'a''b'": "(((NOT c3) AND (c1 IS NULL)) OR (c4 = 'a''b'))",
    "n::int + 1": "(c1 + CAST(1 AS BIGINT))",
    "CAST(single AS DOUBLE)": "CAST(c5 AS DOUBLE)",
}

DIFFERENT = [
    "n + large * 2",
    "large + large",
    "abs(large * 3)",
    "n / x",
    "n // 2",
    "n % n",
    "n > 0.5",
    "n * 0.5",
    "single > 1e0",
    "day IS NULL",
    "b + 1",
    "missing > 1",
    "s || n",
    "CAST(x AS BIGINT)",
    "CAST(large AS INTEGER)",
    "TRY_CAST(s AS DOUBLE)",
    "1e999",
    "0.12345678901234567",
    "coalesce(x, s)",
    "case when n then 1 end",
    "s = '${x}'",
    "sum(x) over ()",
    "count(*) filter (where b)",
    "x IS NOT DISTINCT FROM 1",
    "events.n > 1",
    "random() > 0.5",
]


@pytest.mark.parametrize("expression", ALIKE)
def test_expressions_are_written_anew(expression: str) -> None:
    with connect(HERE) as session:
        assert portable(session, expression, COLUMN).sql == ALIKE[expression]


@pytest.mark.parametrize("expression", DIFFERENT)
def test_expressions_that_engines_compute_differently_are_refused(expression: str) -> None:
    with connect(HERE) as session, pytest.raises(NotPortableError):
        portable(session, expression, COLUMN)


def test_all_constructs_of_the_suite_are_carried() -> None:
    assert not {*AGGREGATES, *COLUMNS} & set(REFUSED)
