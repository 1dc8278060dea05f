"""The online store and Feast's registry are looked at: what is lost or altered is found, said, and made again."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proml_kedro import open_project
from proml_kedro.commands.online_store import open_online_store, push_file
from proml_kedro.results import Consistency
from proml_kedro.upkeep import find_all_damage, repair

pytestmark = pytest.mark.e2e


def in_database(statement: str) -> Callable[[Path], None]:
    """Run a statement as any program that is not ours would."""

    def damage(file: Path) -> None:
        connection = sqlite3.connect(file)
        with connection:
            connection.execute(statement)
        connection.close()

    return damage


def rows(file: Path) -> list[Any]:
    connection = sqlite3.connect(file)
    try:
        return sorted(connection.execute('SELECT entity, moment, content FROM "shop.orders"'))
    finally:
        connection.close()


DAMAGE: dict[str, Callable[[Path], None]] = {
    "file emptied": lambda file: file.write_bytes(b"") and None,
    "file deleted": lambda file: file.unlink(),
    "not a database": lambda file: file.write_bytes(b"x" * 5000) and None,
    "pages overwritten": lambda file: file.write_bytes(file.read_bytes()[:5000] + b"x" * 20_000) and None,
    "rows deleted": in_database('DELETE FROM "shop.orders" WHERE moment % 2 = 0 OR 1'),
    "one row deleted": in_database('DELETE FROM "shop.orders" WHERE entity = (SELECT min(entity) FROM "shop.orders")'),
    "one value overwritten": in_database(
        "UPDATE \"shop.orders\" SET content = replace(content, '1', '2') "
        "WHERE entity = (SELECT entity FROM \"shop.orders\" WHERE content LIKE '%1%' LIMIT 1)"
    ),
    "moments moved": in_database('UPDATE "shop.orders" SET moment = moment - 1'),
    "table dropped": in_database('DROP TABLE "shop.orders"'),
    "view forgotten": in_database("DELETE FROM views"),
    "watermark forgotten": in_database("DELETE FROM ledger"),
    "names of values exchanged": in_database("UPDATE layouts SET layout = replace(layout, 'spent_7d', 'spent_8d')"),
}


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the package has warned of; libraries warn as they like."""
    return [one.getMessage() for one in caplog.records if one.name.startswith("proml_kedro")]


def fill(shop: Any) -> dict[str, Any]:
    return dict(open_project(shop.folder, f"data_dir={shop.data}").run(results=("consistency",)))


def test_whatever_happens_to_the_online_store_is_found_said_and_repaired(
    shop: Any, caplog: pytest.LogCaptureFixture
) -> None:
    file = shop.data / "feature_store" / "shop" / "online.db"
    made, expected = fill(shop), rows(file)
    assert len(expected) > 50
    caplog.set_level(logging.WARNING)
    caplog.clear()
    assert fill(shop) == made
    assert said(caplog) == [], "nothing is said when nothing happened"
    for what, damage in DAMAGE.items():
        caplog.clear()
        damage(file)
        again = fill(shop)
        assert rows(file) == expected, what
        assert Consistency.read(again["consistency"].path).mismatches == 0, what
        assert any("the online store does not hold what was written of 'orders'" in one for one in caplog.messages), (
            what
        )


@pytest.mark.parametrize("what", ["not a database", "pages overwritten", "one value overwritten", "view forgotten"])
def test_check_finds_a_damaged_online_store_and_repair_lets_the_next_run_fill_it(shop: Any, what: str) -> None:
    file, project = (
        shop.data / "feature_store" / "shop" / "online.db",
        open_project(shop.folder, f"data_dir={shop.data}"),
    )
    fill(shop)
    expected = rows(file)
    assert list(find_all_damage(project.as_run())) == []
    DAMAGE[what](file)
    found = list(find_all_damage(project.as_run()))
    (said_of_it,) = [one.what for one in found]
    assert said_of_it == "the online store of 'shop' in sqlite does not hold what was written of 'orders'"
    elsewhere = open_project(shop.folder, f"data_dir={shop.data}", "online_store=redis://127.0.0.1:1/0")
    assert [one.what for one in find_all_damage(elsewhere.as_run())] == [said_of_it], "whatever is configured now"
    (shop.data / "feature_store" / "shop" / "materialized.json").unlink()
    found = [*found, *find_all_damage(elsewhere.as_run())]
    assert {one.what for one in found} <= {said_of_it}
    repair(found, frozenset())
    assert list(find_all_damage(project.as_run())) == []
    fill(shop)
    assert rows(file) == expected


@pytest.mark.parametrize("damage", [b"", b"\xff" * 100, None], ids=["emptied", "damaged", "deleted"])
def test_a_registry_that_was_lost_is_made_again(shop: Any, caplog: pytest.LogCaptureFixture, damage: Any) -> None:
    from feast.protos.feast.core.Registry_pb2 import Registry

    project = open_project(shop.folder, f"data_dir={shop.data}")
    project.run(results=("training_set",))
    file = shop.data / "feature_store" / "registry.db"
    before = Registry.FromString(file.read_bytes())
    if damage is None:
        file.unlink()
    else:
        file.write_bytes(damage)
    caplog.set_level(logging.WARNING)
    project.run(results=("training_set",))
    after = Registry.FromString(file.read_bytes())
    assert (
        [one.spec.name for one in after.feature_views] == [one.spec.name for one in before.feature_views] == ["orders"]
    )
    assert [one.spec.name for one in after.feature_services] == ["shop_xgboost"]
    assert damage is None or any("is damaged; it is made anew" in one for one in caplog.messages)
    caplog.clear()
    written = file.stat().st_mtime_ns
    project.run(results=("training_set",))
    assert (file.stat().st_mtime_ns, said(caplog)) == (written, [])


def test_a_verdict_on_the_online_store_is_of_one_state_of_it(shop: Any) -> None:
    """What was pushed is nobody's verdict for ever: it counts as long as it is there."""
    made = fill(shop)
    store = open_online_store(open_project(shop.folder, f"data_dir={shop.data}"))
    assert Consistency.read(made["consistency"].path).mismatches == 0
    latest = store.watermarks()["orders"].until
    fresh = shop.folder / "fresh.csv"
    fresh.write_text(f"customer,event_timestamp,spent_7d,spent_all,orders_7d\nc0,{latest.isoformat()},1,2,3\n")
    push_file(open_project(shop.folder, f"data_dir={shop.data}"), "orders", fresh)
    pushed = fill(shop)
    assert pushed["online_values"] == made["online_values"]
    assert Consistency.read(pushed["consistency"].path).mismatches > 0
    assert Consistency.read(made["consistency"].path).mismatches == 0
    store.drop_view("orders")
    again = fill(shop)
    assert again["consistency"] == made["consistency"], "the verdict on what a run has written"
