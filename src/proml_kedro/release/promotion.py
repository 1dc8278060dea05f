"""What speaks against making a version live."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from proml_kedro.bundle import Bundle
from proml_kedro.errors import Mistake, UserError
from proml_kedro.release.aligned import align
from proml_kedro.release.compare import Question, answer
from proml_kedro.release.registry import Version
from proml_kedro.release.scored import ScoredModel, Shelf
from proml_kedro.release.used_features import lost_features
from proml_kedro.results import Comparison, DriftResult, Metrics, UnreadableError
from proml_kedro.results.names import MANIFEST
from proml_kedro.spec.features import FeaturesSpec


@dataclass(frozen=True)
class Judgement:
    """What came of looking at a version.

    Attributes:
        against: What speaks against it, in a sentence each that begins with the name of the check.
        remarks: What else is to be known.
    """

    against: list[str]
    remarks: list[str]


_SHOWN = 5
"""Names of features that a message lists."""


def judge(version: Version, champion: Version | None, features: FeaturesSpec, shelf: Shelf) -> Judgement:
    """Judge a version by what is known of it.

    That are its golden rows, the verdict and the gates of its evaluation, the comparison with the champion on the same
    examples, the newest drift check of its model, and whether the project still declares the features that it looks up.

    Args:
        version: Which.
        champion: What is live; None where nothing is.
        features: The features that the project declares now.
        shelf: Where evaluations and drift checks are.

    Raises:
        UserError: The bundle is damaged: that cannot be passed over.
    """
    bundle = Bundle.load(version.bundle)
    against = [*_of_evaluation(version), *of_features(version, features)]
    against += _of_drift(bundle.manifest.problem.name, bundle.manifest.model.name, shelf)
    remarks: list[str] = []
    if champion is not None:
        try:
            verdict = _compared(version, champion, shelf)
        except UserError as error:
            against.append(f"comparison: {error}")
        else:
            (against if verdict.forbids_serving else remarks).append(f"comparison: {verdict.text}")
    return Judgement(against, remarks)


def _of_evaluation(version: Version) -> Iterator[str]:
    try:
        metrics = Metrics.read(version.bundle)
    except UnreadableError as error:
        yield f"evaluation: {error.reason}"
        return
    if metrics.verdict is not None and metrics.verdict.forbids_serving:
        yield f"evaluation: {metrics.verdict.text}"
    for gate in metrics.failed_gates:
        yield f"gate of {gate.metric}: {gate.text}"


def of_features(version: Version, features: FeaturesSpec) -> Iterator[str]:
    """Say which features a version looks up that the project no longer declares as they were."""
    lost = [one.name for one in lost_features(version.bundle, features)]
    if lost:
        more = f" and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else ""
        yield f"features: it looks up what is no longer declared as it was: {', '.join(lost[:_SHOWN])}{more}"


def _of_drift(problem: str, model: str, shelf: Shelf) -> Iterator[str]:
    folder = shelf.places.find("drift", problem).get((problem, model))
    if folder is not None and (found := DriftResult.read(folder)).verdict == "drift":
        yield f"drift: {found.words}"


def _compared(version: Version, champion: Version, shelf: Shelf) -> Comparison:
    """Compare a version with the champion, on the examples of the test period that both have scored."""
    if not (champion.bundle / MANIFEST).is_file():
        message = f"the bundle of version {champion.number}, which is live, is not there; register it anew"
        raise UserError(Mistake("", message))
    models = [_scored(one, shelf) for one in (champion, version)]
    return answer(align(models), Question())[0].verdict


def _scored(version: Version, shelf: Shelf) -> ScoredModel:
    found = shelf.read(str(version.bundle))
    return replace(found, title=f"version {version.number}")
