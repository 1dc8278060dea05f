"""`python -m proml_kedro`: the project as an installed package, without its checkout."""

from __future__ import annotations

from pathlib import Path

from kedro.framework.project import configure_project


def main() -> None:
    """Run the pipelines; options and overrides are those of `kedro run`."""
    configure_project(Path(__file__).parent.name)
    from proml_kedro.cli import run

    run(prog_name="proml_kedro")


if __name__ == "__main__":
    main()
