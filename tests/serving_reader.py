"""A process that serves: it loads the bundle that a link leads to, and scores rows by key over and over."""

from __future__ import annotations

import json
from pathlib import Path


def serve(link: str, customers: list[str], asked: str, answers: str) -> None:
    """Score customers by key until the file ``asked`` is there, and write what was answered.

    Args:
        link: Leads to the bundle.
        customers: Keys.
        asked: File that another process makes.
        answers: File for each customer's different scores, as JSON.
    """
    from proml_kedro.serving.scorer import BundleScorer

    scorer = BundleScorer(Path(link))
    rows = [{"customer": one, "visit.pages": 5, "visit.device": "phone"} for one in customers]
    Path(answers).write_text("")  # it is ready
    found: dict[str, set[float]] = {one: set() for one in customers}
    while True:
        is_last = Path(asked).exists()
        for customer, score in zip(customers, scorer.score_online(rows), strict=True):
            found[customer].add(score)
        if is_last:
            break
    Path(answers).write_text(json.dumps({one: sorted(scores) for one, scores in found.items()}))
