"""The runs there were, and models compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from proml_kedro.notebook.frame import Frame
from proml_kedro.notebook.lift import COLUMNS, Lifts, lift_rows

if TYPE_CHECKING:
    from proml_kedro.project import Project
    from proml_kedro.release.compare import Answer


class Runs:
    """Records of runs in the data folder.

    Args:
        project: The project.
    """

    def __init__(self, project: Project) -> None:
        self._project = project

    def table(self) -> Frame:
        """List all runs, the newest first: a row each, with the metrics of the test period as columns."""
        from proml_kedro.results.run_record import read_records
        from proml_kedro.workflow.recording import state_of

        rows: list[dict[str, Any]] = []
        metrics: dict[str, None] = {}
        lost: list[str] = []
        for file, record in read_records(self._project.data_dir, lost.append):
            metrics |= dict.fromkeys(record.metrics)
            rows.append(
                {
                    "id": record.id,
                    "started": record.started[:19].replace("T", " "),
                    "state": state_of(file, record),
                    "problem": record.problem,
                    "model": record.model,
                    "changed": " ".join(record.overrides),
                    "seconds": record.seconds,
                    "verdict": record.verdicts.get("evaluation"),
                    "drift": record.verdicts.get("drift"),
                    **record.metrics,
                }
            )
        columns = ["id", "started", "state", "problem", "model", "changed", "seconds", "verdict", "drift", *metrics]
        return Frame.of(rows, columns, "; ".join([f"{len(rows):,} runs", *lost]))


class Compared(Lifts):
    """Models beside the first of them: a row for each metric and model, and the verdicts in words above them.

    Args:
        answers: A model each.
    """

    def __init__(self, answers: Sequence[Answer]) -> None:
        rows = [{**row, "model": one.name} for one in answers for row in lift_rows(one.evaluation)]
        frame = Frame.of(rows, [*COLUMNS, "model"] if len(answers) > 1 else COLUMNS)
        super().__init__(frame.arrow(), " ".join(one.verdict.in_words for one in answers))
        self.verdicts = {one.name: one.verdict.kind for one in answers}
