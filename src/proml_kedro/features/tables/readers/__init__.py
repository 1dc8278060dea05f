"""Ways to read a source table, a file each."""

from proml_kedro.features.tables.readers.base import Source, TableReader

__all__ = ["Source", "TableReader", "base"]
