"""A table → a file of scores, by a bundle."""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime

from proml_kedro.errors import UserError
from proml_kedro.workflow.run import Run
from proml_kedro.workflow.scoring import StoredResults

logger = logging.getLogger(__name__)


def score_table(run: Run) -> None:
    """Score the table of ``scoring``; its file is no result of the store, and is written anew each time.

    Raises:
        UserError: Nothing is to be scored, or what is wrong with bundle, table or output.
    """
    from proml_kedro.scoring.job import ScoringJob
    from proml_kedro.scoring.score import score_table as score

    scoring = run.spec.scoring
    if scoring is None:
        message = "is missing; write scoring: {input: FILE, output: FILE.parquet}"
        raise UserError.at("scoring", message)
    bundle = run.base_path / scoring.bundle if scoring.bundle else run.places.at("bundle")
    job = ScoringJob(
        bundle=bundle,
        input=scoring.input,
        output=run.base_path / scoring.output,
        base_path=run.base_path,
        stored=StoredResults(bundle, run.store.data_dir),
        hardware=run.spec.hardware,
        as_of=_moment(scoring.as_of),
        bundle_where="scoring.bundle",
        output_where="scoring.output",
    )
    for line in score(job, logger.info).lines():
        logger.info(line)


def _moment(value: datetime | date | None) -> datetime | None:
    """A day or moment as an aware one; what has no zone is in UTC."""
    if value is None:
        return None
    moment = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day, tzinfo=UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
