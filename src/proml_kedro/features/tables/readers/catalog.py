"""Any dataset of Kedro's catalog."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from proml_kedro.engine.relation import Relation
from proml_kedro.engine.session import Session
from proml_kedro.errors import UserError, first_line
from proml_kedro.features.tables.readers.base import Source, TableReader
from proml_kedro.features.tables.readers.copies import parquet_copy, write_copy
from proml_kedro.spec.table import CATALOG

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from kedro.io import AbstractDataset

_PATHS = ("filepath", "path")
"""Arguments of datasets that Kedro takes relative to the project."""

_METHODS = ("collect", "to_pyarrow", "toArrow")
"""What lazy frames of Polars, tables of Ibis and frames of Spark have, in this order."""

_ROWS = 100_000
"""Rows of a batch."""


class CatalogReader(TableReader):
    """A dataset of Kedro's catalog: ``source: catalog:orders``.

    The dataset loads its rows as it does for Kedro: as a frame of pandas, Polars, Ibis or Spark, or a table of Arrow.
    What it guesses of types it has guessed, so say them in its ``load_args``; columns keep the types it gives. They
    are loaded in each run, since only that tells whether they have changed; a query has to say its order.

    Attributes:
        dataset: The definition, ``type`` and arguments; that of the catalog's entry when left out. Relative paths begin
            at the folder that holds ``conf``; ``credentials`` is a name in ``credentials.yml``.
    """

    reads_files: ClassVar[bool] = False

    dataset: dict[str, Any] = {}

    @classmethod
    def claims(cls, source: str) -> bool:
        """Return whether a source is an entry of the catalog."""
        return source.startswith(CATALOG)

    @contextmanager
    def fetch(self, source: Source, folder: Path) -> Iterator[Sequence[Path]]:
        """Give a Parquet copy of what the dataset loads.

        Raises:
            UserError: It cannot be made or loaded, or what it loads is no table whose values can be kept.
        """
        rows = self._rows(source)
        with parquet_copy(rows, folder / f".{source.name}.catalog.parquet", f"{source.key}.source") as files:
            yield files

    def relation(self, files: Sequence[Path], session: Session) -> Relation:
        """Return the rows of the copy."""
        return session.parquet(*files)

    def fingerprint(self, source: Source) -> str:
        """Return a digest of all rows in their order, which are loaded for it."""
        digest = _Digest()
        write_copy(self._rows(source), digest, f"{source.key}.source")  # type: ignore[arg-type]
        return digest.value()

    def _rows(self, source: Source) -> pa.RecordBatchReader:
        import pyarrow as pa

        key = f"{source.key}.source"
        loaded = self._load(source)
        try:
            return _as_arrow(loaded, key, self.types).to_reader(_ROWS)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
            column = str(error.args[-1]).removeprefix("Conversion failed for column ").partition(" with type")[0]
            message = f"'{column}' of '{source.text}' holds values of several types"
            raise UserError.at(key, f"{message}; let the dataset load it as text, by its load_args") from error

    def _load(self, source: Source) -> Any:
        """What the dataset loads, whatever that is."""
        key = f"{source.key}.source"
        dataset = self._made(source)
        try:
            return dataset.load()
        except UserError:
            raise
        except Exception as error:  # whatever a dataset of anybody raises; Kedro wraps most of it
            cause = error.__cause__ or error
            raise UserError.at(key, f"'{source.text}' cannot be loaded: {first_line(cause)}") from error

    def _made(self, source: Source) -> AbstractDataset[Any, Any]:
        from kedro.io import AbstractDataset

        config = {name: value for name, value in self.dataset.items() if name != "metadata"}
        for name in _PATHS:
            if isinstance(config.get(name), str) and "://" not in config[name]:
                config[name] = str(source.base_path / config[name])
        if isinstance(config.get("credentials"), str):
            config["credentials"] = dict(source.credentials(config["credentials"]))
        try:
            return AbstractDataset.from_config(source.text.removeprefix(CATALOG), config)
        except Exception as error:  # whatever a dataset's class raises when it is made
            raise UserError.at(f"{source.key}.source", f"'{source.text}' is no dataset: {first_line(error)}") from error

    @classmethod
    def sample(cls, rows: pa.Table, folder: Path) -> Mapping[str, Any]:
        """Write a Parquet file and the dataset that loads it by pandas."""
        import pyarrow.parquet as pq

        pq.write_table(rows, folder / "rows.parquet")
        arguments = {"dtype_backend": "pyarrow"}
        dataset = {"type": "pandas.ParquetDataset", "filepath": "rows.parquet", "load_args": arguments}
        return {"source": f"{CATALOG}rows", "dataset": dataset}


class _Digest:
    """A file that keeps the digest of what is written to it, and nothing else."""

    closed = False

    def __init__(self) -> None:
        self._digest, self._size = hashlib.sha256(), 0

    def write(self, content: Any) -> int:
        self._digest.update(content)
        size = memoryview(content).nbytes
        self._size += size
        return size

    def tell(self) -> int:
        return self._size

    def flush(self) -> None:
        """Do nothing: nothing waits."""

    def close(self) -> None:
        """Do nothing: nothing is open."""

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def value(self) -> str:
        return self._digest.hexdigest()


def _as_arrow(loaded: Any, key: str, types: Mapping[str, str]) -> pa.Table:
    """What a dataset has loaded, as a table of Arrow."""
    import pyarrow as pa

    for name in _METHODS:
        if hasattr(loaded, name) and not hasattr(loaded, "__arrow_c_stream__"):
            loaded = getattr(loaded, name)()
    if isinstance(loaded, pa.Table):
        return loaded
    if type(loaded).__module__.partition(".")[0] == "pandas" and hasattr(loaded, "columns"):
        return _of_pandas(loaded, key, types)
    if hasattr(loaded, "__arrow_c_stream__"):
        return pa.table(loaded)
    message = f"loads a '{type(loaded).__name__}', not a frame of pandas, Polars, Ibis or Spark, nor a table of Arrow"
    raise UserError.at(key, f"the dataset {message}")


def _of_pandas(frame: pd.DataFrame, key: str, types: Mapping[str, str]) -> pa.Table:
    """A frame with its named index as columns, unless it has rounded whole numbers already."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    named = [name for name in frame.index.names if name is not None]
    frame = frame.reset_index() if len(named) == frame.index.nlevels else frame.reset_index(drop=True)
    frame.columns = pd.Index([str(name) for name in frame.columns])
    for name, column in frame.items():
        if str(name) not in types and isinstance(column.dtype, np.dtype) and _may_be_rounded(column.to_numpy()):
            message = f"'{name}' holds whole numbers that are so large that pandas may have rounded them"
            remedy = f"load_args: {{dtype: {{{name}: Int64}}}}, or say types: {{{name}: DOUBLE}} if they are no keys"
            raise UserError.at(key, f"{message}; let the dataset load it with {remedy}")
    return pa.Table.from_pandas(frame, preserve_index=False)


def _may_be_rounded(values: np.ndarray) -> bool:
    """Whether floats are whole numbers beyond what is exact, as pandas makes of whole numbers beside empty cells."""
    import numpy as np

    if values.dtype.kind != "f":
        return False
    known = values[np.isfinite(values)]
    exact = 2.0 ** (np.finfo(values.dtype).nmant + 1)
    return bool(len(known) and (known == np.round(known)).all() and np.abs(known).max() >= exact)
