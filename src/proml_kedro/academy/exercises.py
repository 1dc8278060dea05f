"""Every exercise by its number, ``200.3`` the third of course 200; the questions are in ``docs/academy``."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from proml_kedro.academy.engineers import (
    EffectOfCustomers,
    ExamplesLeftOut,
    FeatureInTime,
    GateOfLift,
    LiveVersion,
    ScoreOfRow,
)
from proml_kedro.academy.exercise import Choice, Exercise, Number

_MANAGERS = (
    Number("How good is saying never?", 95.0, 0.5, "saying never is right for every visit that ends in no order"),
    Choice(
        "Read a lift table",
        "c",
        {
            "a": "the lift is above 0, but look at its interval: values below 0 are in it too",
            "b": "an interval around 0 does not say that both are equal: it holds lifts of more than .01 too",
        },
    ),
    Number("What does 0.3 promise?", 300.0, 0.5, "of calibrated scores of 0.3, three in ten come true"),
    Choice(
        "Too good to be true",
        "c",
        {
            "a": "pages are counted while the visit lasts, so they are known when the question is asked",
            "b": "orders of the days before are known when the visit begins",
        },
    ),
    Choice(
        "The alarm of drift",
        "b",
        {
            "a": "a model that is trained again on broken data learns what is broken; look first at what has changed",
            "c": "drift of what a model reads may make it worse before any label can tell; look at what has changed",
        },
    ),
    Choice(
        "Nobody sees what is not shown",
        "b",
        {
            "a": "more rows of the same sort say nothing of the jobs that were never shown",
            "c": "no model can learn from clicks that could not happen",
        },
    ),
    Number("Twenty parts of the market", 1.0, 0.1, "with equal models each part has a chance of 5 % of a p below .05"),
)

_ENGINEERS = (
    ExamplesLeftOut("Leave out examples"),
    FeatureInTime("A feature as it was known then"),
    EffectOfCustomers("A model with customers of their own"),
    GateOfLift("A gate"),
    ScoreOfRow("Score a visit"),
    LiveVersion("Make it live"),
)

_DEPTH = (
    Number(
        "How far an effect shrinks",
        0.5,
        0.005,
        "the share that stays is n / (n + residual variance / variance of effects)",
    ),
    Number("Was it not liked, or not seen?", 0.07, 0.0015, "divide the click rate by the chance of being looked at"),
    Number(
        "What 9,000 rows are worth",
        564.0,
        6.0,
        "the design effect is 1 + (rows of a cluster - 1) x correlation within it; divide the rows by it",
    ),
    Choice(
        "Why out of fold?",
        "b",
        {
            "a": "time is not saved: each fold is a fit more",
            "c": "the test period is in no fold; what matters is what the next component learns from",
        },
    ),
    Choice(
        "What is computed again?",
        "c",
        {
            "a": "features do not depend on a parameter of the model",
            "b": "the training set holds what a model reads, and max_depth changes nothing of that",
        },
    ),
    Number("Four p-values", 0.06, 0.001, "Holm: multiply the k-th smallest of m by m - k + 1, and never go down"),
    Number("A click in third place", 0.5, 0.005, "the gain of a place is 1 / log2(place + 1); the best order has 1"),
)

EXERCISES: Mapping[str, Exercise] = MappingProxyType(
    {
        f"{course}.{number}": one
        for course, those in ((100, _MANAGERS), (200, _ENGINEERS), (300, _DEPTH))
        for number, one in enumerate(those, 1)
    }
)
"""By number."""
