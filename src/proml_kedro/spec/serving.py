"""``conf/serving/*.yaml``: the service that a bundle is packaged into."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from proml_kedro.spec.base import PositiveDuration, Spec


class PredictionLogSpec(Spec):
    """The log of what was asked and answered, as Parquet files. It holds data about whoever the rows are about.

    Attributes:
        folder: Where the files go; a path that is not absolute begins where the server is started.
        every: How long rows may wait for their Parquet file.
        keep: After which files are removed; null to keep them all.
    """

    folder: str
    every: PositiveDuration = timedelta(seconds=10)
    keep: PositiveDuration | None = timedelta(days=30)


class ServingSpec(Spec):
    """The scoring service.

    Attributes:
        max_rows: Most rows one request may hold.
        max_explained_rows: Most rows one request for explanations may hold: each costs as much as many scores.
        max_body_bytes: Largest request body that is read.
        workers: Processes; each scores with one thread.
        timeout: After which a request is given up.
        golden_rows: Test rows stored with their scores, to prove every copy of the model against.
        online: Whether features are looked up by key; the store is then part of readiness where a model needs it.
        log: A file to which every row that features were looked up for is added, with keys, moment and those features;
            nothing is written when left out. It holds data about whoever the keys are about.
        predictions: Log of every row that was asked for, with its score, features and what the components say.
        tolerance: Largest difference of a golden row's score, as a share of it where that is more than 1; of a number
            as a share of how far the golden rows' numbers lie apart.
    """

    max_rows: Annotated[int, Field(ge=1, le=100_000)] = 1000
    max_explained_rows: Annotated[int, Field(ge=1, le=1000)] = 50
    max_body_bytes: Annotated[int, Field(ge=1024)] = 1 << 20
    workers: Annotated[int, Field(ge=1, le=256)] = 1
    timeout: PositiveDuration = timedelta(seconds=30)
    golden_rows: Annotated[int, Field(ge=1, le=10_000)] = 64
    online: bool = True
    log: str | None = None
    predictions: PredictionLogSpec | None = None
    tolerance: Annotated[float, Field(gt=0, lt=0.1)] = 1e-6
