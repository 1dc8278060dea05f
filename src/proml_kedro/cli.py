"""The project's commands, put together. Kedro finds them here, and those of other packages by its own plugins."""

from __future__ import annotations

import os
from pathlib import Path

import click
from kedro.framework.cli.utils import CONTEXT_SETTINGS

from proml_kedro.commands.academy import make_group as make_academy
from proml_kedro.commands.anomalies import make_group as make_anomalies
from proml_kedro.commands.compare import compare_command
from proml_kedro.commands.config_schema import schema_command
from proml_kedro.commands.config_show import show_command
from proml_kedro.commands.data_check import check_command
from proml_kedro.commands.drift_check import drift_check_command
from proml_kedro.commands.features import make_group as make_features
from proml_kedro.commands.health_report import health_report_command
from proml_kedro.commands.init import init_command
from proml_kedro.commands.model_describe import describe_command
from proml_kedro.commands.model_effects import effects_command
from proml_kedro.commands.model_registry import registry_commands
from proml_kedro.commands.model_update import update_command
from proml_kedro.commands.predict import predict_command
from proml_kedro.commands.run import run_command
from proml_kedro.commands.runs import make_group as make_runs
from proml_kedro.commands.serve import serve_command
from proml_kedro.commands.store import make_group as make_store
from proml_kedro.commands.sweep import sweep_command
from proml_kedro.commands.workspace import make_command
from proml_kedro.config.folders import shipped


def _use_shipped_logging() -> None:
    """Configure logging below the project's folder, where Kedro does not find logging.yml and would write log files."""
    if "KEDRO_LOGGING_CONFIG" in os.environ or Path("conf/logging.yml").is_file():
        return
    import yaml
    from kedro.framework.project import LOGGING

    LOGGING.configure(yaml.safe_load((shipped() / "logging.yml").read_text()))


_use_shipped_logging()


@click.group(context_settings=CONTEXT_SETTINGS, name="proml_kedro")
def cli() -> None:
    """Commands of proml_kedro."""


@cli.group()
def config() -> None:
    """Look at the configuration."""


@cli.group()
def data() -> None:
    """Look at the tables of the problem."""


@cli.group()
def drift() -> None:
    """Look whether data has drifted."""


@cli.group()
def health() -> None:
    """Look how good a model is from period to period."""


@cli.group()
def model() -> None:
    """Look at models, register them, and say which one is live."""


run = run_command()
cli.add_command(run)
cli.add_command(make_academy())
cli.add_command(make_anomalies())
cli.add_command(compare_command())
cli.add_command(init_command())
cli.add_command(predict_command())
cli.add_command(serve_command())
cli.add_command(sweep_command())
cli.add_command(make_features())
cli.add_command(make_runs())
cli.add_command(make_store())
cli.add_command(make_command())
config.add_command(show_command())
config.add_command(schema_command())
data.add_command(check_command())
drift.add_command(drift_check_command())
health.add_command(health_report_command())
model.add_command(effects_command())
model.add_command(update_command())
model.add_command(describe_command())
for registry_command in registry_commands():
    model.add_command(registry_command)
