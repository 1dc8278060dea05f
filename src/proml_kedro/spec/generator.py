"""``problem.generator``: data that is made up rather than read, of any size, with known truth."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from proml_kedro.spec.base import Spec

GENERATED = "generated:"
"""A table whose source begins with it comes from the problem's generator."""

TABLES = {"job_search": ("impressions", "jobs", "members")}
"""The tables that each kind of generator makes."""


TRUTH = "truth"
"""The folder of what is true of generated data, beside the tables; nothing reads it but people and tests."""


class GeneratorSpec(Spec):
    """A search for jobs: members are shown lists of jobs, look at some, dismiss some, apply to a few.

    Every number below leads to other data; the same numbers always lead to the same data.

    Attributes:
        kind: What is generated.
        seed: Of every random choice; not the run's, so that training again with another seed is on the same data.
        members: How many people search.
        jobs: How many jobs are posted, the first of them a month before the first search.
        lists: How many searches there are; each shows a list.
        list_length: Jobs in a list, in positions from 1.
        days: How long the period is.
        start: Its first day.
        explore: Share of lists whose jobs are chosen at random rather than by how well they seem to fit.
        anomalies: Whether faults of data collection are injected, as `truth/anomalies.json` lists them.
    """

    kind: Literal["job_search"]
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    members: Annotated[int, Field(ge=10, le=100_000_000)] = 4_000
    jobs: Annotated[int, Field(ge=300, le=100_000_000)] = 2_500
    lists: Annotated[int, Field(ge=100, le=1_000_000_000)] = 40_000
    list_length: Annotated[int, Field(ge=2, le=20)] = 10
    days: Annotated[int, Field(ge=7, le=3_650)] = 60
    start: date = date(2026, 6, 1)
    explore: Annotated[float, Field(ge=0, le=1)] = 0.3
    anomalies: bool = True
