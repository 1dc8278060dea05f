"""The academy: exercises of its three courses, and whether an answer is right."""

from __future__ import annotations

from proml_kedro.academy.exercise import Exercise
from proml_kedro.academy.exercises import EXERCISES

__all__ = ["EXERCISES", "Exercise", "engineers"]
