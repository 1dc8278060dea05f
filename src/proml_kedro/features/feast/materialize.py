"""Feature tables → online store: only what is new since the last time, and after a break only what is missing."""

from __future__ import annotations

import contextlib
import io
import logging
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from proml_kedro.atomic import temporary_beside
from proml_kedro.engine.duckdb import moment_literal, quote
from proml_kedro.engine.session import connect
from proml_kedro.features.online.open import open_store
from proml_kedro.features.online.sqlite import SQLiteStore
from proml_kedro.features.online.store import Watermark
from proml_kedro.spec.hardware import HardwareSpec

if TYPE_CHECKING:
    from feast import FeatureStore

    from proml_kedro.features.online.store import OnlineStore

logger = logging.getLogger(__name__)

BEGINNING = datetime(1900, 1, 1, tzinfo=UTC)


def materialize(store: FeatureStore, end: datetime, service_name: str | None = None) -> None:
    """Put the values as of a moment into the online store.

    Args:
        store: The repository.
        end: The moment; values known at it are included.
        service_name: Only the views of this feature service; all views when omitted or when there is no such service.
    """
    materialize_views(store, views_of(store, service_name or ""), BEGINNING, end)


def materialize_views(store: FeatureStore, views: Sequence[str], start: datetime, end: datetime) -> None:
    """Put into the online store what became known of some views from ``start`` to ``end``, both included."""
    # Imported before Feast, which has it keep values in files for servers of several processes, and closes none.
    import prometheus_client  # noqa: F401

    # Feast reports its progress on standard output.
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        store.materialize(start, end, feature_views=list(views))


def views_of(store: FeatureStore, service_name: str) -> list[str]:
    """List the stored views that a feature service reads; all of them when there is no such service."""
    services = {one.name: one for one in store.list_feature_services()}
    stored = [one.name for one in store.list_feature_views()]
    if service_name not in services:
        return stored
    return [one.name for one in services[service_name].feature_view_projections if one.name in stored]


Progress = Literal["unchanged", "moved on", "written anew"]


def materialize_new(
    store: FeatureStore,
    tables: Path,
    views: Sequence[str],
    end: datetime,
    hardware: HardwareSpec,
    anew: bool = False,
) -> dict[str, Progress]:
    """Put the values as of a moment into the online store.

    A view with the same history as at its last watermark needs only what has become known since. A view whose history
    has changed (corrected data, another definition) is written anew; values that were pushed after ``end`` stay. A view
    that does not hold what was written to it is written anew without them. Each view gets its watermark once it is
    complete, so a run that was interrupted continues with the others.

    Args:
        store: The repository; its online store is the one of :mod:`proml_kedro.features.feast.online_store`.
        tables: Folder of the feature tables.
        views: Which views.
        end: The moment; values known at it are included.
        hardware: The machine.
        anew: Whether everything is written again, changed or not.

    Returns:
        What was done with each view.
    """
    from proml_kedro.features.feast.online_store import key_types

    online = open_store(store.config.online_store.path, store.project)
    watermarks = online.watermarks()
    done: dict[str, Progress] = {}
    for view in views:
        table = tables / f"{view}.parquet"
        last = watermarks.get(view)
        if last and not online.is_as_written(view):
            online.drop_view(view)  # pushed rows too: which of them are what was pushed cannot be told
            last = None
        if last and not anew and last.history == history(table, last.until, hardware):
            start = last.until
            done[view] = "moved on" if end > start else "unchanged"
        else:
            start = BEGINNING
            done[view] = "written anew"
        if done[view] != "unchanged":
            online.add_view(view, key_types(store.get_feature_view(view)))  # a view without a value is known too
            now = history(table, end, hardware)
            if done[view] == "written anew":
                _write_anew(store, online, view, max(last.until, end) if last else end, Watermark(end, now))
            else:
                materialize_views(store, [view], start, end)
                online.set_watermark(view, end, now)
        logger.info("online store: %s %s", view, done[view])
    return done


def _write_anew(store: FeatureStore, online: OnlineStore, view: str, until: datetime, mark: Watermark) -> None:
    """Fill a store of its own, and put what is there in the place of what was: a service reads all the while.

    Args:
        store: The repository.
        online: Its online store.
        view: The view.
        until: Up to which moment values that are there are removed.
        mark: Up to which moment values are written.
    """
    folder = temporary_beside(Path(store.config.registry.path))
    place = store.config.online_store.path
    try:
        folder.mkdir(parents=True)
        aside = SQLiteStore(folder / "online.db", store.project)
        store.config.online_store.path = str(folder / "online.db")
        try:
            materialize_views(store, [view], BEGINNING, mark.until)
        finally:
            store.config.online_store.path = place
        online.replace(view, until, aside.rows(view), mark)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def history(table: Path, until: datetime, hardware: HardwareSpec) -> str:
    """Digest the rows of a feature table up to a moment, whatever their order.

    Floating point values count in single precision: sums over windows may differ in their last bits when other rows
    are added to the table, and that is no change of history.

    Args:
        table: The Parquet file.
        until: The moment; rows of it are included.
        hardware: The machine.
    """
    with connect(hardware) as session:
        relation = session.parquet(table)
        names = ", ".join(
            f"CAST({quote(name)} AS FLOAT) AS {quote(name)}" if type_ == "DOUBLE" else quote(name)
            for name, type_ in relation.schema.items()
        )
        row = session.row(
            f"SELECT count(*), bit_xor(hash(one)), sum(hash(one)::HUGEINT % 1000000007) FROM (SELECT {names} FROM "
            f"{relation} WHERE CAST(event_timestamp AS TIMESTAMPTZ) <= {moment_literal(until)}) AS one"
        )
    return "-".join(map(str, row))
