"""`kedro features …`: find, understand and read declared features."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from proml_kedro.commands.base import Command, configuration_options, overrides_argument
from proml_kedro.errors import Mistake, UserError, unknown

TYPES = ("numerical", "categorical", "embedding")
FOUND = 1
"""Exit code of a command that looked for something wrong, and found it."""


def make_group() -> click.Group:
    """Make the group `features`."""

    def add(name: str, callback: Callable[..., Any], params: list[click.Parameter], text: str) -> None:
        params = [*params, *configuration_options()]
        group.add_command(Command(name, callback=callback, params=params, help=text))

    group = click.Group("features", help="Find, understand and read features.")
    add(
        "search",
        _search,
        [
            _words("WORDS or KEY=VALUE"),
            click.Option(["--entity"], help="Only features of this key, or `request`."),
            click.Option(["--type", "feature_type"], type=click.Choice(TYPES), help="Only this type."),
            click.Option(["--dtype"], help="Only this data type: float, int, bool, str or vector[N]."),
            click.Option(["--window"], help="Only aggregates over this window: 24h, 7d, all."),
            click.Option(["--owner"], help="Only features of this owner."),
            click.Option(["--limit"], type=click.IntRange(1, 1000), default=20, show_default=True, help="At most."),
            click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
        ],
        "Find features by beginnings of words in their name, description, owner, key or tags.",
    )
    add(
        "describe",
        _describe,
        [
            click.Argument(["name"]),
            overrides_argument(),
            click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
        ],
        "Say what a feature is, where it comes from, who reads it, and which others are like it.",
    )
    add(
        "get",
        _get,
        [
            _words("KEY=VALUE"),
            click.Option(["--at"], help="As of this moment, for example 2013-12-31T20:00Z; now when left out."),
            click.Option(["--features", "patterns"], multiple=True, help="Only these; * stands for any text."),
            click.Option(["--key", "keys"], multiple=True, metavar="NAME=VALUE", help="A key named like a setting."),
            click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
        ],
        """Read features of an entity from the online store.

        KEY is an entity of the problem: 'origin=JFK' 'carrier=B6'. Anything with a dot, and names of settings such as
        problem= and data_dir=, change the configuration instead.
        """,
    )
    add(
        "validate",
        _validate,
        [overrides_argument()],
        """Look for features that are undocumented, unused, dead, leaky, or not of their type.

        One line for each finding; exit code 1 when there are errors among them.
        """,
    )
    add(
        "push",
        _push,
        [
            click.Argument(["view"]),
            click.Argument(["file"], type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)),
            overrides_argument(),
        ],
        """Put fresh rows of VIEW into the online store.

        FILE is CSV or Parquet with the view's key, event_timestamp and every feature; - reads CSV from standard input.
        A row that is older than what is there changes nothing; when a value is wrong, nothing is written at all.
        """,
    )
    add(
        "check",
        _check,
        [
            overrides_argument(),
            click.Option(
                ["--rows"], type=click.IntRange(1, 100_000), default=500, show_default=True, help="Keys of each view."
            ),
            click.Option(
                ["--tolerance"],
                type=click.FloatRange(0),
                default=1e-9,
                show_default=True,
                help="Relative difference of numbers that counts as none.",
            ),
            click.Option(
                ["--log"],
                type=click.Path(exists=True, dir_okay=False, path_type=Path),
                help="Compare what a service has logged (serving.log) instead; --rows are its last ones.",
            ),
            click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
        ],
        """Compare the values that training reads with those that serving reads.

        Offline values are read as of the moment the online store was filled for, or as of each logged row's moment.
        Exit code 1 when any differs.
        """,
    )
    return group


def _words(metavar: str) -> click.Argument:
    return click.Argument(["words"], nargs=-1, type=click.UNPROCESSED, metavar=f"[{metavar}]...")


def _market(conf_source: str, overrides: tuple[str, ...], env: str | None) -> tuple[Any, Any]:
    from proml_kedro.marketplace.build import open_market
    from proml_kedro.project import Project

    project = Project(conf_source, overrides, env)
    market, notices = open_market(project)
    for notice in notices:
        click.echo(notice, err=True)
    return project, market


def _search(
    words: tuple[str, ...], limit: int, as_json: bool, env: str | None, conf_source: str, **filters: str | None
) -> None:
    from proml_kedro.commands.render import search_as_json, search_as_text

    query = " ".join(one for one in words if "=" not in one)
    _, market = _market(conf_source, tuple(one for one in words if "=" in one), env)
    found = market.search(query, _checked_filters(market, filters), limit)
    click.echo(search_as_json(found) if as_json else search_as_text(found, len(market)))


def _checked_filters(market: Any, filters: dict[str, str | None]) -> dict[str, str | int]:
    """The filters that were given, as the index takes them.

    Raises:
        UserError: No feature has such a value.
    """
    from proml_kedro.marketplace.entry import seconds
    from proml_kedro.spec.features import window_length

    checked: dict[str, str | int] = {}
    mistakes = []
    for name, value in sorted(filters.items()):
        if value is None:
            continue
        known = {part for one in market.values(name) for part in (one, *one.split(","))} - {""}
        if name == "window":
            try:
                checked["window_seconds"] = seconds(window_length(value))
            except ValueError as error:
                mistakes.append(Mistake("", str(error), "option --window"))
        elif value not in known:
            mistakes.append(Mistake("", unknown(name, value, known), f"option --{name}"))
        else:
            checked[name] = value
    if mistakes:
        raise UserError(*mistakes)
    return checked


def _describe(name: str, overrides: tuple[str, ...], as_json: bool, env: str | None, conf_source: str) -> None:
    from proml_kedro.commands.render import description_as_json, description_as_text
    from proml_kedro.features.views.freshness import freshness
    from proml_kedro.results.names import table_file

    project, market = _market(conf_source, overrides, env)
    entries = market.get(name)
    if not entries:
        raise UserError(Mistake("", unknown("feature", name, market.names())))
    show = description_as_json if as_json else description_as_text
    for entry in entries:
        table = table_file(project.places.at("feature_tables", entry.problem), entry.view)
        click.echo(show(entry, freshness(table), market.similar(entry)))


def _get(
    words: tuple[str, ...],
    at: str | None,
    patterns: tuple[str, ...],
    keys: tuple[str, ...],
    as_json: bool,
    env: str | None,
    conf_source: str,
) -> None:
    from proml_kedro.commands.online_store import parse_moment, read_entity, split_words
    from proml_kedro.commands.render import values_as_json, values_as_text
    from proml_kedro.project import Project

    moment = parse_moment(at)
    entity, overrides = split_words(words, keys)
    project = Project(conf_source, overrides, env)
    values = read_entity(project, entity, moment, list(patterns) or ["*"])
    click.echo((values_as_json if as_json else values_as_text)(values, moment))


def _validate(overrides: tuple[str, ...], env: str | None, conf_source: str) -> None:
    from proml_kedro.marketplace.validate import validate

    project, market = _market(conf_source, overrides, env)
    declared = [(one.problem, one.features) for one in project.problems()[0]]
    findings = validate(market.all(), project.places, project.spec.hardware, declared)
    for finding in findings:
        click.echo(str(finding))
    errors = sum(finding.level == "error" for finding in findings)
    click.echo(f"{len(market)} features: {errors} errors, {len(findings) - errors} warnings")
    if errors:
        sys.exit(FOUND)


def _push(view: str, file: Path, overrides: tuple[str, ...], env: str | None, conf_source: str) -> None:
    from proml_kedro.commands.online_store import push_file
    from proml_kedro.project import Project

    pushed = push_file(Project(conf_source, overrides, env), view, file)
    late = f", {pushed.late} of them older than what is there" if pushed.late else ""
    click.echo(f"{view}: {pushed.rows} row{'' if pushed.rows == 1 else 's'}{late}")


def _check(
    overrides: tuple[str, ...],
    rows: int,
    tolerance: float,
    log: Path | None,
    as_json: bool,
    env: str | None,
    conf_source: str,
) -> None:
    import json

    from proml_kedro.commands.online_store import compare_logged, compare_values
    from proml_kedro.commands.render import consistency_as_text
    from proml_kedro.project import Project

    project = Project(conf_source, overrides, env)
    result = compare_logged(project, log, rows, tolerance) if log else compare_values(project, rows, tolerance)
    click.echo(json.dumps(result) if as_json else consistency_as_text(result))
    if result["mismatches"]:
        sys.exit(FOUND)
