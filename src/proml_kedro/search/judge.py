"""The best trial's model, made in full and judged once on the test period."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from proml_kedro.results import Metrics
from proml_kedro.results.trial import Trial
from proml_kedro.search.explore import Search
from proml_kedro.search.report import optimism
from proml_kedro.workflow.champion import Challenge, challenge


@dataclass(frozen=True)
class Winner:
    """The best trial's model.

    Attributes:
        trial: The trial.
        bundle: Folder of its bundle.
        evaluation: Folder of its evaluation.
        metrics: What that holds.
        challenge: What came of the comparison with the champion; None where there is none.
        judged: How many models of the search have been judged on the test period.
    """

    trial: Trial
    bundle: Path
    evaluation: Path
    metrics: Metrics
    challenge: Challenge | None
    judged: int

    def lines(self, search: Search, trials: int) -> Iterator[str]:
        """Say how good it is on the test period, and how sure that is."""
        facts = search.facts
        test = self.metrics.candidate.get(facts.metric)
        if test is None:
            yield f"{facts.metric} is not defined on the test period"
        else:
            yield from optimism(self.trial, test, facts, trials, self.judged)
        yield from (f"fails the gate: {one.text}" for one in self.metrics.failed_gates)
        if self.metrics.verdict:
            yield self.metrics.verdict.text
        if self.challenge:
            yield self.challenge.text
            yield from (f"fails the gate: {one.text}" for one in self.challenge.failed_gates)


def judge(search: Search, trial: Trial) -> Winner:
    """Make the model, evaluation and bundle of a trial, as `kedro run` does with its overrides.

    The model may learn from the validation part too, now that this has chosen.

    Raises:
        UserError: The model cannot be made.
    """
    judged = search.study.judge(trial)
    project = search.project.with_overrides(*trial.overrides)
    made = project.run(results=("bundle",))
    against = challenge(project.as_run(), made["evaluation"])
    metrics = Metrics.read(made["evaluation"].path)
    return Winner(trial, made["bundle"].path, made["evaluation"].path, metrics, against, judged)
