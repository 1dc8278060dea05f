"""Records of the prediction log: what a request leaves behind, and the columns that it becomes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Self

import numpy as np
import orjson

from proml_kedro.bundle import Manifest
from proml_kedro.models.component import Array, Columns, Input
from proml_kedro.serving.schema import Row
from proml_kedro.spec.dtype import Dtype, vector_size
from proml_kedro.spec.outputs import OF_CLASSES
from proml_kedro.spec.training_set import TIMESTAMP


@dataclass(frozen=True)
class Record:
    """A request whose body was understood.

    Attributes:
        request_id: Its name, which its answer bears too.
        received_at: When it came, aware.
        status: HTTP status of the answer.
        asked: Its rows.
        scores: A score a row, or one a class; None where nothing was scored.
        features: What the rows were scored by: features and keys, n values each.
        components: ``component.output`` of each component, n values each.
        missing: How many features of each row were missing.
        numbers: Of its rows in the request, where it is a part of one; None where it is all of it.
        degraded: Places that could not be asked.
        seconds: From when its body was whole until its answer was made; None where that is not known.
    """

    request_id: str
    received_at: datetime
    status: int
    asked: Sequence[Row]
    scores: Sequence[Any] | None = None
    features: Columns | None = None
    components: Columns | None = None
    missing: Sequence[int] | None = None
    numbers: Sequence[int] | None = None
    degraded: Sequence[str] = ()
    seconds: float | None = None

    @property
    def rows(self) -> int:
        """Count the rows."""
        return len(self.asked)

    def content(self, columns: LogColumns) -> dict[str, Any]:
        """Return what is written: lists and arrays of n values, by column."""
        features, components = self.features or {}, self.components or {}
        values = {f"features.{name}": _plain(features[name]) for name in columns.features if name in features}
        values |= {f"components.{name}": _plain(components[name]) for name in columns.components if name in components}
        return {
            "request_id": self.request_id,
            **({"row": self.numbers} if self.numbers is not None else {}),
            "received_at": _micros(self.received_at),
            "as_of": [_micros(row.get(TIMESTAMP) or self.received_at) for row in self.asked],
            "status": self.status,
            "score": self.scores,
            "missing": self.missing,
            "seconds": self.seconds,
            **({"degraded": [list(self.degraded)] * self.rows} if self.degraded else {}),
            **values,
            **{f"keys.{name}": [columns.key(name, row) for row in self.asked] for name in columns.keys},
        }


@dataclass(frozen=True)
class LogColumns:
    """Columns of the prediction log of a bundle; plain values alone, so that a spool says which it has.

    Attributes:
        tag: The bundle's name and version.
        has_classes: Whether a score is a list with a number for each class.
        keys: Key columns with their types.
        features: Features that rows are scored by, on-demand ones too.
        components: Outputs of the components.
        places: Features that are keys, by the key: a row of ``/predict`` may have the key there only.
        is_shadow: Whether nobody got the scores, since another model answered.
    """

    tag: str
    has_classes: bool
    keys: Mapping[str, str]
    features: Mapping[str, Dtype]
    components: Mapping[str, Dtype]
    places: Mapping[str, str]
    is_shadow: bool = False

    @classmethod
    def of(
        cls, manifest: Manifest, features: Iterable[Input], components: Iterable[Input], is_shadow: bool = False
    ) -> Self:
        """Make the columns of a bundle.

        Args:
            manifest: The bundle's.
            features: What rows are scored by, keys too.
            components: Outputs of the components.
            is_shadow: Whether nobody gets the scores.
        """
        keys = dict(manifest.rows.entities)
        return cls(
            manifest.tag,
            bool(manifest.classes),
            keys,
            {one.name: one.dtype for one in features if one.name not in keys},
            {one.name: one.dtype for one in components},
            {one.entity: one.name for one in manifest.rows.inputs if one.entity},
            is_shadow,
        )

    def head(self) -> bytes:
        """Return the first line of a spool."""
        return orjson.dumps(asdict(self)) + b"\n"

    def key(self, name: str, row: Row) -> int | str | None:
        """Return a key of a row, as the examples have it; None where the row has none."""
        value = row.get(name, row.get(self.places.get(name, "")))
        if value is None or self.keys[name] == "str":
            return None if value is None else str(value)
        return int(value) if -(2**63) <= value < 2**63 else None  # beyond it is nobody's key

    def table(self, lines: Iterable[bytes]) -> tuple[Any, int]:
        """Make a ``pyarrow.Table`` of written records; also return how many are not whole."""
        import pyarrow as pa

        schema = self.schema()
        values: dict[str, list[Any]] = {name: [] for name in schema.names}
        broken = 0
        for line in lines:
            try:
                content = orjson.loads(line)
            except ValueError:
                broken += 1
                continue
            rows = len(content["as_of"])
            for name, column in values.items():
                column.extend(self._of(name, content, rows))
        return pa.table({name: pa.array(values[name], schema.field(name).type) for name in schema.names}), broken

    def _of(self, name: str, content: Mapping[str, Any], rows: int) -> Iterable[Any]:
        if name == "row" and name not in content:
            return range(rows)
        if name == "answered":
            return [not self.is_shadow] * rows
        if name == "bundle":
            return [self.tag] * rows
        if name == "degraded" and name not in content:
            return [[]] * rows
        found = content.get(name)
        return found if isinstance(found, list) else [found] * rows

    def schema(self) -> Any:
        """Return the ``pyarrow.Schema`` of the files."""
        import pyarrow as pa

        moment, score = pa.timestamp("us", "UTC"), pa.list_(pa.float64()) if self.has_classes else pa.float64()
        keys = {f"keys.{name}": pa.int64() if kind == "int" else pa.string() for name, kind in self.keys.items()}
        return pa.schema(
            {
                "request_id": pa.string(),
                "row": pa.int32(),
                "received_at": moment,
                "as_of": moment,
                "bundle": pa.string(),
                "answered": pa.bool_(),
                "status": pa.int16(),
                "score": score,
                **keys,
                **{f"features.{name}": _arrow(dtype) for name, dtype in self.features.items()},
                **{f"components.{name}": _arrow(dtype) for name, dtype in self.components.items()},
                "missing": pa.int32(),
                "seconds": pa.float64(),
                "degraded": pa.list_(pa.string()),
            }
        )


def read_spool(content: bytes) -> tuple[Any, int] | None:
    """Make a ``pyarrow.Table`` of a spool, and count its records that are not whole; None when its head is not."""
    head, *lines = content.splitlines() or [b""]
    try:
        columns = LogColumns(**orjson.loads(head))
    except (ValueError, TypeError):
        return None
    return columns.table(lines)


def _arrow(dtype: Dtype) -> Any:
    import pyarrow as pa

    if dtype == "str":
        return pa.string()
    has_several = dtype == OF_CLASSES or vector_size(dtype) is not None
    return pa.list_(pa.float64()) if has_several else pa.float64()


def _plain(values: Array) -> Any:
    if values.dtype == object:
        return values.tolist()
    return np.ascontiguousarray(values, np.float64)


def _micros(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000)
