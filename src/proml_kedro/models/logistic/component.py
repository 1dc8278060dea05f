"""``kind: logistic``: ridge logistic regression, which is ``kind: linear`` of a truth value."""

from __future__ import annotations

from typing import ClassVar

from proml_kedro.models.linear.component import Linear
from proml_kedro.models.logistic.spec import LogisticSpec
from proml_kedro.spec.model import ComponentSpec


class Logistic(Linear):
    """A linear model of the log-odds."""

    Spec: ClassVar[type[ComponentSpec]] = LogisticSpec
