"""Secrets in the configuration: refused where they are known as such, and never shown."""

from __future__ import annotations

import pytest

from proml_kedro.config.show import as_yaml, with_origins
from proml_kedro.errors import UserError

PLACES = [
    "problem.description",
    "problem.tables.visits.source",
    "problem.label.expression",
    "features.visit.owner",
    "model.description",
    "serving.log",
    "monitoring.current.path",
    "data_dir",
    "catalog.tables.filepath",
    "model.score",
    "problem.split.test_from",
]


@pytest.fixture(autouse=True)
def nothing_hidden(monkeypatch):
    monkeypatch.setattr("proml_kedro.errors._HIDDEN", {})


@pytest.mark.parametrize("place", PLACES)
def test_a_variable_that_is_called_like_a_secret_is_refused(lines, monkeypatch, place):
    monkeypatch.setenv("SHOP_PASSWORD", "hunter-2-hunter")
    found = lines(f"++{place}='a ${{oc.env:SHOP_PASSWORD}}'")
    assert any("${oc.env:SHOP_PASSWORD} is a secret by its name" in line for line in found)
    assert "hunter" not in "".join(found)


@pytest.mark.parametrize("name", ["DB_PASS", "PASS", "PASS_2", "db_pwd", "MY_PASSPHRASE", "SIGNING_KEY", "PGPASSWORD"])
def test_names_of_secrets(lines, monkeypatch, name):
    monkeypatch.setenv(name, "hunter-2-hunter")
    (found,) = lines(f"problem.description=${{oc.env:{name}}}")
    assert f"${{oc.env:{name}}} is a secret by its name" in found


@pytest.mark.parametrize("name", ["PASSENGERS", "PWD", "COMPASS_HOME", "SHOP_PLACE"])
def test_other_names_are_none(load, monkeypatch, name):
    monkeypatch.setenv(name, "Bern")
    assert load(f"problem.description=${{oc.env:{name}}}").loaded.run.problem.description == "Bern"


@pytest.mark.parametrize("place", PLACES)
def test_a_variable_with_a_password_in_its_url_is_refused(lines, monkeypatch, place):
    """Whatever it is called: a bundle, a recipe and Feast's registry would keep its value."""
    monkeypatch.setenv("SHOP_URL", "postgresql://me:hunter-2-hunter@host/shop")
    found = lines(f"++{place}=${{oc.env:SHOP_URL}}")
    assert any(f"{place}: ${{oc.env:SHOP_URL}} has a password in it" in line for line in found)
    assert "hunter" not in "".join(found)


@pytest.mark.parametrize("place", [one for one in PLACES if one != "problem.split.test_from"])
def test_a_password_in_a_url_is_refused_and_not_shown(lines, place):
    found = lines(f"++{place}='https://me:hunter2@host/x.csv'")
    assert any(f"{place}: a password does not belong into a configuration" in line for line in found)
    assert "hunter2" not in "".join(found)


@pytest.mark.parametrize("place", PLACES)
def test_the_value_of_any_variable_is_in_no_message_and_not_in_what_is_printed(load, monkeypatch, place):
    monkeypatch.setenv("SHOP_PLACE", "hunter-2-hunter")
    chosen = f"++{place}=${{oc.env:SHOP_PLACE}}"
    with pytest.raises(UserError) as caught:
        load(chosen, "seed=x").loaded  # noqa: B018
    assert "hunter" not in str(caught.value)
    if place in ("model.score", "problem.split.test_from"):  # they cannot have such a value
        return
    loaded = load(chosen).loaded
    for resolved in (False, True):
        for show in (as_yaml, with_origins):
            assert "hunter" not in show(loaded, resolved)
            assert "${oc.env:SHOP_PLACE}" in show(loaded, resolved)
