"""On-demand features of Arrow's record batches, for training sets and whatever else is scored by the file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proml_kedro.arrow_arrays import as_floats, as_texts, as_vectors
from proml_kedro.spec.dtype import Dtype, vector_size

if TYPE_CHECKING:
    import pyarrow as pa

    from proml_kedro.features.on_demand.evaluate import OnDemand


def with_on_demand(batch: pa.RecordBatch, on_demand: OnDemand) -> pa.RecordBatch:
    """Return a batch with the on-demand features as further columns.

    Args:
        batch: With a column ``view.feature`` for each feature that they need.
        on_demand: The features.
    """
    columns = {name: _as_array(batch.column(name), dtype) for name, dtype in on_demand.needs.items()}
    columns = columns or {"": as_floats(batch.column(0).is_valid(), "float64")}  # so that there is a number of rows
    for name, values in on_demand.compute(columns).items():
        batch = batch.append_column(name, _as_column(values, on_demand.dtypes[name]))
    return batch


def _as_array(column: Any, dtype: Dtype) -> Any:
    if dtype == "str":
        return as_texts(column)
    size = vector_size(dtype)
    return as_floats(column, "float64") if size is None else as_vectors(column, size, "float64")


def _as_column(values: Any, dtype: Dtype) -> pa.Array:
    import pyarrow as pa

    if dtype == "str":
        return pa.array(values, pa.string())
    numbers = pa.array(values, pa.float64(), from_pandas=True)  # NaN becomes null
    return numbers if dtype == "float" else numbers.cast(pa.bool_() if dtype == "bool" else pa.int64())
