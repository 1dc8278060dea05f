"""Requests that no client should send: bodies, heads and paths, made from whole ones by chance, and sent as bytes."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from typing import Any

PATHS = ("/predict", "/predict_online", "/rank", "/explain", "/features", "/metadata", "/livez", "/openapi.json", "/x")
ODD = [
    b"\0",
    b"\n",
    b"\r\n",
    b" ",
    b"%00",
    b"%0a",
    b"%",
    b"//",
    b"/../",
    b"?",
    b"#",
    b"\xff\xfe",
    b"*",
    b";",
    b"\xf0\x9f\x98\x80",
]
VALUES: list[Any] = [
    None,
    True,
    10**400,
    -1,
    1e308,
    0.5,
    "",
    "x" * 2000,
    "\ud800",
    "\0",
    [],
    {},
    [[[[]]]],
    "2026-13-45T99:99Z",
]


class Malformed:
    """Maker of requests.

    Args:
        seed: Of the choices.
        rows: Whole rows of `/predict`.
    """

    def __init__(self, seed: int, rows: list[dict[str, Any]]) -> None:
        self._random, self._rows = random.Random(seed), rows
        self._kinds: list[Callable[[], bytes]] = [self._body, self._text, self._head, self._path, self._frame]

    def request(self) -> bytes:
        """Make one."""
        return self._random.choice(self._kinds)()

    def _whole(self) -> Any:
        rows = json.loads(json.dumps(self._random.choices(self._rows, k=self._random.randrange(1, 3))))
        return {"instances": rows} if self._random.random() < 0.8 else {"common": rows[0], "candidates": rows}

    def _body(self) -> bytes:
        """JSON with some values that do not belong there."""
        body, chance = self._whole(), self._random
        for _ in range(chance.randrange(1, 4)):
            place: Any = body
            while isinstance(place, (dict, list)) and place:
                key = chance.choice(list(place)) if isinstance(place, dict) else chance.randrange(len(place))
                if chance.random() < 0.5 or not isinstance(place[key], (dict, list)):
                    if isinstance(place, dict) and chance.random() < 0.3:
                        place[chance.choice(["x" * 300, "", "instances", "\0"])] = place.pop(key)
                    else:
                        place[key] = deepcopy(chance.choice(VALUES))
                    break
                place = place[key]
        return self._post(json.dumps(body).encode())

    def _text(self) -> bytes:
        """Bytes that were JSON."""
        text, chance = bytearray(json.dumps(self._whole()).encode()), self._random
        for _ in range(chance.randrange(1, 6)):
            at = chance.randrange(len(text) + 1)
            text[at : at + chance.randrange(0, 20)] = chance.choice(
                [b"", b"NaN", b"{", b"[" * 5000, b"\xff", b'"', b"1e999", b"\0", b","]
            )
        return self._post(bytes(text))

    def _head(self) -> bytes:
        """Fields of a head that are wrong, twice there, or too long."""
        fields = [
            b"Content-Length: -1",
            b"Content-Length: 1e3",
            b"Content-Length: 5, 6",
            b"Content-Length: 99999999999999999999",
            b"Transfer-Encoding: chunked, x",
            b"Content-Type: text/" + b"x" * 9000,
            b"Content-Type: application/json;" * 40,
            b"X-\0: y",
            b"X: a\nb",
            b": nothing",
            b"no colon",
            b" folded",
            b"Expect: 100-continue",
            b"Expect: x",
            b"X-Request-Id: a\tb",
            b"traceparent: 00-zz-00-00",
            b"Authorization: Basic \xff",
            b"X: " + b"y" * 60_000,
            b"Upgrade: websocket\r\nConnection: Upgrade",
            b"Connection: " + b"a," * 500,
            b"Host: a\r\nHost: b",
        ]
        chosen = self._random.sample(fields, self._random.randrange(1, 4))
        return self._post(json.dumps(self._whole()).encode(), *chosen)

    def _path(self) -> bytes:
        """Methods and paths that are none."""
        chance = self._random
        method = chance.choice(
            [b"GET", b"POST", b"PUT", b"TRACE", b"OPTIONS", b"CONNECT", b"PROPFIND", b"get", b"\0", b"G" * 300]
        )
        path = chance.choice([*(one.encode() for one in PATHS), b"http://other/predict", b"*", b"a" * 40_000, b""])
        at = chance.randrange(len(path) + 1)
        path = path[:at] + chance.choice(ODD) * chance.randrange(0, 3) + path[at:]
        version = chance.choice([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/9", b""])
        return method + b" " + path + b" " + version + b"\r\nHost: x\r\nConnection: close\r\n\r\n"

    def _frame(self) -> bytes:
        """Bodies that end elsewhere than is said, and bytes that are no HTTP."""
        chance, body = self._random, json.dumps(self._whole()).encode()
        head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        return chance.choice(
            [
                chance.randbytes(chance.randrange(1, 300)),
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + chance.randbytes(200),
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                head + b"Content-Length: 5\r\n\r\n" + body,
                head + b"Content-Length: %d\r\n\r\n" % (len(body) + 50) + body,
                head
                + b"Transfer-Encoding: chunked\r\n\r\n"
                + chance.choice([b"zz", b"-1", b"ffffffffffffffffff", b"5;x=" + b"y" * 5000])
                + b"\r\n"
                + body,
                head + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
                head
                + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(body)
                + body
                + b"\r\n0\r\n"
                + b"T: x\r\n" * 3000
                + b"\r\n",
            ]
        )

    def _post(self, body: bytes, *fields: bytes) -> bytes:
        path = self._random.choice(PATHS).encode()
        head = [b"POST " + path + b" HTTP/1.1", b"Host: x", b"Connection: close", *fields]
        if not any(one.lower().startswith(b"content-type") for one in fields):
            head.append(b"Content-Type: application/json")
        if not any(one.lower().startswith((b"content-length", b"transfer")) for one in fields):
            head.append(b"Content-Length: %d" % len(body))
        return b"\r\n".join(head) + b"\r\n\r\n" + body


def send(port: int, request: bytes) -> bytes:
    """Send bytes and end; return what is answered, b"" where the connection was closed.

    Raises:
        TimeoutError: The connection stays open without an answer.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        answered = b""
        with suppress(ConnectionError):
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
        with suppress(ConnectionError):
            while part := connection.recv(1 << 16):
                answered += part
    return answered


def judge(answered: bytes) -> str | None:
    """Say what is wrong with answers: faults, refusals that are no JSON, and what is no HTTP. None where nothing is."""
    if not answered:
        return None
    head, _, body = answered.partition(b"\r\n\r\n")
    line = head.split(b"\r\n")[0].split(b" ")
    if not line[0].startswith(b"HTTP/1.") or not line[1].isdigit():
        return "no HTTP"
    status = int(line[1])
    if status == 100:
        return judge(body)
    if status in (101, 501) or (status >= 500 and status != 503):
        return f"status {status}"
    if status >= 400 and b"application/json" in head.lower():
        with suppress(ValueError):
            return None if "error" in json.loads(body.partition(b"HTTP/1.1 ")[0]) else "no error"
    return f"status {status} without JSON" if status >= 400 else None


def hammer(server: Any, rows: list[dict[str, Any]], requests: int, seed: int, token: str) -> list[str]:
    """Send many, each 50 of them beside a whole request, whose answer has to stay what it was; return what is wrong."""
    maker, wrong = Malformed(seed, rows), []
    body = json.dumps({"instances": rows[:2]}).encode()
    right = server.post("/predict", body, Authorization=f"Bearer {token}")
    for number in range(requests):
        request = maker.request()
        if said := judge(send(server.port, request)):
            wrong.append(f"{said}: {request[:300]!r}")
        if number % 50 == 49 and server.post("/predict", body, Authorization=f"Bearer {token}") != right:
            wrong.append(f"after {number} requests a whole one is answered otherwise")
    return wrong + [line for line in server.lines if "failed" in line or "Traceback" in line]
