"""The model of a run against the champion: the bundle that is live."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from proml_kedro.artifacts import Artifact
from proml_kedro.atomic import write_whole
from proml_kedro.errors import Mistake, UserError
from proml_kedro.results import GateOutcome, Metrics
from proml_kedro.results.live import live_bundle, live_file
from proml_kedro.results.names import GATES_JUNIT, MANIFEST
from proml_kedro.workflow.run import Run

if TYPE_CHECKING:
    from proml_kedro.evaluation.result import Evaluation
    from proml_kedro.results import Comparison

FOLDER = "champion"
"""Folder beside a model's evaluation: ``metrics.json``, where the champion is the baseline, and ``gates.xml``."""


@dataclass(frozen=True)
class Challenge:
    """What came of a comparison with the champion.

    Attributes:
        text: The verdict in words, or why there is none.
        kind: Of the verdict; ``undefined`` where there is none.
        gates: What came of the gates against the champion.
        folder: Where the figures are; None where nothing was compared.
    """

    text: str
    kind: str
    gates: tuple[GateOutcome, ...]
    folder: Path | None = None

    @property
    def failed_gates(self) -> list[GateOutcome]:
        """The gates that the model does not pass."""
        return [one for one in self.gates if not one.passed]


def find_champion(run: Run) -> Path | None:
    """Return the folder of the champion's bundle; None where nobody names one.

    Raises:
        UserError: There is no bundle where one is named.
    """
    named = run.spec.evaluation.champion
    note = live_file(run.store.data_dir, run.spec.problem.name)
    if named is None and not note.is_file():
        return None
    folder = live_bundle(note) if named is None else run.base_path / named
    if not (folder / MANIFEST).is_file():
        message = f"there is no bundle in '{folder}'; name the folder that holds {MANIFEST}"
        raise UserError(Mistake("", message, str(note)) if named is None else Mistake("evaluation.champion", message))
    return folder


def challenge(run: Run, evaluation: Artifact) -> Challenge | None:
    """Compare a run's model with the champion on the examples of the test period that both have scored.

    What cannot be compared, for example since examples have changed, passes no gate against the champion.

    Args:
        run: The run.
        evaluation: Its evaluation.

    Returns:
        None where there is no champion, or it is the model itself.
    """
    champion = find_champion(run)
    folder = run.places.at("evaluation").parent / FOLDER
    gates = {name: one for name, one in run.spec.evaluation.gates.items() if one.against == "champion"}
    if champion is None:
        return None
    try:
        found = _compare(run, champion, evaluation)
    except UserError as error:
        reason = "; ".join(one.message for one in error.mistakes)
        failed = tuple(GateOutcome(name, passed=False, text=reason) for name in gates)
        return Challenge(f"The champion {champion} cannot be compared with: {reason}", "undefined", failed)
    if found is None:
        return None
    from proml_kedro.evaluation.gates import judge_gates

    result, baseline, verdict = found
    result = replace(result, gates=judge_gates(gates, result, "champion"))
    _write(folder, result, (run.spec.model.name, baseline), verdict)
    return Challenge(f"Against the champion: {verdict.in_words}", verdict.kind, result.gates, folder)


def _compare(run: Run, champion: Path, evaluation: Artifact) -> tuple[Evaluation, str, Comparison] | None:
    """Result, name of the champion, and verdict; None where the evaluation is the champion's own."""
    from proml_kedro.bundle import BundleOutline
    from proml_kedro.release.aligned import align
    from proml_kedro.release.compare import Question, answer
    from proml_kedro.release.scored import Shelf

    shelf = Shelf(run.store, run.places, [])
    first, second = shelf.read(str(champion)), shelf.read(str(evaluation.path))
    title = f"champion {BundleOutline.read(champion).tag}"
    if first.rows.equals(second.rows):
        return None
    aligned = align([replace(first, title=title), replace(second, title=run.spec.model.name)])
    names = [one for one in second.metrics.candidate if one in first.metrics.candidate]
    if not names:
        raise UserError.at("evaluation.metrics", f"{title} was judged by none of them")
    (found,) = answer(aligned, Question(names))
    return found.evaluation, title, found.verdict


def _write(folder: Path, result: Evaluation, names: tuple[str, str], verdict: Comparison) -> None:
    from proml_kedro.evaluation.gates import write_junit

    folder.mkdir(parents=True, exist_ok=True)
    content = {**result.as_dict(), "candidate_name": names[0], "baseline_name": names[1], "verdict": verdict}
    write_whole(folder / Metrics.FILE, json.dumps(Metrics.of(content).as_dict(), indent=Metrics.INDENT))
    (folder / GATES_JUNIT).unlink(missing_ok=True)
    if result.gates:
        write_junit(folder / GATES_JUNIT, result.gates, names[0])
