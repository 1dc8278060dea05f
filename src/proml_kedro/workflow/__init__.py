"""A run without Kedro: its steps, and the recipes by which results are found again.

:mod:`~proml_kedro.workflow.steps` computes and :mod:`~proml_kedro.workflow.plan` puts the steps in order.
:mod:`~proml_kedro.workflow.recipes` says what each result is made from, :mod:`~proml_kedro.workflow.stored` finds
those of earlier runs. :mod:`~proml_kedro.workflow.recording` keeps the record of a
run, :mod:`~proml_kedro.workflow.scoring` finds what fits a bundle.
"""

from proml_kedro.workflow.plan import make
from proml_kedro.workflow.run import Run

__all__ = ["Run", "champion", "code", "filled", "make", "plan", "recipes", "recording", "scoring", "steps", "stored"]
