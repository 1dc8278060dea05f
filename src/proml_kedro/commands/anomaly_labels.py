"""`kedro anomalies label`, `labels` and `tune`: what people say of anomalies, and what is learned from it."""

from __future__ import annotations

import getpass
import json
from pathlib import Path

import click

from proml_kedro.commands.anomaly_watch import store_of
from proml_kedro.commands.base import Command, configuration_options, overrides_argument
from proml_kedro.errors import Mistake, UserError

_LABEL = """Say what an anomaly was.

    ANSWER is anomaly (it was one), new-trend (it was one, and is the new normal: from its begin on nothing before it is
    learned from), false-alarm, or undecided. Answers are kept with who and when; of several the newest counts.
    """
_LABELS = "Show what was said of anomalies."
_TUNE = """Widen bands by what was said of anomalies, monitor by monitor.

    Shows how good the alarms were that were answered, and how good each of them would have been with the width that
    the others make. Monitors with fewer than five answers stay as they are.
    """


def label_command() -> click.Command:
    """Make the command `label`."""
    return Command(
        "label",
        callback=_label,
        params=[
            click.Argument(["words"], nargs=-1, metavar="[ID ANSWER] [KEY=VALUE]..."),
            click.Option(["--file"], type=click.Path(path_type=Path), help="CSV with columns id, answer (note, who)."),
            click.Option(["--note"], default="", help="Why."),
            click.Option(["--who"], help="Who says so; the user when left out."),
            *configuration_options(),
        ],
        help=_LABEL,
    )


def labels_command() -> click.Command:
    """Make the command `labels`."""
    as_json = click.Option(["--json", "as_json"], is_flag=True, help="Print JSON.")
    return Command(
        "labels", callback=_labels, params=[overrides_argument(), as_json, *configuration_options()], help=_LABELS
    )


def tune_command() -> click.Command:
    """Make the command `tune`."""
    dry = click.Option(["--dry-run"], is_flag=True, help="Show what would be, and keep nothing.")
    return Command("tune", callback=_tune, params=[overrides_argument(), dry, *configuration_options()], help=_TUNE)


def _label(
    words: tuple[str, ...], env: str | None, conf_source: str, file: Path | None, note: str, who: str | None
) -> None:
    from proml_kedro.errors import unknown
    from proml_kedro.health.anomalies.store import ANSWERS, Said, read_answers
    from proml_kedro.project import Project

    who = who or getpass.getuser()
    answer = [word for word in words if "=" not in word]
    overrides = tuple(word for word in words if "=" in word)
    if len(answer) != (0 if file else 2):
        raise UserError(Mistake("", f"write ID and ANSWER ({', '.join(ANSWERS)}), or --file alone", "arguments"))
    if file is not None:
        said, key = read_answers(file, who), str(file)
    else:
        if answer[1] not in ANSWERS:
            raise UserError(Mistake("", unknown("answer", answer[1], ANSWERS), "arguments"))
        said, key = [Said(answer[0], ANSWERS[ANSWERS.index(answer[1])], who, note)], "arguments"
    store_of(Project(conf_source, overrides, env)).add(said, key)
    click.echo(f"{len(said)} answers kept")


def _labels(overrides: tuple[str, ...], env: str | None, conf_source: str, as_json: bool) -> None:
    from dataclasses import asdict

    from proml_kedro.commands.render import table
    from proml_kedro.project import Project

    found = store_of(Project(conf_source, overrides, env)).answered()
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found], default=str))
        return
    rows = [
        (one.id, one.monitor, one.value or one.dimension, f"{one.begin:%Y-%m-%d %H:%M}", one.answer, one.who, one.note)
        for one in found
    ]
    text = table([("id", "metric", "of", "from", "answer", "who", "note"), *rows]) if rows else "no answers"
    click.echo(text.encode(errors="backslashreplace"))


def _tune(overrides: tuple[str, ...], env: str | None, conf_source: str, dry_run: bool) -> None:
    from proml_kedro.commands.render import table
    from proml_kedro.health.anomalies.tune import FEWEST, tune
    from proml_kedro.project import Project

    store = store_of(Project(conf_source, overrides, env))
    tuned = tune(store.answered())
    if not tuned:
        click.echo("no answers; `kedro anomalies label ID ANSWER` adds them")
        return
    known = store.widths()
    heading = ("metric", "answers", "true", "width", "new width", "F1 before", "F1 of answers held out")
    rows = [
        (
            one.monitor,
            f"{one.answers}",
            f"{one.true}",
            f"{known.get(one.monitor, 1.0):.2f}",
            f"{one.factor:.2f}" if one.answers >= FEWEST else f"takes {FEWEST} answers",
            f"{one.before:.2f}",
            f"{one.after:.2f}" if one.answers >= FEWEST else "-",
        )
        for one in tuned
    ]
    click.echo(table([heading, *rows]))
    if not dry_run:
        store.widen({one.monitor: one.factor for one in tuned if one.answers >= FEWEST}, getpass.getuser())
