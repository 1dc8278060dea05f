"""Every aggregate, table reader and split that is registered proves its laws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa
import pytest

from postgresql_server import postgresql_server
from proml_kedro.engine.relation import Relation
from proml_kedro.engine.session import Session
from proml_kedro.extensions import aggregates, splits, table_readers
from proml_kedro.features.tables.readers import TableReader
from proml_kedro.features.views.aggregates import Aggregate, Event, Slot
from proml_kedro.features.views.aggregates.simple import Mean
from proml_kedro.spec.split import SplitSpec
from proml_kedro.testing import check_aggregate, check_split, check_table_reader


@pytest.mark.parametrize("name", aggregates.names())
def test_aggregates(name: str) -> None:
    check_aggregate({"agg": name, **aggregates.get(name).example})


@pytest.mark.parametrize(
    "config",
    [
        {"agg": "count"},
        {"agg": "count_distinct", "expression": "round(x)"},
        {"agg": "last", "expression": "x"},
        {"agg": "last", "expression": "b", "dtype": "bool"},
        {"agg": "quantile", "expression": "x", "q": 0},
        {"agg": "decay", "expression": "x", "half_life": "1h"},
        {"agg": "rate", "expression": "x > 0.5 -- the big ones"},
    ],
)
def test_variants_of_aggregates(config: dict[str, Any]) -> None:
    check_aggregate(config, seeds=(3,))


@pytest.mark.parametrize("name", [one for one in table_readers.names() if one != "postgresql"])
def test_table_readers(name: str, tmp_path: Path) -> None:
    check_table_reader(name, tmp_path)


def test_the_reader_that_needs_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with postgresql_server() as url:
        monkeypatch.setenv("PROML_KEDRO_TEST_POSTGRESQL", url)
        check_table_reader("postgresql", tmp_path)


@pytest.mark.parametrize("name", splits.names())
def test_splits(name: str) -> None:
    check_split({"by": name, **splits.get(name).example})


@pytest.mark.parametrize("registry", [aggregates, table_readers, splits])
def test_entries_say_what_they_are(registry: Any) -> None:
    for name in registry.names():
        first = (registry.get(name).__doc__ or "").strip().splitlines()[0]
        assert first.endswith("."), f"{registry.sort} '{name}': {first!r}"


class WrongMean(Mean):
    """A mean of means, which counts a tick with one event like one with ten."""

    agg: Literal["wrong_mean"]

    def partials(self, slot: Slot) -> Mapping[str, str]:
        return {"m": f"avg({slot.value})"}

    def final(self, slot: Slot, frame: str) -> str:
        return f"avg({slot.column('m')}) OVER {frame}"


class HalfType(Mean):
    """A mean in single precision, though it is said to be a float."""

    agg: Literal["half_type"]

    def final(self, slot: Slot, frame: str) -> str:
        return f"CAST({super().final(slot, frame)} AS FLOAT)"


class SilentZero(Mean):
    """A mean that is 0 of nothing in Python and null in SQL."""

    agg: Literal["silent_zero"]

    def of_events(self, events: Sequence[Event], at: int) -> float:
        return super().of_events(events, at) or 0.0


@pytest.mark.parametrize(
    ("kind", "message"),
    [(WrongMean, "in SQL and"), (HalfType, "is FLOAT in SQL, not DOUBLE"), (SilentZero, "of_events of no events")],
)
def test_wrong_aggregates_are_found(kind: type[Aggregate], message: str) -> None:
    name = kind.model_fields["agg"].annotation.__args__[0]
    with aggregates.temporary(name, kind), pytest.raises(AssertionError, match=message):
        check_aggregate({"agg": name, "expression": "x"})


class Leaky(SplitSpec):
    """A split whose validation is in the middle of its training, though it says that it is by time."""

    is_by_time: ClassVar[bool] = True
    by: Literal["leaky"]

    def sql(self, timestamp: str) -> str:
        return f"CASE month({timestamp}) WHEN 2 THEN 'validation' ELSE if(day({timestamp}) > 20, 'test', 'train') END"


class Ordered(SplitSpec):
    """A split that depends on the order of the rows."""

    by: Literal["ordered"]

    def sql(self, timestamp: str) -> str:
        return "CASE row_number() OVER () % 3 WHEN 0 THEN 'train' WHEN 1 THEN 'validation' ELSE 'test' END"


class Partial(SplitSpec):
    """A split that leaves some examples out."""

    by: Literal["partial"]

    def sql(self, timestamp: str) -> str:
        return "CASE item WHEN 'i1' THEN 'train' WHEN 'i2' THEN 'validation' WHEN 'i3' THEN 'test' END"


@pytest.mark.parametrize(
    ("kind", "message"),
    [(Leaky, "train goes until"), (Ordered, "order of the examples"), (Partial, "not all are one of")],
)
def test_wrong_splits_are_found(kind: type[SplitSpec], message: str) -> None:
    name = kind.model_fields["by"].annotation.__args__[0]
    with splits.temporary(name, kind), pytest.raises(AssertionError, match=message):
        check_split({"by": name})


class Lossy(TableReader):
    """A reader of lines that forgets that some are null."""

    suffixes: ClassVar[tuple[str, ...]] = (".lossy",)

    def relation(self, files: Sequence[Path], session: Session) -> Relation:
        return session.relation(f"read_csv('{files[0]}', delim = '|', header = true, nullstr = 'nothing')")

    @classmethod
    def sample(cls, rows: pa.Table, folder: Path) -> Mapping[str, Any]:
        lines = ["|".join(rows.column_names), *("|".join(map(str, row.values())) for row in rows.to_pylist())]
        (folder / "rows.lossy").write_text("\n".join(lines) + "\n")
        return {"source": "rows.lossy"}


def test_wrong_table_readers_are_found(tmp_path: Path) -> None:
    with table_readers.temporary("lossy", Lossy), pytest.raises(AssertionError, match="column"):
        check_table_reader("lossy", tmp_path)
