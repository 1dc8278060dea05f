"""An online store in a Redis server, with the same guarantees as in a file.

A row is one string: the moments as digits, the number of its layout, and its values. A script compares the digits and
writes in one step on the server, so two writers cannot undo each other; a read is one MGET for each view.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from proml_kedro.errors import Mistake, RetriableError, UserError, first_line
from proml_kedro.features.online.store import (
    DIGESTS,
    Layout,
    NewRow,
    NewRows,
    NotStoredError,
    OnlineStore,
    StoredRow,
    Watermark,
    row_digest,
    to_json,
    to_microseconds,
    to_moment,
)

PASSWORD_VARIABLE = "PROML_REDIS_PASSWORD"  # noqa: S105 (the name of a variable)

_BATCH = 1000
_OFFSET = 1 << 62  # moments before 1970 are digits without a sign too
_DIGITS, _LAYOUT = 20, 16
_TIMES = 2 * _DIGITS
_HEAD = _TIMES + _LAYOUT

_NOTE = f"""
local function digest(key, row)
    local what = string.sub(row, 1, {_DIGITS}) .. string.sub(row, {_TIMES} + 1)
    return tonumber(string.sub(redis.sha1hex(key .. '\\0' .. what), 1, 12), 16)
end
local function note(added, change)
    local noted = redis.call('HGET', ARGV[1], ARGV[2]) or '0 0'
    local rows, sum = string.match(noted, '(%d+) (%d+)')
    local digest = (tonumber(sum) + change) % {DIGESTS}
    redis.call('HSET', ARGV[1], ARGV[2], string.format('%.0f %.0f', tonumber(rows) + added, digest))
end
local added, change = 0, 0"""
_WRITE = f"""{_NOTE}
for i, key in ipairs(KEYS) do
    local old, new = redis.call('GET', key), ARGV[i + 2]
    if not old or string.sub(old, 1, {_TIMES}) <= string.sub(new, 1, {_TIMES}) then
        redis.call('SET', key, new)
        if old then change = change - digest(key, old) else added = added + 1 end
        change = (change + digest(key, new)) % {DIGESTS}
    end
end
note(added, change)"""
_REPLACE = _WRITE.replace("if not old or", f"if not old or string.sub(old, 1, {_DIGITS}) <= ARGV[#ARGV] or")
"""As :data:`_WRITE`, but over whatever is there up to a moment, the last argument."""
_FORGET = f"""{_NOTE}
for _, key in ipairs(KEYS) do
    local old = redis.call('GET', key)
    if old and string.sub(old, 1, {_DIGITS}) <= ARGV[3] then
        change = (change - digest(key, old)) % {DIGESTS}
        added = added - redis.call('UNLINK', key)
    end
end
note(added, change)
return -added"""


class RedisStore(OnlineStore):
    """Store in a Redis server.

    Args:
        url: ``redis://HOST:PORT/DATABASE``, or ``rediss://`` with TLS. A password is taken from the environment
            variable ``PROML_REDIS_PASSWORD``, never from the configuration.
        project: The problem's name.
    """

    def __init__(self, url: str, project: str) -> None:
        from redis import Redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        self._place = urlsplit(url).netloc.rpartition("@")[2] or url
        self._project = project
        self._layouts: dict[bytes, Layout] = {}
        self._client: Any = Redis.from_url(
            url,
            password=os.environ.get(PASSWORD_VARIABLE) or None,
            socket_connect_timeout=2,
            socket_timeout=10,
            retry=Retry(NoBackoff(), 1),
        )

    def exists(self) -> bool:
        """Return whether the server has a view of the problem."""
        with self._reached():
            return bool(self._client.exists(self._name("views")))

    def add_view(self, view: str, keys: Mapping[str, str]) -> None:
        """Store the view's keys."""
        with self._reached():
            self._client.hset(self._name("views"), view, to_json(dict(keys)))

    def key_types(self, view: str) -> dict[str, str]:
        """Return the view's entity columns."""
        with self._reached():
            text = self._client.hget(self._name("views"), view)
        if text is None:
            raise NotStoredError(view)
        types: dict[str, str] = json.loads(text)
        return types

    def write(self, view: str, layout: Layout, rows: Sequence[NewRow]) -> None:
        """Write rows, some at a time."""
        self._write(_WRITE, view, layout, rows)

    def replace(self, view: str, until: datetime, rows: Iterable[NewRows], mark: Watermark) -> None:
        """Write over what is there, some rows at a time, and then remove what was not written over."""
        self.clear_watermark(view)
        limit, written = _digits(to_microseconds(until)), set()
        for layout, part in rows:
            self._write(_REPLACE, view, layout, part, limit)
            written |= {self._row(view, one[0]) for one in part}
        with self._reached():
            script = self._client.register_script(_FORGET)
            for keys in self._keys(view):
                if left := [one for one in keys if one not in written]:
                    script(left, [self._name("noted"), view, limit])
        self.set_watermark(view, *mark)

    def _write(self, lua: str, view: str, layout: Layout, rows: Sequence[NewRow], *last: str) -> None:
        text = to_json(layout)
        number = hashlib.sha256(text.encode()).hexdigest()[:_LAYOUT]
        with self._reached():
            self._client.hset(self._name("layouts"), number, text)
            script = self._client.register_script(lua)
            for start in range(0, len(rows), _BATCH):
                part = rows[start : start + _BATCH]
                values = [f"{_digits(one[1])}{_digits(one[2])}{number}{to_json(one[3])}" for one in part]
                script([self._row(view, one[0]) for one in part], [self._name("noted"), view, *values, *last])

    def read(self, view: str, keys: Sequence[bytes]) -> dict[bytes, StoredRow]:
        """Read rows by one MGET. Only when none is found, a second command asks whether the view is known."""
        different = list(dict.fromkeys(keys))
        if not different:
            return {}
        with self._reached():
            texts = self._client.mget([self._row(view, key) for key in different])
            if not any(texts) and not self._client.hexists(self._name("views"), view):
                raise NotStoredError(view)
        found: dict[bytes, StoredRow] = {}
        for key, text in zip(different, texts, strict=True):
            if text is not None:
                layout = self._layout(text[_TIMES:_HEAD])
                found[key] = int(text[:_DIGITS]) - _OFFSET, layout, json.loads(text[_HEAD:])
        return found

    def is_as_written(self, view: str) -> bool:
        """Compare the number and the digest of the rows with those that the server noted when they were written."""
        rows = total = 0
        with self._reached():
            if not self._client.hexists(self._name("views"), view):
                return False
            noted = self._client.hget(self._name("noted"), view) or b"0 0"
            for part in self._keys(view):
                for key, row in zip(part, self._client.mget(part), strict=True):
                    if row is not None:
                        rows, total = rows + 1, total + row_digest(key, row[:_DIGITS] + row[_TIMES:])
        return bool(noted == f"{rows} {total % DIGESTS}".encode())

    def state(self, view: str) -> str:
        """Return the number and the digest of the rows that the server has noted."""
        with self._reached():
            noted: bytes | None = self._client.hget(self._name("noted"), view)
        return (noted or b"").decode()

    def drop_view(self, view: str) -> None:
        """Remove the view's rows, its keys and its watermark."""
        with self._reached():
            for part in self._keys(view):
                self._client.unlink(*part)
            for name in ("views", "held", "noted"):
                self._client.hdel(self._name(name), view)

    def delete_until(self, view: str, until: datetime) -> int:
        """Delete rows up to a moment."""
        with self._reached():
            script = self._client.register_script(_FORGET)
            limits = [self._name("noted"), view, _digits(to_microseconds(until))]
            return sum(script(part, limits) for part in self._keys(view))

    def watermarks(self) -> dict[str, Watermark]:
        """Return the watermarks, in the order of the views' names."""
        with self._reached():
            noted = self._client.hgetall(self._name("held"))
        found = {view.decode(): json.loads(text) for view, text in noted.items()}
        return {view: Watermark(to_moment(until), digest) for view, (until, digest) in sorted(found.items())}

    def set_watermark(self, view: str, until: datetime, history: str) -> None:
        """Mark a view as complete."""
        with self._reached():
            self._client.hset(self._name("held"), view, to_json([to_microseconds(until), history]))

    def clear_watermark(self, view: str) -> None:
        """Mark a view as incomplete."""
        with self._reached():
            self._client.hdel(self._name("held"), view)

    def _keys(self, view: str) -> Iterator[list[bytes]]:
        """Yield the keys of a view's rows in batches. Names hold no sign that means anything in a pattern."""
        part: list[bytes] = []
        for key in self._client.scan_iter(match=self._row(view, b"*"), count=_BATCH):
            part.append(key)
            if len(part) == _BATCH:
                yield part
                part = []
        if part:
            yield part

    def _layout(self, number: bytes) -> Layout:
        if number not in self._layouts:
            with self._reached():
                text = self._client.hget(self._name("layouts"), number)
            self._layouts[number] = tuple((name, kind) for name, kind in json.loads(text))
        return self._layouts[number]

    def _name(self, what: str) -> str:
        return f"proml:{self._project}:{what}"

    def _row(self, view: str, key: bytes) -> bytes:
        return f"proml:{self._project}:row:{view}:".encode() + key

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Turn what keeps the server from answering into one line, which holds no secret."""
        from redis.exceptions import AuthenticationError, ConnectionError, RedisError, TimeoutError

        try:
            yield
        except AuthenticationError as error:
            message = f"Redis at {self._place} does not let us in; set {PASSWORD_VARIABLE} in the environment"
            raise UserError.at("online_store", message) from error
        except (ConnectionError, TimeoutError) as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):  # which no time mends
                message = f"nobody vouches for the certificate of Redis at {self._place}"
                remedy = "name who does: rediss://HOST:PORT/0?ssl_ca_certs=FILE"
                raise UserError.at("online_store", f"{message}; {remedy}") from error
            message = f"cannot use Redis at {self._place}: {first_line(error)}; try again when it is there"
            raise RetriableError(Mistake("online_store", message)) from error
        except RedisError as error:
            first = (str(error).splitlines() or [type(error).__name__])[0]
            raise UserError.at("online_store", f"cannot use Redis at {self._place}: {first}") from error


def _digits(microseconds: int) -> str:
    return f"{microseconds + _OFFSET:0{_DIGITS}d}"
