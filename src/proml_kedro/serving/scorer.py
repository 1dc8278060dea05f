"""The service without HTTP: rows in, scores out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from proml_kedro import __version__
from proml_kedro.bundle import Bundle
from proml_kedro.hardware import limit_environment
from proml_kedro.models.component import Columns
from proml_kedro.serving.lookup import OnlineLookup
from proml_kedro.serving.schema import Row, to_columns
from proml_kedro.spec import HardwareSpec


class BundleScorer:
    """Scorer of rows by a proven bundle, with one thread.

    Args:
        path: The bundle's folder.
        log: File to log what is looked up; None for no log.

    Raises:
        IntegrityError: The bundle is not what was written, or does not score as it did.
    """

    def __init__(self, path: Path, log: str | None = None) -> None:
        # Two threads a worker on a busy machine made a request of 0.2 ms take 30: workers are what is scaled.
        limit_environment(HardwareSpec(threads=1))
        self.bundle = Bundle.load(path)
        self.online = OnlineLookup(self.bundle.manifest, self.bundle.path, log)
        _limit_loaded_libraries()

    def score(self, rows: Sequence[Row]) -> list[Any]:
        """Score rows of feature values: a probability or mean each, or a list with a probability of each class."""
        schema = self.bundle.manifest.rows
        return self._score(to_columns(rows, schema.inputs, "float64"))

    def score_online(self, rows: Sequence[Row]) -> list[Any]:
        """Score rows of keys and request features, as :meth:`score` does.

        Raises:
            StoreUnavailableError: There is no online store, and the model needs one.
        """
        schema = self.bundle.manifest.rows
        brought = to_columns(rows, [one for one in schema.inputs if one.request], "float64")
        return self._score({**brought, **self.online.read(rows)})

    def _score(self, columns: Columns) -> list[Any]:
        scores: list[Any] = self.bundle.score(columns).tolist()
        return scores

    def metadata(self) -> dict[str, Any]:
        """Describe what is served by plain values, without any row."""
        manifest = self.bundle.manifest
        return {
            "name": manifest.name,
            "version": manifest.version,
            "description": manifest.description,
            "sha256": self.bundle.digest,
            "proml_kedro": __version__,
            **({"classes": manifest.classes} if manifest.classes else {}),
            "schema": manifest.rows.model_dump(mode="json"),
            "lineage": manifest.lineage,
            "metrics": self.bundle.metrics,
        }


def _limit_loaded_libraries() -> None:
    from threadpoolctl import threadpool_limits

    threadpool_limits(limits=1)
