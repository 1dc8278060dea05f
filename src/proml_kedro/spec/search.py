"""``conf/search/*.yaml``: which variations of a model are tried, in which order, and how many."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from proml_kedro.spec.base import Name, PositiveDuration, Spec

Sampler = Literal["auto", "grid", "random", "tpe"]

Pruning = Literal["none", "median", "asha"]


class SearchSpec(Spec):
    """What `kedro sweep` tries. Trials are judged by the validation part of the split, never by the test period.

    Attributes:
        space: What varies, in the grammar of Hydra's sweeps, as on the command line:
            `model=xgboost,logistic`, `model.components.trees.params.max_depth=range(3,9)`,
            `model.components.trees.params.learning_rate=tag(log,interval(0.02,0.3))`. `range` leaves out its end, as
            in Hydra. A variation of the command line replaces that of the same key.
        sampler: How combinations are chosen. `grid`: all of them, in order. `random`: at random. `tpe`: those that
            earlier trials make likely to be good (a tree-structured Parzen estimator, Bergstra et al., NIPS 2011, as
            Optuna has it). `auto`: the grid where it has no more combinations than there are trials, and `tpe`
            otherwise.
        trials: Most trials of the search. A grid that has more combinations is refused.
        cpu: CPU time of all trials together after which no further one begins; no limit when left out.
        metric: What decides; the first metric of the evaluation when left out.
        pruning: Whether trials end early whose curve on the validation part is a bad one: `median` ends those that
            are worse than half of the trials before at the same step, `asha` keeps a third at steps 10, 30, 90 and so
            on (asynchronous successive halving, Li et al., MLSys 2020). Trees have such a curve, where they give the
            model's score; only curves of the same figure are compared, and none where a split has several folds.
        name: Name of the search. When left out it is made from what is searched, so that the same command goes on with
            the same search, and another one begins another.
    """

    space: list[str] = []
    sampler: Sampler = "auto"
    trials: Annotated[int, Field(ge=1, le=10_000)] = 60
    cpu: PositiveDuration | None = None
    metric: str | None = None
    pruning: Pruning = "none"
    name: Name | None = None
