"""The guard, driven as the server drives it: message by message."""

import asyncio
import json

import pytest

from proml_kedro.serving.guard import RequestGuard

LIMIT = 100


def ask(guard_options=None, method="POST", path="/predict", headers=None, parts=(b"{}",)):
    """The status, the body and the headers of the answer, and what reached the application."""
    headers = {"content-type": "application/json"} if headers is None else headers
    sent, seen, read = [], [], []
    messages = [
        {"type": "http.request", "body": part, "more_body": number < len(parts) - 1}
        for number, part in enumerate(parts)
    ]

    async def application(scope, receive, send):
        message = await receive()
        seen.append(message["body"])
        assert not message["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"scored"})

    async def receive():
        read.append(1)
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    asyncio.run(RequestGuard(application, **{"max_body_bytes": LIMIT, **(guard_options or {})})(scope, receive, send))
    if not sent:
        return None, b"", {}, seen, len(read)
    return sent[0]["status"], sent[1]["body"], dict(sent[0]["headers"]), seen, len(read)


def test_a_good_request_passes_whole():
    status, body, _, seen, _ = ask(parts=(b'{"a"', b": 1", b"}"))
    assert (status, body, seen) == (200, b"scored", [b'{"a": 1}'])


def test_a_declared_length_over_the_limit_is_refused_unread():
    headers = {"content-type": "application/json", "content-length": str(LIMIT + 1)}
    status, body, _, seen, read = ask(headers=headers)
    assert (status, seen, read) == (413, [], 0)
    assert "larger than 100 bytes" in json.loads(body)["error"]


def test_a_chunked_body_is_read_no_further_than_the_limit():
    status, _, headers, seen, read = ask(parts=(b"x" * 40,) * 1000)
    assert (status, seen, read) == (413, [], 3)
    assert headers[b"connection"] == b"close"


def test_a_body_longer_than_declared_is_refused():
    headers = {"content-type": "application/json", "content-length": "5"}
    assert ask(headers=headers, parts=(b"x" * (LIMIT + 1),))[0] == 413


def test_a_body_of_exactly_the_limit_passes():
    assert ask(parts=(b"x" * LIMIT,))[0] == 200


@pytest.mark.parametrize("length", ["-1", "1e3", "", "9" * 30, "0x10"])
def test_a_length_that_is_no_number_is_refused(length):
    assert ask(headers={"content-type": "application/json", "content-length": length})[0] == 400


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/vnd.bentoml+pickle", "multipart/form-data; boundary=x"]
)
def test_other_content_types_are_refused(kind):
    assert ask(headers={"content-type": kind})[0] == 415


def test_no_content_type_is_refused():
    assert ask(headers={})[0] == 415


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON"])
def test_json_is_json(kind):
    assert ask(headers={"content-type": kind})[0] == 200


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        ("Bearer right", 200),
        ("bearer right", 200),
        ("Bearer wrong", 401),
        ("Bearer right2", 401),
        ("Bearer ", 401),
        ("Basic right", 401),
        ("right", 401),
        ("Bearer ü", 401),
        (None, 401),
    ],
)
def test_a_token_is_asked_for(authorization, status):
    headers = {"content-type": "application/json"}
    if authorization is not None:
        headers["authorization"] = authorization
    result = ask({"token": "right"}, headers=headers)
    assert result[0] == status
    assert (result[2].get(b"www-authenticate") == b"Bearer") == (status == 401)
    assert b"right" not in result[1]


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz"])
def test_probes_need_no_token(path):
    assert ask({"token": "right"}, method="GET", path=path, headers={})[0] == 200


@pytest.mark.parametrize("path", ["/metadata", "/metrics", "/docs.json", "/", "/livez/x", "//livez"])
def test_everything_else_needs_it(path):
    assert ask({"token": "right"}, method="GET", path=path, headers={})[0] == 401


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods_are_guarded_like_post(method):
    assert ask(method=method, headers={})[0] == 415
    assert ask(method=method, parts=(b"x" * (LIMIT + 1),))[0] == 413


def test_a_probe_with_a_large_body_is_refused():
    assert ask(method="POST", path="/livez", headers={}, parts=(b"x" * 60, b"x" * 60))[0] == 413


def test_a_client_that_leaves_gets_nothing():
    status, _, _, seen, _ = ask(parts=())
    assert (status, seen) == (None, [])


def test_a_websocket_is_closed():
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(RequestGuard(None)({"type": "websocket", "path": "/", "headers": []}, None, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_the_lifespan_passes():
    seen = []

    async def application(scope, receive, send):
        seen.append(scope["type"])

    asyncio.run(RequestGuard(application)({"type": "lifespan"}, None, None))
    assert seen == ["lifespan"]
