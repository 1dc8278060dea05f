"""Alerts: what real receivers get, once each, and what is said of one that is down, slow, or sends elsewhere."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from proml_kedro.errors import UserError
from proml_kedro.health.alerts import deliver
from proml_kedro.health.alerts.alert import Outcome, alert
from proml_kedro.results.anomalies import ALL, Anomalies, Anomaly, Board
from proml_kedro.spec.alerts import AlertsSpec
from proml_kedro.spec.credentials import no_credentials

NOW = datetime(2024, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
SECRETS = {"team": {"token": "s3cret"}, "hidden": {"url": ""}, "odd": {"password": "x"}}


def anomaly(
    id_: str, value: str = "", days_ago: int = 1, strength: float = 2.0, end: datetime | None = None
) -> Anomaly:
    begin = NOW - days_ago * DAY
    dimension = "town" if value else ALL
    return Anomaly(id_, "visits", dimension, value, begin, end or begin + DAY, 1, 40.0, 80.0, strength, 1.0)


class Receiver:
    """A server that keeps what it is sent, and answers as it is told to."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], Any]] = []
        self.status = 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.got.append((dict(self.headers), json.loads(body)))
                self.send_response(outer.status)
                if outer.status == 302:
                    self.send_header("location", "/elsewhere")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?a=b"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one = Receiver()
    yield one
    one.server.shutdown()
    one.server.server_close()


def send(
    folder: Path, found: list[Anomaly], now: datetime = NOW, answered: set[str] | None = None, **spec: Any
) -> list[Outcome]:
    board = Board("shop", now, Anomalies(tuple(found), ()), ())
    checked = AlertsSpec.model_validate(spec)
    places = folder, folder / "alerts.sqlite"
    credentials = lambda name: SECRETS[name] if name in SECRETS else no_credentials(name)  # noqa: E731
    return alert(checked, board, answered or set(), now, places, credentials, lambda one: f"because of {one.id}")


def hook(receiver: Receiver, **more: Any) -> dict[str, Any]:
    return {"receivers": {"team": {"kind": "webhook", "url": receiver.url, **more}}}


def test_a_webhook_is_told_once_with_cause_and_link(receiver, tmp_path):
    spec = {**hook(receiver, credentials="team"), "link": "http://127.0.0.1:4242/health"}
    assert send(tmp_path, [anomaly("a"), anomaly("b", "Bern")], **spec) == [Outcome("team", 2)]
    ((headers, body),) = receiver.got
    assert headers["authorization"] == "Bearer s3cret"
    assert [one["id"] for one in body["anomalies"]] == ["a", "b"]
    assert body["anomalies"][0]["cause"] == "because of a"
    for words in ("shop: visits is unusual, and 1 more", "visits of town = Bern", "because of b", "40 for 80 (-50.0%)"):
        assert words in body["text"]
    assert body["text"].endswith("http://127.0.0.1:4242/health")
    assert send(tmp_path, [anomaly("a"), anomaly("b", "Bern")], **spec) == []
    assert send(tmp_path, [anomaly("a"), anomaly("b", "Bern")], now=NOW + 2 * DAY, **spec) == [], "nothing is new"
    assert len(receiver.got) == 1


def test_it_is_quiet_for_a_while_and_then_told(receiver, tmp_path):
    spec = {**hook(receiver), "quiet": "1d"}
    send(tmp_path, [anomaly("a")], **spec)
    longer = [anomaly("a", end=NOW + DAY), anomaly("c", days_ago=0)]
    assert send(tmp_path, longer, now=NOW + timedelta(hours=23), **spec) == []
    assert send(tmp_path, longer, now=NOW + timedelta(hours=24), **spec) == [Outcome("team", 2)]
    assert send(tmp_path, [anomaly("d", "Oslo")], now=NOW + timedelta(hours=24), **spec) == [Outcome("team", 1)]


def test_what_was_answered_or_is_old_or_weak_is_not_told(receiver, tmp_path):
    found = [anomaly("a"), anomaly("b", "Bern", days_ago=9), anomaly("c", "Oslo", strength=1.2)]
    assert send(tmp_path, found, answered={"a"}, min_strength=1.5, since="3d", **hook(receiver)) == []
    assert receiver.got == []


def test_what_is_not_delivered_is_said_and_told_the_next_time(receiver, tmp_path):
    file = {"kind": "file", "path": "out/alerts.jsonl"}
    spec = {"receivers": {**hook(receiver)["receivers"], "log": file}}
    for status, words in ((500, "it answers 500"), (302, "it answers 302"), (404, "it answers 404")):
        receiver.status = status
        first = send(tmp_path, [anomaly("a")], **spec)
        assert first[0] == Outcome("team", 1, words)
    assert len(receiver.got) == 3, "nobody was followed elsewhere"
    receiver.status = 204
    assert send(tmp_path, [anomaly("a")], **spec) == [Outcome("team", 1)]
    lines = (tmp_path / "out" / "alerts.jsonl").read_text().splitlines()
    assert [json.loads(line)["anomalies"][0]["id"] for line in lines] == ["a"], "the file was told at once, and once"


def test_who_is_down_or_slow_keeps_nobody_waiting(receiver, tmp_path, monkeypatch):
    monkeypatch.setattr(deliver, "PATIENCE_S", 0.5)

    class Dripping(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            stop = threading.Event()
            for byte in b"HTTP/1.1 200 OK\r\nx-long: " + b"x" * 100:
                self.request.sendall(bytes([byte]))
                stop.wait(0.1)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Dripping) as server:
        server.daemon_threads = True
        server.block_on_close = False
        threading.Thread(target=server.serve_forever, daemon=True).start()
        slow = {"kind": "webhook", "url": f"http://127.0.0.1:{server.server_address[1]}/"}
        down = {"kind": "webhook", "url": "http://127.0.0.1:1/secret-path"}
        spec = {"receivers": {"slow": slow, "down": down, **hook(receiver)["receivers"]}}
        first, second, third = send(tmp_path, [anomaly("a")], **spec)
        server.shutdown()
    assert first == Outcome("slow", 1, "it takes more than 0.5 seconds")
    assert second.problem == "it cannot be reached: Connection refused"
    assert third == Outcome("team", 1)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"credentials": "nope"}, "there are no credentials 'nope'"),
        ({"url": None, "credentials": "odd"}, "credentials 'odd' hold no url"),
    ],
)
def test_secrets_that_are_not_there_are_said(receiver, tmp_path, more, words):
    (outcome,) = send(tmp_path, [anomaly("a")], **hook(receiver, **more))
    assert words in outcome.problem


class Mail(socketserver.StreamRequestHandler):
    """A server for mail that takes what it is sent, but for one address."""

    letters: list[str] = []

    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        while line := self.rfile.readline().decode().strip():
            word = line.split()[0].upper()
            if word == "DATA":
                self.wfile.write(b"354 go on\r\n")
                text = ""
                while (part := self.rfile.readline().decode()) != ".\r\n":
                    text += part
                self.letters.append(text)
            self.wfile.write(
                b"550 nobody\r\n" if "<no@" in line else b"221 bye\r\n" if word == "QUIT" else b"250 fine\r\n"
            )


def test_an_e_mail_arrives(tmp_path):
    Mail.letters.clear()
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mail) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        mail = {"kind": "email", "to": ["ann@x.org"], "sender": "kedro@x.org", "host": "127.0.0.1", "security": "none"}
        mail["port"] = server.server_address[1]
        assert send(tmp_path, [anomaly("a", "Zürich")], receivers={"ann": mail}) == [Outcome("ann", 1)]
        some = {**mail, "to": ["ann@x.org", "no@x.org"]}
        (outcome,) = send(tmp_path, [anomaly("b")], receivers={"both": some})
        tls = {**mail, "security": "starttls"}
        (refused,) = send(tmp_path, [anomaly("c")], receivers={"tls": tls})
        server.shutdown()
    from email import message_from_string, policy

    letter = message_from_string(Mail.letters[0], policy=policy.default)
    assert letter["to"] == "ann@x.org"
    assert letter["subject"] == "shop: visits of town = Zürich is unusual"
    assert "because of a" in letter.get_content()
    assert outcome.problem == "the mail server refuses 1 of 2 addresses"
    assert refused.problem.startswith("the mail server refuses"), "no password goes where nothing is encrypted"


@pytest.mark.parametrize(
    ("receiver_", "words"),
    [
        ({"kind": "webhook"}, "url is missing"),
        ({"kind": "webhook", "url": "ftp://x.org"}, "url"),
        ({"kind": "webhook", "url": "https://ann:pass@x.org/"}, "url"),
        ({"kind": "webhook", "url": "https://x.org/", "path": "a"}, "path says nothing for kind: webhook"),
        ({"kind": "file"}, "path is missing"),
        ({"kind": "email", "to": ["ann@x.org\nbcc: all@x.org"], "sender": "k@x.org", "host": "x"}, "to.0"),
        (
            {
                "kind": "email",
                "to": ["a@x.org"],
                "sender": "k@x.org",
                "host": "x",
                "security": "none",
                "credentials": "m",
            },
            "in the clear",
        ),
    ],
)
def test_receivers_that_cannot_be_are_refused(receiver_, words):
    with pytest.raises(ValidationError, match=words):
        AlertsSpec.model_validate({"receivers": {"one": receiver_}})


def test_a_file_that_is_no_database_is_said(receiver, tmp_path):
    (tmp_path / "alerts.sqlite").write_text(
        "this is no database at all, and it is long enough to be told from an empty one"
    )
    with pytest.raises(UserError, match="cannot be used"):
        send(tmp_path, [anomaly("a")], **hook(receiver))
    assert receiver.got == []
