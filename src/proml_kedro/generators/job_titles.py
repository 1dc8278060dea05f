"""Titles of jobs: words, families of occupations, and where each title lies in a space of skills."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

DIMENSIONS = 12
"""Dimensions of the space of skills. Titles whose vectors point the same way stand for similar work."""

OCCUPATIONS = {
    "software": ("Software Engineer", "Backend Developer", "Web Developer", "Mobile Developer", "Systems Engineer"),
    "data": ("Data Scientist", "Data Engineer", "Machine Learning Engineer", "Data Analyst", "Statistician"),
    "design": ("Product Designer", "Interaction Designer", "Graphic Designer", "User Researcher"),
    "sales": ("Sales Manager", "Sales Representative", "Account Manager", "Sales Engineer"),
    "finance": ("Accountant", "Financial Analyst", "Auditor", "Controller"),
    "health": ("Nurse", "Nurse Practitioner", "Pharmacist", "Physiotherapist"),
    "people": ("Recruiter", "Talent Manager", "Payroll Specialist"),
    "logistics": ("Operations Manager", "Warehouse Manager", "Logistics Planner", "Driver"),
    "marketing": ("Content Writer", "Brand Manager", "Marketing Analyst", "Search Marketer"),
    "law": ("Lawyer", "Paralegal", "Compliance Officer"),
}
LEVELS = (("Intern", "Trainee"), ("Junior", "Jr"), ("", ""), ("Senior", "Sr"), ("Lead", "Staff"), ("Principal", "Head"))
"""Words for each seniority, from 0; two ways to say the same."""

LEVEL_SHARES = (0.05, 0.20, 0.35, 0.25, 0.10, 0.05)

REGIONS = ("bangalore", "berlin", "london", "nairobi", "new-york", "sao-paulo", "sydney", "toronto")

_NEAR = {"data": "software"}  # families that lie closer together than chance
_SHORT = {"Engineer": "Eng", "Developer": "Dev", "Manager": "Mgr"}


@dataclass(frozen=True)
class Titles:
    """All titles.

    Attributes:
        names: Of the occupations, without a level.
        families: The family of each.
        embeddings: Unit vectors, shape (titles, :data:`DIMENSIONS`).
    """

    names: tuple[str, ...]
    families: tuple[str, ...]
    embeddings: Floats


def draw_titles(generator: np.random.Generator) -> Titles:
    """Give each title a place near the centre of its family."""
    centres = {family: generator.normal(size=DIMENSIONS) for family in OCCUPATIONS}
    centres = {family: _unit(centre) for family, centre in centres.items()}
    for family, other in _NEAR.items():
        centres[family] = _unit(0.66 * centres[family] + 0.75 * centres[other])
    titles = [(family, title) for family, names in OCCUPATIONS.items() for title in names]
    spread = 0.72 / np.sqrt(DIMENSIONS)
    places = [_unit(centres[family] + spread * generator.normal(size=DIMENSIONS)) for family, _ in titles]
    families, names = zip(*titles, strict=True)
    return Titles(names, families, np.array(places, np.float32))


def _unit(vector: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(vector / np.linalg.norm(vector))


def spellings(titles: Titles) -> tuple[tuple[str, ...], npt.NDArray[np.int64]]:
    """List the ways in which people write titles.

    Returns:
        The texts, each once, and the number of the text for (title, seniority, first or second word for the level,
        whether words are shortened), shape (titles, 6, 2, 2).
    """
    texts: dict[str, int] = {}
    numbers = np.empty((len(titles.names), len(LEVELS), 2, 2), np.int64)
    for title, level, way, short in np.ndindex(numbers.shape):
        words = [LEVELS[level][way], *titles.names[title].split()]
        text = " ".join(_SHORT.get(word, word) if short else word for word in words if word)
        numbers[title, level, way, short] = texts.setdefault(text, len(texts))
    return tuple(texts), numbers
