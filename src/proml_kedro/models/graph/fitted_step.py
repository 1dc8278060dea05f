"""A fitted component with what it says of the rows that it was fitted with, as a folder from which fitting goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np

from proml_kedro.models.component import Array, Columns, Component
from proml_kedro.models.graph.plan import Step

_COMPONENT, _FACTS = "component", "facts.json"
_LEARNED, _CHOSEN = "of_training.arrow", "of_validation.arrow"


@dataclass(frozen=True)
class FittedStep:
    """A component that is fitted, and what those after it learn from it.

    Attributes:
        component: The component.
        facts: About its fit, as :meth:`~proml_kedro.models.component.Component.summary` gives them.
        learned: Its outputs for the training rows, none of them from a component that has seen that row; empty when no
            other component learns from it.
        chosen: Its outputs for the validation rows; empty likewise.
        folder: Where it is saved; None when it is in memory alone.
    """

    component: Component
    facts: Mapping[str, Any]
    learned: Columns
    chosen: Columns
    folder: Path | None = None

    def write(self, folder: Path) -> None:
        """Write all of it into an empty folder."""
        (folder / _COMPONENT).mkdir()
        self.component.save(folder / _COMPONENT)
        (folder / _FACTS).write_text(json.dumps(self.facts))
        _write(folder / _LEARNED, self.learned)
        _write(folder / _CHOSEN, self.chosen)

    @classmethod
    def read(cls, folder: Path, load: Callable[[Path], Component]) -> Self:
        """Read what :meth:`write` wrote.

        Args:
            folder: Where to.
            load: Reads the component from a folder.
        """
        facts = json.loads((folder / _FACTS).read_text())
        component = load(folder / _COMPONENT)
        return cls(component, facts, _read(folder / _LEARNED), _read(folder / _CHOSEN), folder / _COMPONENT)


class KeepsSteps(Protocol):
    """Keeps fitted components from one run to the next, so that only what has changed is fitted."""

    def keep(
        self,
        step: Step,
        before: Collection[str],
        final: bool,
        fit: Callable[[Path], FittedStep],
        load: Callable[[Path], Component],
    ) -> FittedStep:
        """Give a component that is fitted already, or fit and keep it.

        Args:
            step: The component's step.
            before: The names of the components from which what it reads is computed.
            final: Whether no other component learns from it.
            fit: Fits it; the folder is for checkpoints, and may not exist yet.
            load: Reads a component from a folder.
        """


def _write(file: Path, columns: Columns) -> None:
    """Write columns as Arrow, each in the type that it has; NaN stays NaN."""
    import pyarrow as pa
    from pyarrow import feather

    arrays = {name: _as_arrow(np.asarray(values)) for name, values in columns.items()}
    feather.write_feather(pa.table(arrays), str(file), compression="uncompressed")


def _as_arrow(values: Array) -> Any:
    import pyarrow as pa

    if values.dtype == object:
        return pa.array(values, pa.string())
    if values.ndim == 1:
        return pa.array(values, from_pandas=False)
    flat = pa.array(np.ascontiguousarray(values).reshape(-1), from_pandas=False)
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def _read(file: Path) -> dict[str, Array]:
    from pyarrow import feather

    table = feather.read_table(str(file), memory_map=False)
    return {name: _as_array(table.column(name).combine_chunks()) for name in table.column_names}


def _as_array(column: Any) -> Array:
    import pyarrow as pa

    if pa.types.is_fixed_size_list(column.type):
        flat: Array = column.values.to_numpy(zero_copy_only=False)
        return flat.reshape(-1, column.type.list_size)
    values: Array = column.to_numpy(zero_copy_only=False)
    return values
