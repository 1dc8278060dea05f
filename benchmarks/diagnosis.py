"""How well the causes of a change are named, and what that costs.

    python benchmarks/diagnosis.py

Cases of ``tests/diagnosis_data.py``: 20,000 rows of before and 6,000 of now, five dimensions, and one to three causes
of one to three values in each of one to three of them. F1 is of the combinations of single values. Beside it what is
common: the single values with the largest likelihood ratio, as many as there are causes.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from diagnosis_data import SIZES, Case, Set, f1, make_case, sets_of, sides_of
from proml_kedro.health.diagnosis.diagnose import diagnose
from proml_kedro.health.diagnosis.likelihood import Binomial

EACH = 20


def single_values(case: Case) -> list[Set]:
    """Name the single values that stand out most, one for each true cause."""
    found = []
    for name, size in SIZES.items():
        rows, seen, before, held = (
            np.bincount(side[name], weights, size).astype(float)
            for side in (case.now, case.before)
            for weights in (None, side["y"])
        )
        expected = rows * (held + 1) / (before + 2) * (case.now["y"].mean() / case.before["y"].mean())
        gain = np.where(seen > expected, Binomial().gain(seen, np.minimum(expected, rows), rows), 0)
        found += [(float(one), name, value) for value, one in enumerate(gain)]
    return [{name: frozenset([value])} for _, name, value in sorted(found, reverse=True)[: len(case.truth)]]


def main() -> None:
    """Print the tables."""
    generator = np.random.default_rng(17)
    reached, plain, cost = [], [], 0.0
    for causes in (1, 2, 3):
        for order in (1, 2, 3, None):
            cases = [make_case(generator, causes, order) for _ in range(EACH)]
            start = time.process_time()
            found = [diagnose("rate", sides_of(one)) for one in cases]
            cost += time.process_time() - start
            own = [f1(sets_of(one), case.truth) for one, case in zip(found, cases, strict=True)]
            common = [f1(single_values(case), case.truth) for case in cases]
            reached, plain = reached + own, plain + common
            dimensions = "1 to 3" if order is None else order
            words = f"F1 {np.mean(own):.2f}, single values {np.mean(common):.2f}"
            print(f"{causes} causes in {dimensions} dimensions: {words}")
    print(f"all: F1 {np.mean(reached):.3f}, single values {np.mean(plain):.3f}, {cost / len(reached):.2f} CPU-s a case")
    for kind, verdict in (("", "nothing"), ("hidden", "outside"), ("everybody", "everybody")):
        cases = [make_case(generator, kind=kind) for _ in range(3 * EACH)]
        called = [diagnose("rate", sides_of(one), sides_of(one, ["hidden"])).verdict for one in cases]
        print(f"{kind or 'nothing happened'}: called {verdict} in {called.count(verdict) / len(called):.2f}")


if __name__ == "__main__":
    main()
