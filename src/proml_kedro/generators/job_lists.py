"""Searches: which jobs a member is shown, and what the member does with them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from proml_kedro.formulas import sigmoid
from proml_kedro.generators.job_world import Doubles, Ints, World
from proml_kedro.spec.generator import GeneratorSpec

Bools = npt.NDArray[np.bool_]

CANDIDATES = 60
"""Jobs that each list is chosen from."""

POSITION_BIAS = -0.6
"""A job in position p is looked at with probability p to this power."""


@dataclass(frozen=True)
class Searches:
    """The searches, in the order of time; every array has one entry for each search.

    Attributes:
        member: Number of the member.
        day: Days after the start.
    """

    member: Ints
    day: Doubles

    def part(self, start: int, stop: int) -> Searches:
        """Take the searches from ``start`` to ``stop``."""
        return Searches(self.member[start:stop], self.day[start:stop])


@dataclass(frozen=True)
class Shown:
    """The rows of some lists; every array has one entry for each row.

    Attributes:
        search: Which search of the part, from 0.
        member: Number of the member.
        job: Number of the job.
        position: In the list, from 1.
        day: Days after the start.
    """

    search: Ints
    member: Ints
    job: Ints
    position: Ints
    day: Doubles


@dataclass(frozen=True)
class Truth:
    """The hidden probabilities of what members do, one entry for each row.

    Attributes:
        relevance: Log-odds of a click on a job that is looked at.
        examination: Probability that it is looked at.
        click: Probability of a click.
        dismiss: Probability that it is dismissed.
        apply: Probability of an application after a click.
    """

    relevance: Doubles
    examination: Doubles
    click: Doubles
    dismiss: Doubles
    apply: Doubles


@dataclass(frozen=True)
class Actions:
    """The actions of members, one entry for each row.

    Attributes:
        click: Whether the job was clicked.
        dismiss: Whether it was dismissed.
        apply: Whether the member applied for it, sooner or later.
        apply_delay: Days until the application; NaN without one.
    """

    click: Bools
    dismiss: Bools
    apply: Bools
    apply_delay: Doubles


def draw_searches(spec: GeneratorSpec, world: World) -> Searches:
    """Draw who searches when: active members more often, and fewer searches at night."""
    generator = np.random.default_rng([spec.seed, 1])
    share = generator.random(spec.lists)
    share -= 0.12 * np.sin(2 * np.pi * share)  # of the day that has passed: most searches are around noon
    day = np.sort(generator.integers(0, spec.days, spec.lists) + share)
    member = np.searchsorted(world.activity, generator.random(spec.lists) * world.activity[-1])
    return Searches(np.minimum(member, spec.members - 1), day)


def draw_lists(spec: GeneratorSpec, world: World, searches: Searches, generator: np.random.Generator) -> Shown:
    """Draw the jobs that members are shown: the candidates that fit best as far as can be seen, or random ones.

    A list is shorter when there are too few different candidates; none holds a job twice, or one not posted yet.
    """
    candidates, fits = _candidates(world, searches, generator)
    at_random = generator.random(len(fits)) < spec.explore
    worth = np.where(at_random[:, None], generator.random(fits.shape), fits)
    worth[_repeated(candidates)] = -np.inf
    best = np.argpartition(-worth, spec.list_length, axis=1)[:, : spec.list_length]
    order = np.take_along_axis(best, np.argsort(-np.take_along_axis(worth, best, 1), axis=1), 1)
    search, place = np.nonzero(np.isfinite(np.take_along_axis(worth, order, 1)))
    return Shown(
        search=search,
        member=searches.member[search],
        job=candidates[search, order[search, place]],
        position=place + 1,
        day=searches.day[search],
    )


def _candidates(world: World, searches: Searches, generator: np.random.Generator) -> tuple[Ints, Doubles]:
    """Draw jobs that are posted by then, and how well they seem to fit; both of shape (searches, CANDIDATES)."""
    live = np.searchsorted(world.posted, searches.day, side="right")
    shape = (len(live), CANDIDATES)
    jobs = np.sort((generator.random(shape) * live[:, None]).astype(np.int64), axis=1)
    wanted = world.members.embedding[searches.member]
    fits = (world.jobs.embedding[jobs] @ wanted[:, :, None])[:, :, 0].astype(np.float64)
    return jobs, fits + 0.3 * generator.gumbel(size=shape)


def _repeated(candidates: Ints) -> Bools:
    """Find the values of sorted rows that repeat the value before them."""
    repeated = np.zeros(candidates.shape, bool)
    repeated[:, 1:] = candidates[:, 1:] == candidates[:, :-1]
    return repeated


def find_truth(world: World, shown: Shown) -> Truth:
    """Compute the probability of each action: a click takes a look and relevance (Richardson et al., 2007)."""
    relevance, distance = _relevance(world, shown)
    likes = sigmoid(relevance)
    examination = shown.position.astype(np.float64) ** POSITION_BIAS
    return Truth(
        relevance=relevance,
        examination=examination,
        click=examination * likes,
        dismiss=examination * (1 - likes) * 0.12 * (1 + 0.1 * distance),
        apply=sigmoid(0.5 * relevance - 1.2),
    )


def _relevance(world: World, shown: Shown) -> tuple[Doubles, Doubles]:
    """Compute log-odds of relevance, and the number of levels between member and job."""
    members, jobs, member, job = world.members, world.jobs, shown.member, shown.job
    distance = np.abs(members.seniority[member] - jobs.seniority[job]).astype(np.float64)
    weeks = shown.day / 7
    remote = 0.2 + 0.12 * weeks + world.remote_slope[member]  # working from anywhere becomes more popular
    relevance = (
        -1.6
        + 2.2 * _cosine(members.embedding[member], jobs.embedding[job])
        - 0.45 * distance
        + 0.7 * (members.region[member] == jobs.region[job])
        - 0.02 * (shown.day - world.posted[job])
        + 0.6 * (np.log(world.salary[job]) - 4.2)
        + remote * world.is_remote[job]
        + members.intercept[member]
        + jobs.intercept[job]
    )
    return relevance, distance


def _cosine(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> Doubles:
    lengths = np.sqrt((one * one).sum(axis=1) * (other * other).sum(axis=1))
    return np.asarray((one * other).sum(axis=1) / lengths, np.float64)


def draw_actions(truth: Truth, generator: np.random.Generator) -> Actions:
    """Draw the actions: a job is clicked, dismissed, or neither; some clicks are followed by an application."""
    rows = len(truth.click)
    chance = generator.random(rows)
    click = chance < truth.click
    apply = click & (generator.random(rows) < truth.apply)
    delay = generator.exponential(1.5, rows)
    return Actions(click, chance > 1 - truth.dismiss, apply, np.where(apply, delay, np.nan))
