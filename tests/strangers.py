"""Tables as strangers write them, each with the truth that was written."""

from __future__ import annotations

import csv
import random
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from proml_kedro.authoring.initiate import Proposed, propose_problem
from proml_kedro.engine.session import connect
from proml_kedro.features.tables.read import read_tables
from proml_kedro.features.tables.stored import Tables
from proml_kedro.spec.features import FeaturesSpec
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.problem import ProblemSpec

FORMATS = ("%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%Y/%m/%d", "%d %b %Y", "%d-%m-%Y", "%Y%m%d")


@dataclass(frozen=True)
class Dialect:
    """How a file is written."""

    delimiter: str = ","
    decimal: str = "."
    thousands: str = ""
    encoding: str = "utf-8"
    date_format: str = "%Y-%m-%d"
    null: str = ""
    end: str = "\n"

    def cell(self, value: Any) -> str:
        if value is None:
            return self.null
        if isinstance(value, float):
            text = f"{value:,.2f}" if self.thousands else f"{value:.2f}"
            marks = {",": self.thousands, ".": self.decimal}
            return "".join(marks.get(one, one) for one in text)
        if isinstance(value, date) and not isinstance(value, datetime):
            return value.strftime(self.date_format)
        return str(value)


@dataclass(frozen=True)
class Stranger:
    """A file and what is in it, by column."""

    columns: dict[str, list[Any]]
    dialect: Dialect = field(default_factory=Dialect)

    def write(self, file: Path) -> Path:
        own = self.dialect
        with file.open("w", encoding=own.encoding, newline="") as stream:
            writer = csv.writer(stream, delimiter=own.delimiter, lineterminator=own.end)
            writer.writerow(self.columns)
            writer.writerows([own.cell(one) for one in row] for row in zip(*self.columns.values(), strict=True))
        return file


def shop_visits(chance: random.Random, dialect: Dialect, rows: int = 120) -> Stranger:
    """Visits with keys with leading zeros, amounts, dates, texts with marks in them, and a label."""
    days = [date(2024, 1, 1) + timedelta(days=chance.randrange(400)) for _ in range(rows)]
    words = ["Zoë, B.", 'say "hi"', "a;b", "Ünal|x", "two\nlines", "plain"]
    return Stranger(
        {
            "Nr": list(range(1, rows + 1)),
            "customer_id": [f"{chance.randrange(30):04d}" for _ in range(rows)],
            "day": days,
            "Betrag (€)": [
                None if chance.random() < 0.1 else round(chance.uniform(-3000, 9000), 2) for _ in range(rows)
            ],
            "who": [chance.choice(words) for _ in range(rows)],
            "bought": [chance.choice(["yes", "no"]) for _ in range(rows)],
        },
        dialect,
    )


def _amount(chance: random.Random) -> float | None:
    return None if chance.random() < 0.1 else round(chance.uniform(-3000, 9000), 2)


def proposed(folder: Path, label: str, **strangers: Stranger) -> Proposed:
    """Write files and propose a problem of them."""
    files = [stranger.write(folder / f"{name}.csv") for name, stranger in strangers.items()]
    return propose_problem(files, label, folder)


def problem_of(found: Proposed) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the proposed YAML, which has to be a sound problem with sound features."""
    problem, features = yaml.safe_load(found.problem), yaml.safe_load(found.features)
    ProblemSpec.model_validate({"name": "p", **problem})
    FeaturesSpec.model_validate(features)
    return problem, features


def read(found: Proposed, folder: Path) -> dict[str, dict[str, list[Any]]]:
    """Read all tables as the proposed YAML says; return the values by table and column."""
    problem, features = problem_of(found)
    out = folder / "read"
    out.mkdir()
    spec = ProblemSpec.model_validate({"name": "p", **problem})
    read_tables(spec, FeaturesSpec.model_validate(features), folder, HardwareSpec(), out)
    with connect(HardwareSpec()) as session:
        tables = Tables(session, out)
        return {name: session.arrow(f"FROM {tables.relation(name)}").to_pydict() for name in spec.tables}
