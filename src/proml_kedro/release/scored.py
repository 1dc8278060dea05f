"""Models with the scores that they were judged by: runs, evaluations and bundles, by what a user calls them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from proml_kedro.artifacts import Artifact, ArtifactStore
from proml_kedro.errors import Mistake, UserError, unknown
from proml_kedro.results import Metrics, Places, RunRecord, Scores
from proml_kedro.results.names import MANIFEST
from proml_kedro.spec.split import TEST

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class ScoredModel:
    """A model with its scores of the test period.

    Attributes:
        title: What it is called in a comparison.
        rows: A row for each example of the test period; columns of :class:`~proml_kedro.results.Scores`.
        metrics: What its evaluation came to.
    """

    title: str
    rows: pa.Table
    metrics: Metrics


@dataclass(frozen=True)
class Shelf:
    """Where models may be found.

    Attributes:
        store: Results.
        places: Where the newest result of each name lies.
        records: Runs, the newest first.
    """

    store: ArtifactStore
    places: Places
    records: Sequence[RunRecord]

    def read(self, name: str) -> ScoredModel:
        """Read a model by a name that a user has written.

        Args:
            name: Folder of a bundle or of an evaluation, the beginning of a run's id, or a model of the configured
                problem, whose newest evaluation is meant.

        Raises:
            UserError: It is none of them, or it has no scores.
        """
        folder = self._folder(name)
        scores = Scores.read(folder, TEST)
        if scores.table.num_rows == 0:
            raise UserError(Mistake("", f"'{name}' has no scores of a test period"))
        return ScoredModel(name, scores.table, Metrics.read(folder))

    def models(self) -> list[str]:
        """Name the models of the problem that have an evaluation."""
        placed = [model for _, model in self.places.find("evaluation", self.places.problem)]
        return list(dict.fromkeys([*placed, *(one.model for one in self._evaluated())]))

    def _evaluated(self) -> list[RunRecord]:
        return [one for one in self.records if "evaluation" in one.results and one.problem == self.places.problem]

    def bundle(self, name: str) -> Path:
        """Return the folder of a bundle by a name that a user has written: that folder, or the beginning of a run's id.

        Raises:
            UserError: It is neither, or the run has made none.
        """
        if (Path(name) / MANIFEST).is_file():
            return Path(name)
        runs = [one for one in self.records if one.id.startswith(name)]
        if len(runs) != 1:
            what = f"begins the ids of {len(runs)} runs" if runs else "is neither a bundle's folder nor a run's id"
            raise UserError(Mistake("", f"'{name}' {what}; see `kedro runs list`"))
        made = runs[0].results.get("bundle")
        if made is None or not (folder := self.store.data_dir / "store" / made).is_dir():
            raise UserError(
                Mistake("", f"run {runs[0].id} has no bundle, or it was removed; `{runs[0].command}` makes it")
            )
        return folder

    def _folder(self, name: str) -> Path:
        """Return the folder of the evaluation that a name stands for."""
        place = Path(name)
        if (place / MANIFEST).is_file():
            return self.evaluation_of(place)
        if place.is_dir() and (place / Metrics.FILE).is_file():
            return place
        runs = [one for one in self.records if one.id.startswith(name)]
        if len(runs) == 1:
            return self._of_run(runs[0])
        if runs:
            raise UserError(Mistake("", f"'{name}' begins the ids of {len(runs)} runs; write more of it"))
        problem = self.places.problem
        evaluated = self._evaluated()
        if of_model := [one for one in evaluated if one.model == name]:
            return self._of_run(of_model[0])
        models = {model: one for (_, model), one in self.places.find("evaluation", problem).items()}
        if name not in models:
            what = "neither a run, nor a folder of a bundle or an evaluation, nor a model with an evaluation"
            known = [*dict.fromkeys([*models, *(one.model for one in evaluated)]), *(one.id for one in self.records)]
            raise UserError(Mistake("", f"'{name}' is {what}: {unknown('name', name, known)}"))
        return models[name]

    def _of_run(self, run: RunRecord) -> Path:
        if "evaluation" not in run.results:
            raise UserError(Mistake("", f"run {run.id} has no evaluation; it was '{run.command}'"))
        folder = self.store.data_dir / "store" / run.results["evaluation"]
        if not folder.is_dir():
            raise UserError(Mistake("", f"the evaluation of run {run.id} was removed; `{run.command}` makes it anew"))
        return folder

    def evaluation_of(self, place: Path) -> Path:
        """Return the evaluation that a bundle was made from: beside it, in the store that it lies in, or in this one.

        Raises:
            UserError: It is in none of them.
        """
        if (place.parent / "evaluation" / Metrics.FILE).is_file() and place.name == "bundle":
            return place.parent / "evaluation"
        folder = place.resolve()
        stores = [ArtifactStore(one) for one in folder.parents if (one / "store").is_dir()]
        for store in [*stores, self.store]:
            here = store.data_dir / "store" / "bundle" / folder.name
            evaluation = store.made_of(Artifact(here, here.name)).get("evaluation")
            if evaluation is not None and evaluation.path.is_dir():
                return evaluation.path
        message = "the evaluation of this bundle is not in a data folder around it; name the run or its evaluation"
        raise UserError(Mistake("", message, str(place)))
