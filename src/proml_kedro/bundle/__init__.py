"""A trained model as one folder: weights, configuration, schema, lineage, golden rows and checksums."""

from proml_kedro.bundle.bundle import Bundle, write_bundle
from proml_kedro.bundle.integrity import IntegrityError
from proml_kedro.bundle.manifest import InputField, Manifest, Schema

__all__ = ["Bundle", "InputField", "IntegrityError", "Manifest", "Schema", "golden", "row_scorer", "write_bundle"]
