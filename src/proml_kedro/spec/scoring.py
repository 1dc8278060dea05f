"""``scoring`` of ``conf/config.yaml``: a table to score, and where its scores go."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from proml_kedro.spec.base import Moment, Spec

FORMATS = (".parquet", ".csv")
"""Ends of the names of files that scores can be written to."""


def _is_written(name: str) -> str:
    if not name.lower().endswith(FORMATS):
        raise ValueError(f"cannot write '{name}'; its name must end in {' or '.join(FORMATS)}")
    return name


class ScoringSpec(Spec):
    """What `kedro run --pipelines=score` scores, as `kedro predict` does.

    Attributes:
        bundle: Folder of the bundle, relative to the folder that holds ``conf``; the newest of the problem and model
            when left out.
        input: What is scored: a file, a folder or glob of Parquet files, or the name of a table of the problem.
        output: Where the scores go: a file that ends in ``.parquet`` or ``.csv``.
        as_of: The moment as of which features are looked up; that of each row, less the lead time, when left out.
    """

    bundle: str | None = None
    input: str
    output: Annotated[str, AfterValidator(_is_written)]
    as_of: Moment | None = None
