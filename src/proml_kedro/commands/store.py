"""`kedro store …`: what is stored and who needs it, whether it is what was written, and freeing what nobody needs."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from proml_kedro.commands.base import Command, configuration_options, overrides_argument
from proml_kedro.commands.render import duration, table
from proml_kedro.errors import Mistake, UserError, masked
from proml_kedro.hardware import in_words

if TYPE_CHECKING:
    from proml_kedro.project import Project
    from proml_kedro.upkeep import Needs, Stored
    from proml_kedro.workflow import Run

DAMAGED = 1
"""Exit code of `kedro store check` when something is not what was written."""

_LIST = "List stored results: size, how long ago a run made use of each, and who needs it."
_CHECK = """Read every stored result, online store and Feast's registry; name what is not what was written.

    Exit code 1 when anything is damaged.
    """
_REPAIR = """Do what `check` does, and see that nobody believes what is damaged: the next run makes it anew.

    Damaged results that nothing leads to are removed.
    """
_GC = """Free what no link, live bundle, Feast's registry, configuration file or running process needs.

    What a needed result was made from is needed too. Links are those below the data folder, and where the catalog
    says; each leads to the newest result of a problem and model. Whatever is freed a later run can make anew.
    """
_SIZE = "Print how much space each sort of result takes, and what lies beside the store."


def make_group() -> click.Group:
    """Make the group `store`."""
    group = click.Group("store", help="Look at stored results, prove that they are whole, and free what is not needed.")
    as_json = click.Option(["--json", "as_json"], is_flag=True, help="Print JSON.")
    dry_run = click.Option(["--dry-run"], is_flag=True, help="Only list what would be freed.")
    older = click.Option(["--older-than"], metavar="DURATION", help="Only what was not used for so long: 12h, 30d.")
    for title, callback, options, text in (
        ("list", _list, [as_json], _LIST),
        ("check", _check, [], _CHECK),
        ("repair", _repair, [], _REPAIR),
        ("gc", _gc, [dry_run, older], _GC),
        ("size", _size, [as_json], _SIZE),
    ):
        params: list[click.Parameter] = [overrides_argument(), *options, *configuration_options()]
        group.add_command(Command(title, callback=callback, params=params, help=text))
    return group


def _open(overrides: Sequence[str], env: str | None, conf_source: str) -> Project:
    """Open the project.

    Raises:
        UserError: It has no stored results.
    """
    from proml_kedro.project import Project

    project = Project(conf_source, overrides, env)
    if not (project.data_dir / "store").is_dir():
        raise UserError(Mistake("data_dir", f"there are no results in {project.data_dir}: `kedro run` makes some"))
    return project


def _stock(project: Project) -> tuple[Mapping[str, Stored], Needs]:
    from proml_kedro.upkeep import find_needs, take_stock

    run = project.as_run()
    stock = take_stock(run.store)
    return stock, find_needs(stock, run, project.files())


def _list(overrides: tuple[str, ...], as_json: bool, env: str | None, conf_source: str) -> None:
    stock, needs = _stock(_open(overrides, env, conf_source))
    now = time.time()
    rows = [_facts(one, needs, now) for one in stock.values()]
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False))
        return
    cells = [(one["place"], in_words(one["size"]), duration(one["age"]), _needed_by(one)) for one in rows]
    click.echo(table([("result", "size", "used", "needed by"), *cells]))
    unneeded = [one for place, one in stock.items() if place not in needs.needed]
    of = f"{len(stock)} results, {in_words(sum(one.size for one in stock.values()))}"
    click.echo(f"\n{of}; nobody needs {len(unneeded)}, {in_words(sum(one.size for one in unneeded))}")


def _facts(stored: Stored, needs: Needs, now: float) -> dict[str, Any]:
    return {
        "place": stored.place,
        "sort": stored.sort,
        "size": stored.size,
        "age": max(0.0, round(now - stored.used_last, 1)),
        "whole": stored.is_whole,
        "needed": stored.place in needs.needed,
        "needed_by": list(needs.users.get(stored.place, ())),
        "made_of": list(stored.made_of),
    }


def _needed_by(facts: Mapping[str, Any]) -> str:
    if facts["needed_by"]:
        here = f"{Path.cwd()}{os.sep}"
        return ", ".join(one.removeprefix(here) for one in facts["needed_by"])
    if facts["needed"]:
        return "results made from it"
    return "nobody" if facts["whole"] else "nobody: it is not complete"


def _check(overrides: tuple[str, ...], env: str | None, conf_source: str) -> None:
    from proml_kedro.upkeep import find_all_damage

    run = _open(overrides, env, conf_source).as_run()
    is_whole = True
    for one in find_all_damage(run):
        is_whole = False
        click.echo(f"{one.what}; `kedro store repair`, then {one.advice}")
    if not is_whole:
        sys.exit(DAMAGED)
    click.echo(_all_whole(run))


def _all_whole(run: Run) -> str:
    """Say that nothing is damaged, and which online stores were judged."""
    from proml_kedro.upkeep import online_stores_known

    stores = ", ".join(f"'{problem}' in {masked(setting)}" for problem, setting in online_stores_known(run))
    return "all is what was written" + (f"; of online stores, that of {stores}" if stores else "")


def _repair(overrides: tuple[str, ...], env: str | None, conf_source: str) -> None:
    from proml_kedro.upkeep import find_all_damage, repair

    project = _open(overrides, env, conf_source)
    run = project.as_run()
    found = list(find_all_damage(run))
    stock, needs = _stock(project) if found else ({}, None)
    repair(found, frozenset(stock[place].folder for place in needs.needed & stock.keys()) if needs else frozenset())
    for one in found:
        click.echo(f"{one.what}; {one.advice}")
    click.echo(f"{len(found)} repaired" if found else _all_whole(run))


def _gc(overrides: tuple[str, ...], dry_run: bool, older_than: str | None, env: str | None, conf_source: str) -> None:
    from proml_kedro.upkeep import free, may_go

    seconds = _seconds(older_than)
    project = _open(overrides, env, conf_source)
    if dry_run:
        stock, needs = _stock(project)
        gone = may_go(stock, needs, seconds)
    else:
        gone = free(project.as_run(), project.files(), seconds)
    now = time.time()
    for one in gone:
        click.echo(f"{one.place}  {in_words(one.size)}, used {duration(max(0.0, now - one.used_last))} ago")
    click.echo(f"{len(gone)} results {'would be ' * dry_run}freed, {in_words(sum(one.size for one in gone))}")


def _seconds(text: str | None) -> float:
    from proml_kedro.spec.base import parse_duration

    if text is None:
        return 0.0
    try:
        length: timedelta = parse_duration(text)
    except ValueError as error:
        raise UserError(Mistake("", str(error), "option --older-than")) from error
    return length.total_seconds()


def _size(overrides: tuple[str, ...], as_json: bool, env: str | None, conf_source: str) -> None:
    from proml_kedro.upkeep import size_of, take_stock

    project = _open(overrides, env, conf_source)
    sizes: dict[str, list[int]] = defaultdict(list)
    for one in take_stock(project.store()).values():
        sizes[one.sort].append(one.size)
    rows = {sort: (len(found), sum(found)) for sort, found in sorted(sizes.items(), key=lambda item: -sum(item[1]))}
    for beside in ("feature_store", "features", "runs"):
        if (project.data_dir / beside).is_dir():
            rows[beside] = (len(list((project.data_dir / beside).iterdir())), size_of(project.data_dir / beside))
    if as_json:
        click.echo(json.dumps({sort: {"count": count, "size": size} for sort, (count, size) in rows.items()}))
        return
    for line in _as_table(rows):
        click.echo(line)


def _as_table(rows: Mapping[str, tuple[int, int]]) -> Iterator[str]:
    total = (sum(count for count, _ in rows.values()), sum(size for _, size in rows.values()))
    cells = [(sort, f"{count:,}", in_words(size)) for sort, (count, size) in {**rows, "in all": total}.items()]
    yield from table([("sort", "how many", "size"), *cells]).splitlines()
