"""Members and jobs: what is known of them, and what is true of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from proml_kedro.generators.job_titles import (
    DIMENSIONS,
    LEVEL_SHARES,
    LEVELS,
    REGIONS,
    Floats,
    Titles,
    draw_titles,
    spellings,
)
from proml_kedro.spec.generator import GeneratorSpec

Ints = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]

DAYS_BEFORE = 30
"""How many days before the first search the first job is posted."""

_SHORT_WORDS = 0.15  # share of titles with shortened words


@dataclass(frozen=True)
class People:
    """Members, or jobs: each has a title, a level and a region.

    Attributes:
        title: Number of the title, shape (n,).
        seniority: From 0 to 5.
        region: Number of the region.
        text: Number of the title as it is written.
        embedding: The work as it really is, shape (n, :data:`DIMENSIONS`); hidden.
        seen_embedding: The same with noise, as a language model would give it.
        intercept: How much more likely than others their rows are to be clicked, in log-odds; hidden.
    """

    title: Ints
    seniority: Ints
    region: Ints
    text: Ints
    embedding: Floats
    seen_embedding: Floats
    intercept: Doubles


@dataclass(frozen=True)
class World:
    """Members and jobs, with the hidden effects that decide about clicks.

    Attributes:
        titles: All titles.
        texts: All ways to write them.
        members: Those who search.
        activity: Cumulated share of each member in all searches, shape (members,).
        remote_slope: How much more a member likes remote jobs than others do, in log-odds; hidden.
        jobs: What is found, in the order in which it is posted.
        posted: Days after the start, shape (jobs,), ascending.
        company: Number of the company.
        is_remote: Whether one can work from anywhere.
        salary: Thousands a year.
    """

    titles: Titles
    texts: tuple[str, ...]
    members: People
    activity: Doubles
    remote_slope: Doubles
    jobs: People
    posted: Doubles
    company: Ints
    is_remote: npt.NDArray[np.bool_]
    salary: Doubles


def draw_world(spec: GeneratorSpec) -> World:
    """Draw members and jobs. Their effects are normal: the known answer for a mixed-effects model."""
    generator = np.random.default_rng([spec.seed, 0])
    titles = draw_titles(generator)
    texts, numbers = spellings(titles)
    members = _draw_people(generator, spec.members, titles, numbers, spread=0.25, deviation=0.6, even=False)
    jobs = _draw_people(generator, spec.jobs, titles, numbers, spread=0.20, deviation=0.5, even=True)
    activity = generator.pareto(1.3, spec.members) + 0.2
    return World(
        titles=titles,
        texts=texts,
        members=members,
        activity=np.cumsum(activity / activity.sum()),
        remote_slope=generator.normal(0, 0.8, spec.members),
        jobs=jobs,
        posted=np.sort(generator.uniform(-DAYS_BEFORE, spec.days, spec.jobs)),
        company=generator.zipf(1.4, spec.jobs) % 400,
        is_remote=generator.random(spec.jobs) < 0.3,
        salary=_salaries(generator, jobs),
    )


def _salaries(generator: np.random.Generator, jobs: People) -> Doubles:
    """Draw salaries; higher levels are paid better."""
    logarithm = generator.normal(3.9, 0.15, len(jobs.seniority)) + 0.18 * jobs.seniority
    return np.asarray(np.exp(logarithm).round(1), np.float64)


def _draw_people(
    generator: np.random.Generator,
    count: int,
    titles: Titles,
    texts: Ints,
    *,
    spread: float,
    deviation: float,
    even: bool,
) -> People:
    """Draw members or jobs.

    Args:
        generator: Of random numbers.
        count: How many.
        titles: To choose from.
        texts: Numbers of the spellings, see :func:`spellings`.
        spread: How far one's work is from what the title says.
        deviation: Standard deviation of the intercepts.
        even: Whether all titles and regions are equally frequent.
    """

    def choose(choices: int, concentration: float) -> Ints:
        shares = None if even else generator.dirichlet(np.full(choices, concentration))
        return generator.choice(choices, count, p=shares)

    title = choose(len(titles.names), 3.0)
    seniority = generator.choice(len(LEVELS), count, p=LEVEL_SHARES)
    way, short = generator.integers(0, 2, count), (generator.random(count) < _SHORT_WORDS).astype(np.int64)
    work = titles.embeddings[title] + _noise(generator, count, spread)
    return People(
        title=title,
        seniority=seniority,
        region=choose(len(REGIONS), 4.0),
        text=texts[title, seniority, way, short],
        embedding=work,
        seen_embedding=work + _noise(generator, count, 0.3),
        intercept=generator.normal(0, deviation, count),
    )


def _noise(generator: np.random.Generator, count: int, length: float) -> Floats:
    """Draw vectors of about this length."""
    scale = np.float32(length / np.sqrt(DIMENSIONS))
    return scale * generator.standard_normal((count, DIMENSIONS), dtype=np.float32)
