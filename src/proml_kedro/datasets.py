"""What Kedro's catalog keeps: artefacts, the store they are made in, and the run itself."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, DatasetError

from proml_kedro.artifacts import Artifact, ArtifactStore
from proml_kedro.atomic import cannot_write, links_lock, point
from proml_kedro.workflow import Run


class StoreDataset(AbstractDataset[None, ArtifactStore]):
    """Where results are made.

    Args:
        filepath: The data folder.
        reuse: Whether results of earlier runs are taken over where nothing they depend on has changed.
    """

    def __init__(self, filepath: str, reuse: bool = True, metadata: Any = None) -> None:
        self._filepath = Path(filepath)
        self._reuse = reuse
        self.metadata = metadata

    def load(self) -> ArtifactStore:
        """Open the store."""
        return ArtifactStore(self._filepath, self._reuse)

    def save(self, data: None) -> None:
        """Nothing saves a store."""
        raise DatasetError("the artefact store is read-only as a dataset")

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath), "reuse": self._reuse}

    def _exists(self) -> bool:
        return True


class RunDataset(AbstractDataset[None, Run]):
    """The run: put into the catalog when that is made, for every step to read.

    Args:
        run: The run.
    """

    def __init__(self, run: Run, metadata: Any = None) -> None:
        self._run = run
        self.metadata = metadata

    def load(self) -> Run:
        """Return the run."""
        return self._run

    def save(self, data: None) -> None:
        """Refuse: nothing changes a run."""
        raise DatasetError("a run is read-only as a dataset")

    def _describe(self) -> dict[str, Any]:
        return {"problem": self._run.spec.problem.name, "model": self._run.spec.model.name}

    def _exists(self) -> bool:
        return True


class ArtifactDataset(AbstractDataset[Artifact, Artifact]):
    """The newest artefact of its sort: a link to its folder, at a path that does not change.

    Within a run the artefact that the run itself has made, or has chosen to start from, is loaded, whatever another
    run makes of the link. The link is for people: it moves when the run has ended, together with the others.

    Args:
        filepath: Where the link is.
    """

    def __init__(self, filepath: str, metadata: Any = None) -> None:
        self._filepath = Path(filepath)
        self._saved: Artifact | None = None
        self.metadata = metadata

    def load(self) -> Artifact:
        """Find the artefact.

        Raises:
            DatasetError: There is none yet.
        """
        if self._saved is not None:
            return self._saved
        newest = self.newest()
        if newest is None:
            raise DatasetError(f"nothing at {self._filepath} yet: run the pipeline that makes it first")
        return newest

    def newest(self) -> Artifact | None:
        """Find the artefact that the link leads to, whichever run has made it."""
        if not self._filepath.exists():
            return None
        folder = self._filepath.resolve()
        return Artifact(folder, folder.name)

    @property
    def of_this_run(self) -> Artifact | None:
        """The artefact that the run has made, or has chosen to start from."""
        return self._saved

    def save(self, data: Artifact) -> None:
        """Remember what the run has made; :func:`move_links` shows it to others."""
        self._saved = data

    def move_link(self) -> None:
        """Let the link lead to what the run has made; at no moment does it lead nowhere."""
        if self._saved is not None:
            self._filepath.parent.mkdir(parents=True, exist_ok=True)
            point(self._filepath, self._saved.path)

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}

    def _exists(self) -> bool:
        return self._saved is not None or self._filepath.exists()


def move_links(datasets: Iterable[ArtifactDataset], data_dir: Path) -> None:
    """Let the links of a run's results lead to these, all of them before another run moves its own.

    Args:
        datasets: The results.
        data_dir: The data folder.

    Raises:
        UserError: A link cannot be written.
    """
    with links_lock(data_dir), cannot_write(data_dir / "links"):
        for dataset in datasets:
            dataset.move_link()
