"""Feature tables → online store, as of the newest example; then a check that both say the same.

The store is one for all models of a problem, and changes in place. Each step looks at the state it is in, with nobody
else changing it meanwhile, and brings it to what this run is about.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from proml_kedro.artifacts import Artifact
from proml_kedro.atomic import write_whole
from proml_kedro.digests import fingerprint
from proml_kedro.results import Consistency, OnlineValues, UnreadableError
from proml_kedro.results.names import examples_file
from proml_kedro.spec.feature_ref import FeatureRef
from proml_kedro.workflow.filled import Filled, held_by, note_folder
from proml_kedro.workflow.recipes import columns_read
from proml_kedro.workflow.run import Run
from proml_kedro.workflow.steps.register import feature_store_lock, registering

logger = logging.getLogger(__name__)


def materialize_features(run: Run, training_set: Artifact, feature_tables: Artifact) -> Artifact:
    """Put the values as of the newest example into the online store, for scoring by entity keys.

    The result says what the store holds: the moment of each view, and a digest of its history.
    """
    filling = _Filling(run, training_set, feature_tables)
    with feature_store_lock(run):
        if not run.store.reuse or not filling.is_done():
            filling.do(anew=not run.store.reuse)
        held = held_by(filling.online)

    def write(folder: Path) -> None:
        OnlineValues.of(held).write(folder)

    return run.store.build(f"{run.spec.problem.name}/online_values", {"held": held}, write)


def check_online_values(
    run: Run, online_values: Artifact, training_set: Artifact, feature_tables: Artifact
) -> Artifact:
    """Compare what training reads with what serving reads; see ``consistency.json``."""
    spec, columns, filling = (
        run.spec,
        columns_read(run.spec, run.spec.model),
        _Filling(run, training_set, feature_tables),
    )

    def write(folder: Path) -> None:
        from proml_kedro.features.feast.history import TablesHistory
        from proml_kedro.features.online.consistency import FeatureSources, check_consistency

        tables = feature_tables.path
        history = TablesHistory(spec.problem, spec.features, tables, run.store.data_dir, spec.hardware)
        sources = FeatureSources(spec.features, history, filling.online)
        moments = {name: one.until for name, one in filling.online.watermarks().items() if name in spec.features.views}
        compared = check_consistency(sources, columns, moments, tables, spec.hardware)
        Consistency.summing(compared).write(folder)

    inputs: dict[str, Any] = {"online_values": online_values, "feature_tables": feature_tables, "columns": columns}
    place = f"{spec.problem.name}/{spec.model.name}/consistency"
    with feature_store_lock(run):
        if not filling.is_done():  # another run has been here since
            filling.do()
        views = sorted({FeatureRef.parse(one).view for one in columns})
        # Rows that were pushed are part of what is compared: the verdict is one of this state, and of no other.
        inputs["states"] = {name: filling.online.state(name) for name in views}
        return run.store.build(place, inputs, write, code=("features.online", "features.feast", "==duckdb", "==feast"))


class _Filling:
    """Filling of a problem's online store with the values of a run.

    Args:
        run: The run.
        training_set: Whose newest example is the moment.
        feature_tables: Where the values come from.

    Attributes:
        online: The store.
    """

    def __init__(self, run: Run, training_set: Artifact, feature_tables: Artifact) -> None:
        from proml_kedro.features.online.open import open_store, store_place

        self._run, self._training_set, self._feature_tables = run, training_set, feature_tables
        project = run.spec.problem.name
        self.online = open_store(store_place(run.spec.online_store, project, run.store.data_dir), project)
        self._note = note_folder(run.store.data_dir, project)

    def is_done(self) -> bool:
        """Tell whether the store holds what this run puts there, unchanged: every row is looked at."""
        filled = self._filled()
        if filled is None or filled.made_from != self._made_from() or self._lost(filled):
            return False
        return filled.held.keys() >= set(self._run.stored_views)

    def do(self, anew: bool = False) -> None:
        """Fill the store; views that are as they were written get only what is new, unless all is to be done anew."""
        from proml_kedro.features.feast.materialize import materialize_new
        from proml_kedro.features.training.training_set import newest_moment

        run, filled = self._run, self._filled()
        lost = self._lost(filled) if filled else []
        if lost:
            names = ", ".join(f"'{one}'" for one in lost)
            logger.warning(
                "the online store does not hold what was written of %s: it is filled again, without rows "
                "that were pushed",
                names,
            )
        for one in (self._training_set, self._feature_tables):
            run.store.verify(one)
        (self._note / Filled.FILE).unlink(missing_ok=True)
        newest = newest_moment(examples_file(self._training_set.path))
        self.online.discard_damaged()  # before Feast registers views in it
        with registering(run, self._feature_tables) as repository:
            views, tables = run.stored_views, self._feature_tables.path
            materialize_new(repository, tables, views, newest, run.spec.hardware, anew)
        others = {name: what for name, what in filled.held.items() if name not in run.stored_views} if filled else {}
        declared = {name: what for name, what in others.items() if name in run.spec.features.views}
        held = {**held_by(self.online), **declared}  # what others lose, they are to find
        made = Filled(self._made_from(), held, run.spec.online_store)
        write_whole(self._note / Filled.FILE, json.dumps(made.as_dict()))

    def _filled(self) -> Filled | None:
        """Return what was noted when the store was filled last; None when nothing was, or the note is damaged."""
        try:
            return Filled.read(self._note)
        except UnreadableError:
            return None

    def _lost(self, filled: Filled) -> list[str]:
        """List the views of this run that the store should hold and does not, all and unchanged."""
        return filled.lost(self.online, self._run.stored_views)

    def _made_from(self) -> str:
        run = self._run
        return fingerprint(
            {
                "training_set": self._training_set,
                "feature_tables": self._feature_tables,
                "service": run.service_name,
                "code": run.store.code_fingerprint("features.feast", "features.online"),
                "online_store": run.spec.online_store,
            }
        )
