"""Entries of the catalog that are no results: what tables are read from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proml_kedro.config import HydraConfigLoader
from proml_kedro.errors import UserError
from proml_kedro.features.tables.readers.catalog import CatalogReader

ORDERS = {"type": "pandas.CSVDataset", "filepath": "orders.csv", "credentials": "shop"}
ENTRY = "+catalog.orders={type: pandas.CSVDataset, filepath: orders.csv, credentials: shop}"
TABLE = "problem.tables.visits.source='catalog:orders'"


def test_a_table_holds_the_dataset_it_names(load: Callable[..., HydraConfigLoader]) -> None:
    loader = load(ENTRY, TABLE)
    table = loader.loaded.run.problem.tables["visits"]
    assert isinstance(table, CatalogReader)
    assert table.dataset == ORDERS
    assert loader["catalog"]["orders"] == ORDERS


def test_another_definition_is_another_table(load: Callable[..., HydraConfigLoader]) -> None:
    one, other = (load(ENTRY, TABLE, *more).loaded.run.problem for more in ((), ("catalog.orders.filepath=new.csv",)))
    assert one.tables != other.tables


def test_entries_that_no_table_names_do_not_change_the_run(load: Callable[..., HydraConfigLoader]) -> None:
    assert load(ENTRY).loaded.run == load().loaded.run


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (
            [ENTRY, "problem.tables.visits.source='catalog:order'"],
            "problem.tables.visits.source: no dataset 'order'. Did you mean 'orders'? Add it to "
            "conf/catalog/default.yaml",
        ),
        (
            ["+catalog.bundel={type: proml_kedro.datasets.ArtifactDataset, filepath: x}"],
            "catalog.bundel: unknown key. Did you mean 'bundle'?",
        ),
        (["+catalog.orders={filepath: x}"], "catalog.orders: unknown key."),
    ],
)
def test_mistakes(overrides: list[str], line: str, lines: Callable[..., list[str]]) -> None:
    (found,) = lines(*overrides)
    assert line in found


def test_credentials_by_name(conf: Path, load: Callable[..., HydraConfigLoader]) -> None:
    (conf / "local").mkdir()
    (conf / "local" / "credentials.yml").write_text("shop: {key: abc, secret: s3cretvalue}\nother: 5\n")
    assert load().credentials("shop") == {"key": "abc", "secret": "s3cretvalue"}
    assert "s3cretvalue" not in str(UserError.at("x", "s3cretvalue is wrong"))
    for name, said in {"shp": "no credentials 'shp'. Did you mean 'shop'?", "other": "'other' must hold keys"}.items():
        with pytest.raises(UserError, match=said.replace("?", "\\?").replace(".", "\\.")):
            load().credentials(name)


def test_nothing_of_credentials_stands_in_what_is_stored(conf: Path, load: Callable[..., Any]) -> None:
    (conf / "local").mkdir()
    (conf / "local" / "credentials.yml").write_text("shop: {key: abc, secret: s3cretvalue}\n")
    assert "s3cretvalue" not in load(ENTRY, TABLE).loaded.run.model_dump_json()


def test_a_configuration_that_names_no_catalog_has_the_shipped_one(conf, load):
    file = conf / "config.yaml"
    written = file.read_text()
    file.write_text(written.replace("  - catalog: here\n", "  - catalog: default\n"))
    named = load("model=forest").loaded.values["catalog"]
    file.write_text(written.replace("  - catalog: here\n", ""))
    assert load("model=forest").loaded.values["catalog"] == named
    assert named["bundle"]["filepath"] == "data/shop/forest/bundle"


def test_a_catalog_in_the_main_file_is_the_whole_catalog(conf, load):
    file = conf / "config.yaml"
    here = (conf / "catalog" / "here.yaml").read_text()
    inside = "catalog:\n" + "".join(f"  {line}\n" for line in here.replace("/shop/", "/elsewhere/").splitlines())
    file.write_text(file.read_text().replace("  - catalog: here\n", "") + inside)
    values = load().loaded.values["catalog"]
    assert values["store"]["filepath"] == "data"
    assert set(values) == {line.partition(":")[0] for line in here.splitlines()}
