"""What an evaluation comes to, in words: better than the baseline, worse, or not to be told apart."""

from __future__ import annotations

import math
from collections.abc import Iterator

from proml_kedro.evaluation.metric import higher_is_better
from proml_kedro.evaluation.result import Difference, Evaluation
from proml_kedro.results import Comparison
from proml_kedro.results.evaluation import ComparisonKind

_ADVICE: dict[ComparisonKind, str] = {
    "better": "",
    "unclear": "more test rows, or a larger change of the model, would tell",
    "unclear worse": "keep the baseline unless more test rows say otherwise",
    "equal": "keep the baseline",
    "worse": "do not serve it: keep the baseline, or change the model",
    "alone": "set evaluation.baseline (+evaluation=default where config.yaml names no evaluation) to see its worth",
    "undefined": "the test period lacks what the metric needs",
}


def compare(result: Evaluation, candidate: str, baseline: str | None) -> Comparison:
    """Judge a model against its baseline by the first metric of the configuration.

    A difference in it is clear when its interval does not hold 0; in another metric, when its p-value is small as one
    of all of them.

    Args:
        result: The metrics.
        candidate: Name of the model.
        baseline: Name of the baseline; None when there is none.
    """
    metric = next(iter(result.candidate))
    if result.baseline is None or baseline is None:
        return _words("alone", f"{candidate} was compared with nothing")
    if baseline == candidate:
        baseline = f"the baseline {baseline}"
    one = result.differences[metric]
    kind = _kind(one, higher_is_better(metric))
    text = {
        "better": f"{candidate} is better than {baseline}",
        "unclear": f"{candidate} is not clearly better than {baseline}",
        "unclear worse": f"{candidate} is not better than {baseline}, and not clearly worse",
        "equal": f"{candidate} is as good as {baseline}, no better",
        "worse": f"{candidate} is worse than {baseline}",
        "undefined": f"{candidate} cannot be compared with {baseline}",
    }[kind]
    others = [name for name in list(_clear(result, not _is_good(kind))) if name != metric]
    contrast = f"; but clearly {'worse' if _is_good(kind) else 'better'} in {', '.join(others)}" if others else ""
    return _words(kind, f"{text}: {metric} {_difference(one, result.confidence)}{contrast}")


def _is_good(kind: ComparisonKind) -> bool:
    return kind in ("better", "unclear", "equal")


def _kind(one: Difference, higher: bool) -> ComparisonKind:
    if math.isnan(one.difference):
        return "undefined"
    gain = one.difference if higher else -one.difference
    if gain == 0 and not (one.low < 0 or one.high > 0):
        return "equal"
    if one.low > 0 or one.high < 0:
        return "better" if gain > 0 else "worse"
    return "unclear" if gain > 0 else "unclear worse"


def _clear(result: Evaluation, better: bool) -> Iterator[str]:
    """Name the metrics whose difference is clear among all, and for the better or for the worse."""
    for name, one in result.differences.items():
        is_gain = (one.difference > 0) == higher_is_better(name)
        if one.p_adjusted < 1 - result.confidence and is_gain == better:
            yield name


def _difference(one: Difference, confidence: float) -> str:
    if math.isnan(one.difference):
        return "is undefined"
    interval = f"{100 * confidence:.4g}% interval {one.low:+.4f} … {one.high:+.4f}"
    return f"{one.difference:+.4f} ({f'no interval: {one.reason}' if math.isnan(one.low) else interval})"


def _words(kind: ComparisonKind, text: str) -> Comparison:
    return Comparison(kind, text, _ADVICE[kind])
