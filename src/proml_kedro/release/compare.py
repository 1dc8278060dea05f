"""Models compared with the first of them: the evaluation of a run, on scores that runs have left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from proml_kedro.errors import Mistake, UserError, unknown
from proml_kedro.evaluation.compare import measure
from proml_kedro.evaluation.metric import higher_is_better
from proml_kedro.evaluation.power import clusters_needed
from proml_kedro.evaluation.result import Evaluation
from proml_kedro.evaluation.verdict import compare as judge
from proml_kedro.extensions import ranking_metrics
from proml_kedro.release.aligned import Aligned
from proml_kedro.results import Comparison
from proml_kedro.spec.evaluation import ComparisonSpec, RankingSpec
from proml_kedro.spec.training_set import DAY


@dataclass(frozen=True)
class Question:
    """What is asked about models; whatever is None is as the evaluation of the first one had it.

    Attributes:
        metrics: Which metrics, the one that decides first.
        cluster_by: What makes rows a cluster.
        margin: By how much a model may be worse in the metric that decides and still be as good; None where none is
            asked for.
    """

    metrics: Sequence[str] = ()
    cluster_by: str | None = None
    margin: float | None = None


@dataclass(frozen=True)
class Answer:
    """One model against the first.

    Attributes:
        name: The model.
        baseline: The first model.
        evaluation: Metrics of both, differences.
        verdict: What they come to.
        remarks: What else is to be known, in sentences.
    """

    name: str
    baseline: str
    evaluation: Evaluation
    verdict: Comparison
    remarks: Sequence[str]


def answer(aligned: Aligned, question: Question) -> list[Answer]:
    """Compare each model with the first.

    Where several are compared, intervals are wider: so that of models that equal the first, any is called better or
    worse as rarely as when there is one (Bonferroni).

    Raises:
        UserError: A metric or column is not there.
    """
    facts = aligned.models[0].metrics
    names = _names(aligned, question)
    ranked = [one for one in names if one.partition("@")[0] in ranking_metrics.names()]
    plain = [one for one in names if one not in ranked]
    within = facts.ranking.within if facts.ranking and ranked else None
    cluster_by = question.cluster_by or facts.cluster_by
    confidence = 1 - (1 - facts.confidence) / (len(aligned.models) - 1)
    spec = ComparisonSpec(cluster_by=cluster_by, confidence=confidence)
    ranking = None
    if facts.ranking and within:
        graded = {"gain": facts.ranking.gain, "relevant": facts.ranking.relevant}
        ranking = RankingSpec(within=within, metrics=ranked, **graded)
    answers = []
    for place, model in enumerate(aligned.models[1:], 1):
        result = measure(aligned.pair(place, cluster_by, within), plain, spec, ranking)
        result = replace(
            result, candidate={name: result.candidate[name] for name in names}
        )  # the one that decides first
        baseline = aligned.models[0].title
        verdict = judge(result, model.title, baseline)
        answers.append(Answer(model.title, baseline, result, verdict, list(_remarks(result, question.margin))))
    return answers


def _names(aligned: Aligned, question: Question) -> list[str]:
    """The metrics to compute; of those that were not asked for, as many as all evaluations have."""
    known = [list(one.metrics.candidate) for one in aligned.models]
    if question.metrics:
        for name in question.metrics:
            if name not in known[0]:
                raise UserError(Mistake("", unknown("metric", name, known[0]), "option --metric"))
        return list(question.metrics)
    return [name for name in known[0] if all(name in others for others in known[1:])]


def _remarks(result: Evaluation, margin: float | None) -> Iterator[str]:
    """Say whether a model is as good within a margin, and how much it would take to see a difference."""
    name = next(iter(result.candidate))
    one = result.differences[name]
    low, high = (one.low, one.high) if higher_is_better(name) else (-one.high, -one.low)
    if margin is not None and not low > 0:
        shown = f"as good within {margin:g} in {name}"
        yield shown if low > -margin else f"not shown to be {shown}"
    size = margin or abs(one.difference)
    needed = clusters_needed(one, result.clusters, size, result.confidence)
    if needed and not (low > 0 or high < 0):
        unit = {"row": "rows", DAY: "days"}.get(result.cluster_by, f"clusters by {result.cluster_by}")
        yield (
            f"to see a difference of {size:.2g} in {name} in 4 of 5 tests takes about {needed:,} {unit}; "
            f"there are {result.clusters:,}"
        )
