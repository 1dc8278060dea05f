"""Data that is made up: any amount of it, and the truth behind it."""

from __future__ import annotations

from pathlib import Path

from proml_kedro.spec.generator import GeneratorSpec


def generate(spec: GeneratorSpec, folder: Path) -> None:
    """Write the generator's tables, and below ``truth`` what no model may see.

    Args:
        spec: What to make, and how much of it.
        folder: An empty folder to write to.
    """
    from proml_kedro.generators.job_search import write_job_search

    write_job_search(spec, folder)  # the only kind there is
