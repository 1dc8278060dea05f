"""``loss: pairwise`` and ``loss: listwise``: the order of the rows of a group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from proml_kedro.models.deep.heads.base import Head, HeadState, filled
from proml_kedro.spec.problem import Task

if TYPE_CHECKING:
    from proml_kedro.models.component import Array

_NEVER = -1e9  # a margin whose share is 0


class _Ranking(Head):
    """A head whose margins are compared within a group of rows.

    The level of a margin has no meaning. After training, a logistic regression on the margin alone turns it into a
    probability (Platt, Advances in Large Margin Classifiers, 1999); it is fitted on the validation period.
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"binary"})
    metrics: ClassVar[tuple[str, ...]] = ("ndcg", "auc")
    by_group: ClassVar[bool] = True

    @property
    def gives(self) -> tuple[str, ...]:
        """Margin and calibrated probability."""
        return ("margin", "probability")

    def begin(self, label: Array, weight: Array) -> tuple[Sequence[float], HeadState]:
        """Start at 0, with a calibration that changes nothing.

        Raises:
            ValueError: There are negative relevances.
        """
        if (label < 0).any():
            raise ValueError("is not a relevance: it holds negative values")
        return [0.0], {"slope": 1.0, "offset": 0.0}

    def finish(self, margin: Any, learned: HeadState) -> list[Any]:
        """Return the margin and the calibrated probability."""
        import tensorflow as tf

        return [margin[:, 0], tf.sigmoid(learned["slope"] * margin[:, 0] + learned["offset"])]

    def calibrate(self, label: Array, margin: Array, weight: Array, learned: HeadState) -> HeadState:
        """Fit slope and offset of a logistic regression on the margin; a label above 0 counts as true.

        The slope stays positive: calibration must not reverse an order.
        """
        import numpy as np
        from scipy.optimize import minimize

        target, values = (label > 0).astype(np.float64), margin[:, 0].astype(np.float64)
        if not 0 < target.mean() < 1:
            return learned

        def log_loss(coefficients: Array) -> float:
            logits = coefficients[0] * values + coefficients[1]
            return float(np.average(np.logaddexp(0, logits) - target * logits, weights=weight))

        found = minimize(log_loss, [1.0, 0.0], method="L-BFGS-B", bounds=[(1e-6, None), (None, None)]).x
        return {"slope": float(found[0]), "offset": float(found[1])}


class Pairwise(_Ranking):
    """Each row above those of its group with a smaller label (RankNet, Burges et al., ICML 2005).

    Outputs: ``margin`` and a calibrated ``probability``.
    """

    loss: Literal["pairwise"]

    def loss_of(self, label: Any, margin: Any, weight: Any, learned: HeadState) -> Any:
        """Compute the logistic loss of differences of margins, averaged over pairs.

        A pair has the weight of its better row; a row of weight 0 is as if it were not there.
        """
        import tensorflow as tf

        better = (label[:, :, None] > label[:, None, :]) & (weight[:, None, :] > 0)  # false for NaN
        pairs = tf.where(better, weight[:, :, None], 0.0)
        losses = tf.nn.softplus(margin[:, None, :] - margin[:, :, None])
        return tf.math.divide_no_nan(tf.reduce_sum(losses * pairs), tf.reduce_sum(pairs))


class Listwise(_Ranking):
    """The best row of a group above all others at once: softmax of the margins (ListNet, Cao et al., ICML 2007).

    Outputs: ``margin`` and a calibrated ``probability``.
    """

    loss: Literal["listwise"]

    def loss_of(self, label: Any, margin: Any, weight: Any, learned: HeadState) -> Any:
        """Compute the cross entropy of the labels' shares and the margins'.

        It is averaged over lists with a positive label. A list counts as much as its positive rows do, by their shares
        of its label; a row of weight 0 is as if it were not there.
        """
        import tensorflow as tf

        known = tf.logical_not(tf.math.is_nan(label)) & (weight > 0)
        gains = tf.where(known, filled(label), 0.0)
        gains = tf.math.divide_no_nan(gains, tf.reduce_sum(gains, axis=1, keepdims=True)) * weight
        shares = tf.nn.log_softmax(tf.where(known, margin, _NEVER))
        losses = -tf.reduce_sum(tf.where(known, gains * shares, 0.0))
        return tf.math.divide_no_nan(losses, tf.reduce_sum(gains))
