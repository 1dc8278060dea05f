"""Files of object stores and of web servers: read as those of this machine, and looked at again in each run."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import obstore
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake
from obstore.store import S3Store

from one_table import problem_of
from proml_kedro.errors import RetriableError, UserError
from proml_kedro.features.tables.read import read_tables, source_fingerprint
from s3_server import s3_server
from shop import HARDWARE

ROWS = pa.table({"id": ["007", "7"], "x": [1.5, None]})
CSV = b"id,x\n007,1.5\n7,\n"


def parquet(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink)
    return sink.getvalue().to_pybytes()


@dataclass
class Place:
    """Where files lie, and how a table that reads them is written."""

    folder: Path
    url: str
    options: dict[str, Any] = field(default_factory=dict)

    def credentials(self, name: str) -> dict[str, Any]:
        assert name == "mine"
        return self.options

    def read(self, source: str, **table: Any) -> pa.Table:
        out = self.folder / "out"
        out.mkdir(exist_ok=True)
        problem = problem_of(source=f"{self.url}/{source}", credentials="mine", **table)
        read_tables(problem, None, self.folder, HARDWARE, out, self.credentials)
        assert {one.name for one in out.iterdir()} == {"t.parquet", "ex.parquet", "tables.json"}
        return pq.read_table(out / "t.parquet")

    def fingerprint(self, source: str, **table: Any) -> str:
        problem = problem_of(source=f"{self.url}/{source}", credentials="mine", **table)
        return source_fingerprint("t", problem.tables["t"], self.folder, self.credentials)

    def refused(self, source: str, **table: Any) -> UserError:
        errors = []
        for ask in (self.read, self.fingerprint):
            with pytest.raises(UserError) as caught:
                ask(source, **table)
            assert [one.key for one in caught.value.mistakes] == ["problem.tables.t.source"]
            errors.append(caught.value)
        assert str(errors[0]) == str(errors[1])
        assert not [*(self.folder / "out").iterdir()]
        return errors[0]


@dataclass
class Web:
    files: dict[str, bytes]
    asked: list[tuple[str, dict[str, str]]]
    tags: bool = True


@pytest.fixture
def web() -> Iterator[tuple[Web, str]]:
    held = Web({}, [])

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(with_content=False)

        def do_GET(self) -> None:
            self._answer(with_content=True)

        def _answer(self, with_content: bool) -> None:
            held.asked.append((self.path, dict(self.headers)))
            content = held.files.get(self.path)
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"")))
            self.send_header("Last-Modified", "Fri, 01 Mar 2024 00:00:00 GMT")
            if held.tags and content is not None:
                self.send_header("ETag", f'"{hashlib.md5(content).hexdigest()}"')
            self.end_headers()
            if with_content and content:
                self.wfile.write(content)

        def log_message(self, *arguments: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield held, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_files_of_a_web_server(web: tuple[Web, str], tmp_path: Path) -> None:
    held, url = web
    place = Place(tmp_path, url, {"authorization": "Bearer s3cretvalue"})
    held.files = {"/a%20b/t.csv": CSV, "/t.parquet": parquet(ROWS), "/t.csv.gz": __import__("gzip").compress(CSV)}
    for source in ("a%20b/t.csv", "t.parquet", "t.csv.gz"):
        assert place.read(source).to_pydict() == ROWS.to_pydict()
    assert {headers.get("authorization") for _, headers in held.asked} == {"Bearer s3cretvalue"}


@pytest.mark.parametrize("tags", [True, False])
def test_other_content_of_the_web_is_another_source(tags: bool, web: tuple[Web, str], tmp_path: Path) -> None:
    """Of equal size and date too, which a server need not tell apart."""
    held, url = web
    held.tags, held.files = tags, {"/t.csv": CSV}
    place = Place(tmp_path, url)
    first = place.fingerprint("t.csv")
    assert place.fingerprint("t.csv") == first
    held.files["/t.csv"] = CSV.replace(b"1.5", b"1.6")
    assert place.fingerprint("t.csv") != first


def test_what_a_web_server_does_not_give(web: tuple[Web, str], tmp_path: Path) -> None:
    held, url = web
    place = Place(tmp_path, url)
    assert str(place.refused("no.csv")).endswith(f"no file '{url}/no.csv'")
    assert "a query behind the path of a URL is not sent" in str(place.refused("t.csv?token=1", reader="csv"))
    for folder in ("", "a/"):
        assert f"'{url}/{folder}' names no file" in str(place.refused(folder, reader="csv"))
    held.files["/t.xls"] = b"x"
    with pytest.raises(UserError, match=r"cannot read 't.xls'; files end in"):
        place.read("t.xls")


@pytest.mark.parametrize("url", ["ftp://host/t.csv", "file:///t.csv", "hdfs://host/t.parquet", "sqlite:///t.db"])
def test_other_urls_are_no_files_of_this_machine(url: str, tmp_path: Path) -> None:
    problem = problem_of(source=url, **({"table": "t"} if url.endswith("db") else {}))
    with pytest.raises(UserError, match=f"'{url.partition(':')[0]}' is no sort of URL that a table is read from"):
        read_tables(problem, None, tmp_path, HARDWARE, tmp_path)


def test_nobody_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(tmp_path, "http://127.0.0.1:9")
    problem = problem_of(source=f"{place.url}/t.csv")
    with pytest.raises(RetriableError, match=r"'http://127.0.0.1:9/t.csv' cannot be read"):
        source_fingerprint("t", problem.tables["t"], tmp_path)


@pytest.fixture(scope="module")
def s3() -> Iterator[tuple[S3Store, dict[str, str]]]:
    import urllib.request

    with s3_server() as options:
        request = urllib.request.Request(f"{options['endpoint']}/shop", method="PUT")
        urllib.request.urlopen(request, timeout=30).close()
        config: Any = options
        yield S3Store("shop", config=config, client_options={"allow_http": True}), options


@pytest.mark.slow
def test_objects_folders_and_globs_of_s3(s3: tuple[S3Store, dict[str, str]], tmp_path: Path) -> None:
    store, options = s3
    place = Place(tmp_path, "s3://shop", options)
    obstore.put(store, "one/t.csv", CSV)
    for day in (1, 2):
        obstore.put(store, f"days/day=2024-01-0{day}/p.parquet", parquet(pa.table({"id": [day]})))
        obstore.put(store, f"flat/{day}.parquet", parquet(pa.table({"id": [day]})))
    obstore.put(store, "days/_SUCCESS", b"")
    assert place.read("one/t.csv").to_pydict() == ROWS.to_pydict()
    days = place.read("days")
    assert days["id"].to_pylist() == [1, 2]
    assert [str(one) for one in days["day"].to_pylist()] == ["2024-01-01", "2024-01-02"]
    assert place.read("flat/")["id"].to_pylist() == [1, 2]
    assert place.read("flat/*.parquet")["id"].to_pylist() == [1, 2]
    assert place.read("flat/[2-9].parquet")["id"].to_pylist() == [2]
    assert place.read("**/p.parquet")["id"].to_pylist() == [1, 2]


@pytest.mark.slow
def test_changes_of_s3_are_seen(s3: tuple[S3Store, dict[str, str]], tmp_path: Path) -> None:
    store, options = s3
    place = Place(tmp_path, "s3://shop", options)
    obstore.put(store, "c/1.parquet", parquet(pa.table({"id": [1]})))
    first = place.fingerprint("c")
    assert place.fingerprint("c") == first
    obstore.put(store, "c/1.parquet", parquet(pa.table({"id": [3]})))
    second = place.fingerprint("c")
    obstore.put(store, "c/2.parquet", parquet(pa.table({"id": [2]})))
    assert len({first, second, place.fingerprint("c")}) == 3
    obstore.delete(store, "c/2.parquet")
    assert place.fingerprint("c") == second


@pytest.mark.slow
def test_what_s3_does_not_give(s3: tuple[S3Store, dict[str, str]], tmp_path: Path) -> None:
    store, options = s3
    place = Place(tmp_path, "s3://shop", options)
    assert "no file 's3://shop/nothing'" in str(place.refused("nothing"))
    obstore.put(store, "lake/_delta_log/0.json", b"{}")
    obstore.put(store, "lake/1.parquet", parquet(ROWS))
    assert "a log that says which of them hold rows" in str(place.refused("lake"))
    wrong = Place(tmp_path, "s3://shop", {**options, "acess_key": "x"})
    said = str(wrong.refused("one/t.csv"))
    assert "credentials of 's3://shop/one/t.csv'" in said
    assert options["secret_access_key"] not in said


@pytest.mark.slow
def test_delta_tables_of_s3(s3: tuple[S3Store, dict[str, str]], tmp_path: Path) -> None:
    _, options = s3
    place = Place(tmp_path, "s3://shop", options)
    written = {**options, "allow_http": "true", "aws_s3_allow_unsafe_rename": "true"}
    write_deltalake("s3://shop/lakes/one", pa.table({"id": ["8"], "x": [0.5]}), storage_options=written)
    first = place.fingerprint("lakes/one", reader="delta")
    assert place.fingerprint("lakes/one", reader="delta") == first
    write_deltalake("s3://shop/lakes/one", ROWS, mode="overwrite", storage_options=written)
    assert place.fingerprint("lakes/one", reader="delta") != first
    assert place.fingerprint("lakes/one", reader="delta", version=0) == first
    assert place.read("lakes/one", reader="delta").to_pydict() == ROWS.to_pydict()
    assert place.read("lakes/one", reader="delta", version=0).to_pydict() == {"id": ["8"], "x": [0.5]}
    (tmp_path / "other" / "out").mkdir(parents=True)
    place = Place(tmp_path / "other", "s3://shop", options)
    assert "a log that says which of them hold rows; write reader: delta" in str(place.refused("lakes/one"))
    for source, keys in (("lakes/two", {}), ("lakes/one", {"version": 9})):
        said = str(place.refused(source, reader="delta", **keys))
        assert f"'s3://shop/{source}' cannot be read as a Delta table" in said
        assert options["secret_access_key"] not in said
