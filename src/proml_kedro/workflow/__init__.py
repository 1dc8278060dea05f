"""A run without Kedro: its steps, and the recipes by which results are found again.

:mod:`~proml_kedro.workflow.steps` computes and :mod:`~proml_kedro.workflow.plan` puts the steps in order.
:mod:`~proml_kedro.workflow.recipes` says what each result is made from, :mod:`~proml_kedro.workflow.stored` finds
those of earlier runs, as :mod:`~proml_kedro.workflow.scoring` does for bundles.
"""

from proml_kedro.workflow.plan import make
from proml_kedro.workflow.run import Run

__all__ = ["Run", "code", "make", "plan", "recipes", "scoring", "steps", "stored"]
