"""Exercises of course 200: the project of whoever learns is the answer, and it is held to a computation of its own."""

from __future__ import annotations

import csv
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proml_kedro.academy.exercise import Exercise, is_near
from proml_kedro.errors import Mistake, UserError
from proml_kedro.spec.training_set import DAY, LABEL

if TYPE_CHECKING:
    from proml_kedro.notebook import OpenedProject

_FEATURE, _DAYS, _DELAY = "orders.mean_amount_30d", timedelta(days=30), timedelta(hours=1)
_TOLERANCE = 1e-6
_GAPS = (
    timedelta(minutes=50),
    timedelta(hours=30),
    timedelta(days=8),
    timedelta(days=29, hours=22),
    timedelta(days=31),
)
"""After an order: before it is known, then within windows of 2, 7 and 30 days and beyond them."""


class OfProject(Exercise):
    """An exercise whose answer is the project ``shop`` of the working directory."""

    needs_answer = False

    def judge(self, answer: str, project: OpenedProject | None) -> Iterator[str]:
        """Say what the project lacks.

        Raises:
            UserError: There is no project, or it has no visits and orders.
        """
        if project is None:
            raise UserError(Mistake("", "stand in the project's folder: `proml_kedro new shop && cd shop` makes one"))
        known = project.spec.problem.tables
        if not {"visits", "orders"} <= set(known):
            raise UserError(Mistake("", "this is no shop: its problem has no tables visits and orders"))
        yield from self.lacks(answer, project)

    def lacks(self, answer: str, project: OpenedProject) -> Iterator[str]:
        """Say what the project lacks, a line each."""
        raise NotImplementedError


@dataclass(frozen=True)
class ExamplesLeftOut(OfProject):
    """Visits of one page are no examples."""

    def lacks(self, answer: str, project: OpenedProject) -> Iterator[str]:
        """Count the examples by themselves, from the file."""
        visits = _read(project, "visits")
        expected = {"t": 0, "f": 0}
        for one in visits:
            if int(one["pages"]) > 1:
                expected["t" if one["ordered"] == "1" else "f"] += 1
        labels = project.training_set().arrow([LABEL])[LABEL].to_pylist()
        found = {"t": sum(one == 1 for one in labels), "f": sum(one == 0 for one in labels)}
        if found != expected:
            yield (
                f"{found['t']:,} examples with an order and {found['f']:,} without one; visits of more than a page are "
                f"{expected['t']:,} and {expected['f']:,}: see label.drop_when"
            )


@dataclass(frozen=True)
class FeatureInTime(OfProject):
    """What orders of the last 30 days cost on average, known an hour after the order."""

    def lacks(self, answer: str, project: OpenedProject) -> Iterator[str]:
        """Compute the feature from the file, at moments that tell a delay, a window and an aggregate apart."""
        if _FEATURE not in project.spec.features.columns():
            yield f"there is no feature {_FEATURE}: write `mean_amount` with the window 30d into the view orders"
            return
        orders = _orders(project)
        snapshot = project.spec.features.views["orders"].snapshot
        step = timedelta(0) if snapshot is None else snapshot
        rows = [(one, at + gap) for one in sorted(orders)[:40] for at, _ in orders[one][-2:] for gap in _GAPS]
        keys = {"customer": [one for one, _ in rows]}
        found = project.features.frame(keys, [at for _, at in rows], [_FEATURE])[_FEATURE]
        for (customer, at), value in zip(rows, found, strict=True):
            expected = _mean_before(orders[customer], _known_at(at, step))
            if not _same(value, expected):
                yield (
                    f"{customer} at {at:%Y-%m-%d %H:%M}: {_word(value)}, where the mean of the 30 days is "
                    f"{_word(expected)}; an order is known an hour after it (delay), and a mean is `agg: mean`"
                )
                return


@dataclass(frozen=True)
class EffectOfCustomers(OfProject):
    """The model `regulars`: an effect for each customer, and one of pages for all."""

    def lacks(self, answer: str, project: OpenedProject) -> Iterator[str]:
        """Hold what the model has learned to how the visits were made: 0.3 for each page, deviation 1."""
        from proml_kedro.models.effects import with_effects

        bundle = project.with_overrides("model=regulars").bundle()
        models = with_effects(bundle.graph.components, None, ("model regulars", "component"))
        pages = [one for model in models.values() for one in model.fixed_effects() if one.name == "visit.pages"]
        if not pages:
            yield "visit.pages has no fixed effect: name it under `fixed`"
        elif not 0.25 < (pages[0].per_unit or 0.0) < 0.35:
            yield f"a page adds {pages[0].per_unit:.3f} to the margin, where it was made to add 0.3"
        spread = [one for model in models.values() for one in model.population() if one.effect.startswith("customer")]
        if not spread:
            yield "customers have no effect: name them under `random_effects`"
        elif not 0.7 < spread[0].deviation < 1.4:
            yield f"customers differ by {spread[0].deviation:.2f}, where they were made to differ by 1"


@dataclass(frozen=True)
class GateOfLift(OfProject):
    """A gate refuses a model whose AUC is less than .01 above the baseline's."""

    def lacks(self, answer: str, project: OpenedProject) -> Iterator[str]:
        """Hold the gate to models that were made up: each side of the limit."""
        from proml_kedro.evaluation.gates import judge_gates

        gates = project.spec.evaluation.gates
        for lift, passes in ((0.009, False), (0.011, True), (-0.02, False)):
            outcomes = judge_gates(gates, _made_up(lift))
            passed = all(one.passed for one in outcomes)
            if not outcomes or passed != passes:
                does = "passes" if passed else "does not pass"
                yield f"a model whose auc is {lift:+.3f} above the baseline's {does}: see evaluation.gates, min_lift"
                return


@dataclass(frozen=True)
class ScoreOfRow(OfProject):
    """The probability that a visit of seven pages by a customer ends in an order."""

    needs_answer = True

    def lacks(self, answer: str, project: OpenedProject) -> Iterator[str]:
        """Score the row by the bundle of `regulars`."""
        import pyarrow as pa

        bundle = project.with_overrides("model=regulars").bundle()
        row: dict[str, Any] = {"visit.pages": 7, "customer": "c042"}
        names = [one.name for one in bundle.inputs]
        stored = [one for one in names if one not in row]
        asked = project.features.frame({"customer": ["c042"]}, "2024-04-20T12:00Z", stored) if stored else None
        table = pa.table({name: [row[name]] if name in row else asked[name] for name in names})  # type: ignore[index]
        right = float(bundle.score_frame(table)[0])
        if not is_near(answer, right, 0.002):
            yield "that is not what the bundle says of customer c042 with 7 pages at 2024-04-20 12:00 UTC"


@dataclass(frozen=True)
class LiveVersion(OfProject):
    """A version of the model `regulars` is live."""

    def lacks(self, answer: str, project: OpenedProject) -> Iterator[str]:
        """Read the registry."""
        from proml_kedro.bundle import Manifest
        from proml_kedro.release.registry import Registry

        live = Registry(project.data_dir, project.spec.problem.name).read().champion
        if live is None:
            yield "no version is live: see `kedro model register` and `kedro model promote`"
        elif (model := Manifest.read(live.bundle).model.name) != "regulars":
            yield f"version {live.number} is live, of model {model}; make one of regulars live"


def _read(project: OpenedProject, table: str) -> list[dict[str, str]]:
    source = project.spec.problem.tables[table].source
    with Path(project.base_path, str(source)).open(newline="") as stream:
        return list(csv.DictReader(stream))


def _orders(project: OpenedProject) -> dict[str, list[tuple[datetime, float]]]:
    found: dict[str, list[tuple[datetime, float]]] = {}
    for one in _read(project, "orders"):
        moment = datetime.fromisoformat(f"{one['at']}+00:00")
        found.setdefault(one["customer"], []).append((moment, float(one["amount"])))
    return {customer: sorted(those) for customer, those in found.items()}


def _known_at(at: datetime, step: timedelta) -> datetime:
    """The last moment at which the view's values were made: at whole steps."""
    if not step:
        return at
    start = datetime(1970, 1, 1, tzinfo=at.tzinfo)
    return start + (at - start) // step * step


def _mean_before(orders: list[tuple[datetime, float]], made: datetime) -> float | None:
    """The mean of the 30 days before, of orders that were known by then."""
    until = made - _DELAY
    moments = [at for at, _ in orders]
    amounts = [amount for _, amount in orders[bisect_left(moments, until - _DAYS) : bisect_left(moments, until)]]
    return sum(amounts) / len(amounts) if amounts else None


def _same(value: Any, expected: float | None) -> bool:
    if value is None or expected is None:
        return value is None and expected is None
    return bool(abs(value - expected) <= _TOLERANCE * max(1.0, abs(expected)))


def _word(value: float | None) -> str:
    return "missing" if value is None else f"{value:.2f}"


def _made_up(lift: float) -> Any:
    """A model whose AUC is a baseline's of .7 and a lift."""
    from proml_kedro.evaluation.result import Difference, Evaluation

    one = Difference(lift, lift - 0.001, lift + 0.001, 0.0005, 0.001, 0.001, 30.0)
    return Evaluation(*(1000, "binary", 0.4, 0.4, {"auc": 0.7 + lift}, {"auc": 0.7}, {"auc": one}, DAY, 30, 0.95))
