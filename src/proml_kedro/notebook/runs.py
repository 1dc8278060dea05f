"""The runs there were, and models compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from proml_kedro.notebook.frame import Frame

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


class Compared(Frame):
    """Models beside the first of them: a row for each metric and model, and the verdicts in words above them.

    Args:
        answers: A model each.
    """

    def __init__(self, answers: Sequence[Answer]) -> None:
        rows = [row for one in answers for row in _rows(one)]
        columns = ["metric", "Baseline", "NewModel", "Lift", "low", "high", "p", "p of all", "model"]
        frame = Frame.of(rows, columns if len(answers) > 1 else columns[:-1])
        super().__init__(frame.arrow(), " ".join(one.verdict.in_words for one in answers))
        self.verdicts = {one.name: one.verdict.kind for one in answers}


def _rows(one: Answer) -> list[dict[str, Any]]:
    """The lift is the difference, above 0 where the model is better, whichever way is up."""
    from proml_kedro.evaluation.metric import higher_is_better

    result, rows = one.evaluation, []
    for name, value in result.candidate.items():
        found = result.differences[name]
        up = higher_is_better(name)
        low, high = (found.low, found.high) if up else (-found.high, -found.low)
        rows.append(
            {
                "metric": name,
                "Baseline": (result.baseline or {})[name],
                "NewModel": value,
                "Lift": found.difference if up else -found.difference,
                "low": None if found.reason else low,
                "high": None if found.reason else high,
                "p": found.p_value,
                "p of all": found.p_adjusted,
                "model": one.name,
            }
        )
    return rows
