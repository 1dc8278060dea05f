"""The project as a program: `python -m proml_kedro run …`, `proml_kedro config show …`, without its checkout."""

from __future__ import annotations

import os
from pathlib import Path

from proml_kedro.config.folders import shipped


def main() -> None:
    """Run a command; the configuration is `conf` of the working directory, or what `--conf-source` says."""
    if not Path("conf/logging.yml").is_file():  # Kedro reads this when it is imported
        os.environ.setdefault("KEDRO_LOGGING_CONFIG", str(shipped() / "logging.yml"))
    from kedro.framework.project import configure_project

    configure_project(Path(__file__).parent.name)
    from proml_kedro.cli import cli
    from proml_kedro.commands.new import new_command

    cli.add_command(new_command())  # not beside `kedro`, which has a `new` of its own
    cli(prog_name="proml_kedro")


if __name__ == "__main__":
    main()
