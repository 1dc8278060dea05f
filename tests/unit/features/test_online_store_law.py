"""Every registered kind of online store keeps the law, and a user's package is as good as what comes with us."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from proml_kedro.errors import RetriableError, UserError
from proml_kedro.extensions import online_stores
from proml_kedro.features.online.kind import OnlineStoreKind
from proml_kedro.features.online.kinds import SQLiteKind
from proml_kedro.features.online.sqlite import SQLiteStore
from proml_kedro.testing import check_online_store, check_two_writers
from redis_server import redis_server

SERVERS = {"redis": "server", "rediss": "server_with_tls"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture(scope="module")
def server_with_tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with redis_server(tmp_path_factory.mktemp("rediss"), tls=True) as url:
        yield url


@pytest.fixture
def setting(request: pytest.FixtureRequest) -> str:
    """What `online_store:` says of the kind that the test is about."""
    name: str = request.node.callspec.params["name"]
    return request.getfixturevalue(SERVERS[name]) if name in SERVERS else online_stores.get(name).form


@pytest.mark.parametrize("name", online_stores.names())
def test_every_kind_keeps_the_law(name: str, setting: str, tmp_path: Path) -> None:
    check_online_store(name, setting, tmp_path)


@pytest.mark.parametrize("name", online_stores.names())
def test_two_processes_write_at_once(name: str, setting: str, tmp_path: Path) -> None:
    check_two_writers(name, setting, tmp_path)


def test_the_store_of_the_how_to_keeps_the_law(tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "docs/how-to/keep-online-values-elsewhere.md").read_text()
    source = text.partition("```python\n")[2].partition("```")[0]
    with online_stores.temporary("nothing", None):  # what is registered inside goes with it
        exec(compile(source, "keep-online-values-elsewhere.md", "exec"), {"__name__": "my_stores"})
        check_online_store("sqlitefolder", f"sqlitefolder://{tmp_path}/online", tmp_path)
        with pytest.raises(ValueError, match="name a folder"):
            online_stores.get("sqlitefolder")().check("sqlitefolder:///")
    assert "sqlitefolder" not in online_stores.names()


def test_a_server_whose_certificate_nobody_vouches_for_is_not_talked_to(server_with_tls: str, tmp_path: Path) -> None:
    store = online_stores.get("rediss")().open(server_with_tls.partition("?")[0], "p")
    with pytest.raises(UserError, match=r"nobody vouches for .* rediss://HOST:PORT/0\?ssl_ca_certs=FILE") as error:
        store.exists()
    assert not isinstance(error.value, RetriableError), "no time mends it"


class TakesAnything(SQLiteStore):
    """What was written last counts, as in Feast's own store."""

    def write(self, view: str, layout: Any, rows: Any) -> None:
        for key, moment, made, values in rows:
            with self._writing() as connection:
                connection.execute(f"DELETE FROM {self._table(view)} WHERE entity = ?", [key])
            super().write(view, layout, [(key, moment, made, values)])


class LosesNaN(SQLiteStore):
    def write(self, view: str, layout: Any, rows: Any) -> None:
        clean = [(*row[:3], [None if one != one else one for one in row[3]]) for row in rows]
        super().write(view, layout, clean)


class ForgetsTooMuch(SQLiteStore):
    def delete_until(self, view: str, until: Any) -> int:
        return super().delete_until(view, until + timedelta(microseconds=1))


class SharesProblems(SQLiteStore):
    def __init__(self, file: Path, project: str) -> None:
        super().__init__(file.parents[1] / "shared" / "online.db", "all")


class KeepsMarks(SQLiteStore):
    def clear_watermark(self, view: str) -> None:
        pass


class KnowsEveryView(SQLiteStore):
    def key_types(self, view: str) -> dict[str, str]:
        try:
            return super().key_types(view)
        except LookupError:
            return {}


BROKEN: list[tuple[Callable[[Path, str], SQLiteStore], str]] = [
    (TakesAnything, "no older row replaces a newer one"),
    (LosesNaN, "values come back as they went"),
    (ForgetsTooMuch, "rows up to a moment are deleted"),
    (SharesProblems, "does not exist"),
    (KeepsMarks, "a cleared watermark is gone"),
    (KnowsEveryView, "NotStoredError for a view that was never added"),
]


@pytest.mark.parametrize(("store", "message"), BROKEN, ids=lambda one: getattr(one, "__name__", ""))
def test_a_store_that_breaks_its_promise_is_found(
    store: Callable[[Path, str], SQLiteStore], message: str, tmp_path: Path
) -> None:
    class Kind(SQLiteKind):
        def check(self, setting: str) -> None:
            pass

        def place(self, setting: str, project: str, data_dir: Path) -> str:
            return f"broken://{super().place(setting, project, data_dir)}"

        def open(self, place: str, project: str) -> SQLiteStore:
            return store(Path(place.removeprefix("broken://")), project)

    with online_stores.temporary("broken", Kind), pytest.raises(AssertionError, match=message):
        check_online_store("broken", "broken://", tmp_path)


def test_a_setting_of_no_kind_names_all_forms() -> None:
    from proml_kedro.spec.run import RunSpec
    from small import make_config

    class Kind(OnlineStoreKind):
        form = "dictionary://NAME"

        def check(self, setting: str) -> None:
            if setting.endswith("//"):
                raise ValueError("name the dictionary")

        def open(self, place: str, project: str) -> Any:
            raise NotImplementedError

    def made(setting: str) -> Any:
        return RunSpec.model_validate({**make_config(), "online_store": setting})

    with online_stores.temporary("dictionary", Kind):
        assert made("dictionary://me").online_store == "dictionary://me"
        with pytest.raises(ValueError, match="name the dictionary"):
            made("dictionary://")
        with pytest.raises(ValueError, match="a password does not belong into a configuration"):
            made("dictionary://me:hunter2@there")
        with pytest.raises(ValueError, match=r"write sqlite or redis://HOST:PORT/0 or dictionary://NAME"):
            made("dictionnary://me")
