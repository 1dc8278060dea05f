"""What a run has made: results by name, which show what the run came to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from proml_kedro.notebook.frame import Frame
from proml_kedro.notebook.lift import COLUMNS, Lifts, lift_rows

if TYPE_CHECKING:
    from proml_kedro.artifacts import Artifact


class Made(dict[str, "Artifact"]):
    """Results by name. Where an evaluation is among them it shows the verdict, and the metrics beside the baseline's.

    Args:
        results: All that was made or taken over.
    """

    def __init__(self, results: Mapping[str, Artifact]) -> None:
        super().__init__(results)

    def table(self) -> Frame:
        """List the metrics of the test period beside the baseline's, or the results where nothing was evaluated."""
        if "evaluation" not in self:
            rows: list[dict[str, Any]] = [{"result": name, "folder": str(one.path)} for name, one in self.items()]
            return Frame.of(rows, ["result", "folder"], f"{len(self)} results")
        from proml_kedro.results import Metrics

        metrics = Metrics.read(self["evaluation"].path)
        title = metrics.verdict.in_words if metrics.verdict else f"{metrics.rows:,} rows of the test period"
        if metrics.baseline is None:
            plain = [{"metric": name, "value": value} for name, value in metrics.candidate.items()]
            return Frame.of(plain, ["metric", "value"], title)
        return Lifts(Frame.of(lift_rows(metrics), COLUMNS).arrow(), title)

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()
