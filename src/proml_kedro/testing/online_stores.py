"""The law of online stores."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from uuid import uuid4

from proml_kedro.extensions import online_stores
from proml_kedro.features.online.kind import OnlineStoreKind
from proml_kedro.features.online.open import kind_of, open_store
from proml_kedro.features.online.store import (
    Layout,
    NewRow,
    NotStoredError,
    OnlineStore,
    Watermark,
    to_microseconds,
)

Open = Callable[[], OnlineStore]
"""Opens one and the same store anew, as another process would."""

_KEYS = {"user": "int", "item": "str"}
_LAYOUT: Layout = (("price", "double_val"), ("label", "string_val"))
_MOMENT = datetime(2024, 3, 1, 12, 30, 0, 123456, UTC)
_AT = to_microseconds(_MOMENT)
_MANY = 33_000
_WRITES = 200

_SPECIAL: tuple[tuple[str, Any], ...] = (
    ("double_val", 0.1),
    ("double_val", math.inf),
    ("double_val", -math.inf),
    ("double_val", math.nan),
    ("double_val", 5e-324),
    ("int64_val", 2**62 + 1),
    ("int64_val", -(2**63)),
    ("bool_val", True),
    ("string_val", ""),
    ("string_val", "ü\n\"'\\ \x00 \U0001f600"),
    ("float_list_val", [1.5, -2.0]),
    ("float_list_val", []),
    ("double_list_val", [math.inf, None]),
    ("double_val", None),
    ("", {"message": "AAE="}),
)
"""Kinds and values that a store may lose if it translates them."""

_ODD_KEYS = (b"", b"\x00", b"\n", b"a", b"a*", b"a?[b]", b"a/../b", bytes(range(256)), "ü".encode(), b"k" * 700)


def check_online_store(name: str, setting: str, data_dir: Path) -> None:
    """Prove that a kind of online store keeps the promises that materialization, pushing and serving rely on.

    In a test of your own::

        def test_my_store(tmp_path):
            check_online_store("mystore", "mystore://127.0.0.1:7000", tmp_path)
            check_two_writers("mystore", "mystore://127.0.0.1:7000", tmp_path)

    The store is used under names of problems that nothing else has, and emptied at the end, so that a server may hold
    other problems meanwhile.

    Args:
        name: Of the entry in :data:`proml_kedro.extensions.online_stores`.
        setting: What ``online_store:`` would say.
        data_dir: A folder for stores that lie in the data folder.

    Raises:
        AssertionError: A promise is broken; the message says which.
    """
    kind: OnlineStoreKind = online_stores.get(name)()
    kind.check(setting)
    assert type(kind_of(setting)) is type(kind), f"broken: '{setting}' names the kind '{name}'"
    for law in _LAWS:
        project = f"law_{uuid4().hex[:12]}"
        place = kind.place(setting, project, data_dir)
        assert type(kind_of(place)) is type(kind), f"broken: the place '{place}' leads to the kind '{name}' again"
        try:
            law(lambda project=project, place=place: open_store(place, project))  # type: ignore[misc]
        finally:
            store = open_store(place, project)
            for view in ("v", "vx", "w"):
                store.drop_view(view)
    _check_problems_are_apart(kind, setting, data_dir)


def _check_nothing_is_there(open_it: Open) -> None:
    store = open_it()
    assert not store.exists(), "broken: a store that nothing was written to does not exist"
    assert store.watermarks() == {}, "broken: an empty store has no watermark"
    for ask in (lambda: store.key_types("v"), lambda: store.read("v", [b"k"])):
        assert _is_not_stored(ask), "broken: NotStoredError for a view that was never added"
    store.add_view("v", _KEYS)
    assert store.exists(), "broken: a store with a view exists"
    assert open_it().key_types("v") == _KEYS, "broken: key types come back"
    assert open_it().read("v", [b"k"]) == {}, "broken: a key without a row is omitted"
    assert store.read("v", []) == {}, "broken: no keys, no rows"
    assert _is_not_stored(lambda: store.key_types("vx")), "broken: NotStoredError for a view that was never added"


def _check_values(open_it: Open) -> None:
    layout = tuple((f"f{position}", kind) for position, (kind, _) in enumerate(_SPECIAL))
    store = _with_view(open_it)
    store.write("v", layout, [(b"k", _AT, 0, [value for _, value in _SPECIAL])])
    store.write("v", (), [(b"empty", -1, 0, [])])
    store.write("v", _LAYOUT, [(b"other", -(10**15), 3, [1.0, None])])
    found = open_it().read("v", [b"k", b"empty", b"other", b"k", b"unknown"])
    assert set(found) == {b"k", b"empty", b"other"}, "broken: each key with a row once"
    moment, named, values = found[b"k"]
    assert (moment, tuple(named)) == (_AT, layout), "broken: moment, names and kinds come back"
    for (kind, value), got in zip(_SPECIAL, values, strict=True):
        assert _same(value, got), f"broken: values come back as they went: {value!r} of kind '{kind}' became {got!r}"
    assert found[b"empty"] == (-1, (), []), "broken: a row without values comes back"
    assert found[b"other"] == (-(10**15), _LAYOUT, [1.0, None]), "broken: moments before 1970, several layouts"


def _check_keys(open_it: Open) -> None:
    store = _with_view(open_it)
    store.write("v", _LAYOUT, [(key, _AT, 0, [float(number), "a"]) for number, key in enumerate(_ODD_KEYS)])
    for number, key in enumerate(_ODD_KEYS):
        found = open_it().read("v", [key])
        assert list(found) == [key], f"broken: a key is any bytes: {key[:20]!r}"
        assert found[key][2][0] == number, f"broken: keys do not mix: {key[:20]!r}"
    asked = [b"none%d" % number for number in range(_MANY)]
    assert set(store.read("v", [*asked, b"a"])) == {b"a"}, f"broken: {_MANY:,} keys are read at once"
    store.write("v", _LAYOUT, [])


def _check_older_rows(open_it: Open) -> None:
    store = _with_view(open_it)
    steps = (
        (0, 5, "first", "first"),
        (-1, 9, "older", "first"),
        (0, 4, "made earlier", "first"),
        (0, 5, "written later", "written later"),
        (0, 6, "made later", "made later"),
        (1, 0, "newer", "newer"),
        (0, 99, "older again", "newer"),
    )
    for later, made, text, expected in steps:
        store.write("v", _LAYOUT, [(b"k", _AT + later, made, [None, text])])
        got = open_it().read("v", [b"k"])[b"k"][2][1]
        assert got == expected, f"broken: no older row replaces a newer one: '{text}' gave '{got}', not '{expected}'"
    rows: list[NewRow] = [(b"t", _AT + one, 0, [None, str(one)]) for one in (2, 5, 1, 5, 3)]
    rows[3][3][1] = "the last of equal ones"
    store.write("v", _LAYOUT, rows)
    assert open_it().read("v", [b"t"])[b"t"][2][1] == "the last of equal ones", "broken: within one write too"
    for one in (-3, -2, -5):
        store.write("v", _LAYOUT, [(b"past", one, 0, [float(one), None])])
    assert store.read("v", [b"past"])[b"past"][0] == -2, "broken: of moments before 1970 the latest counts"
    assert open_it().is_as_written("v"), "broken: rows that were written, or replaced, are those that are there"
    before = open_it().state("v")
    store.write("v", _LAYOUT, [(b"t", _AT, 0, [None, "late"])])
    assert open_it().state("v") == before, "broken: a row that is older than what is there changes no state"
    store.write("v", _LAYOUT, [(b"t", _AT + 5, 7, [None, "the last of equal ones"])])
    assert open_it().state("v") == before, "broken: a row that is equal but for when it was made changes no state"
    store.write("v", _LAYOUT, [(b"t", _AT + 9, 0, [None, "newest"])])
    assert not before or open_it().state("v") != before, "broken: a row that was written changes the view's state"


def _check_watermarks(open_it: Open) -> None:
    store = _with_view(open_it, "w", "v")
    store.set_watermark("w", _MOMENT, "one")
    store.set_watermark("v", _MOMENT - timedelta(days=99 * 365), "two")
    store.set_watermark("w", _MOMENT + timedelta(microseconds=1), "three-3")
    known = open_it().watermarks()
    assert dict(known) == {
        "v": (_MOMENT - timedelta(days=99 * 365), "two"),
        "w": (_MOMENT + timedelta(microseconds=1), "three-3"),
    }, f"broken: watermarks come back to the microsecond: {known}"
    store.clear_watermark("w")
    assert list(open_it().watermarks()) == ["v"], "broken: a cleared watermark is gone, others stay"
    store.clear_watermark("w")


def _check_deletion(open_it: Open) -> None:
    store = _with_view(open_it, "v", "vx")
    rows: list[NewRow] = [(b"%d" % one, _AT + one, 0, [float(one), None]) for one in range(10)]
    for view in ("v", "vx"):
        store.write(view, _LAYOUT, rows)
        store.set_watermark(view, _MOMENT, "h")
    deleted = store.delete_until("v", _MOMENT + timedelta(microseconds=4))
    keys = [key for key, *_ in rows]
    assert deleted == 5, f"broken: rows up to a moment are deleted, it included: {deleted} of 5"
    assert sorted(open_it().read("v", keys)) == keys[5:], "broken: newer rows stay"
    assert sorted(open_it().read("vx", keys)) == keys, "broken: rows of other views stay"
    for view in ("v", "vx"):
        assert open_it().is_as_written(view), "broken: what is left after a deletion is what was written and stays"
    store.drop_view("v")
    store.drop_view("v")
    assert _is_not_stored(lambda: open_it().key_types("v")), "broken: a dropped view is unknown"
    assert not open_it().is_as_written("v"), "broken: a view that is unknown holds nothing that was written"
    assert open_it().state("v") == "", "broken: a view that is unknown has no state"
    assert list(open_it().watermarks()) == ["vx"], "broken: a dropped view has no watermark"
    assert sorted(open_it().read("vx", keys)) == keys, "broken: other views outlive a dropped one"
    store.add_view("v", _KEYS)
    assert open_it().read("v", keys) == {}, "broken: a view that was dropped starts empty"
    store.write("v", _LAYOUT, rows[:1])
    store.add_view("v", _KEYS)
    assert len(open_it().read("v", keys)) == 1, "broken: adding a view again keeps its rows"
    assert open_it().is_as_written("v"), "broken: a view that was dropped and filled again is as it was written"


def _check_replacement(open_it: Open) -> None:
    store = _with_view(open_it, "v", "vx")
    before: list[NewRow] = [(b"%d" % one, _AT + one, 5, [float(one), "before"]) for one in range(10)]
    for view in ("v", "vx"):
        store.write(view, _LAYOUT, before)
    after: list[NewRow] = [(b"%d" % one, _AT - one, 0, [float(one), "after"]) for one in (0, 1, 6)]
    mark = Watermark(_MOMENT + timedelta(microseconds=3), "h")
    store.replace("v", _MOMENT + timedelta(microseconds=4), [(_LAYOUT, after[:1]), (_LAYOUT, after[1:])], mark)
    found = {key: row[2][1] for key, row in open_it().read("v", [key for key, *_ in before]).items()}
    expected = {b"0": "after", b"1": "after", **{b"%d" % one: "before" for one in range(5, 10)}}
    assert found == expected, f"broken: all up to a moment is replaced, and newer rows stay: {found}"
    assert open_it().watermarks() == {"v": mark}, "broken: what was replaced is complete up to the mark"
    assert open_it().is_as_written("v"), "broken: what was replaced is as it was written"
    assert len(open_it().read("vx", [key for key, *_ in before])) == 10, "broken: other views stay"


def _check_problems_are_apart(kind: OnlineStoreKind, setting: str, data_dir: Path) -> None:
    projects = [f"law_{uuid4().hex[:12]}"]
    projects.append(f"{projects[0]}x")
    stores = [open_store(kind.place(setting, one, data_dir), one) for one in projects]
    try:
        stores[0].add_view("v", _KEYS)
        stores[0].write("v", _LAYOUT, [(b"k", _AT, 0, [1.0, None])])
        assert not stores[1].exists(), "broken: another problem's store does not exist yet"
        stores[1].add_view("v", {"other": "str"})
        assert stores[1].read("v", [b"k"]) == {}, "broken: problems do not see each other's rows"
        assert stores[0].key_types("v") == _KEYS, "broken: problems do not see each other's views"
        stores[1].drop_view("v")
        assert list(stores[0].read("v", [b"k"])) == [b"k"], "broken: problems do not drop each other's views"
    finally:
        for store in stores:
            store.drop_view("v")


def _check_threads(open_it: Open) -> None:
    """One object is read by several threads of a service while another process writes."""
    writer, reader = _with_view(open_it), open_it()
    writer.write("v", _LAYOUT, [(b"k", _AT, 0, [0.0, None])])
    seen: list[list[float]] = [[] for _ in range(4)]

    def read(values: list[float]) -> None:
        values.extend(reader.read("v", [b"k"])[b"k"][2][0] for _ in range(25))

    threads = [threading.Thread(target=read, args=(values,)) for values in seen]
    for thread in threads:
        thread.start()
    for one in range(1, 25):
        writer.write("v", _LAYOUT, [(b"k", _AT + one, 0, [float(one), None])])
    for thread in threads:
        thread.join()
    for values in seen:
        assert len(values) == 25, "broken: several threads may read at once"
        assert values == sorted(values), "broken: time goes forward for every reader"
    assert reader.read("v", [b"k"])[b"k"][2][0] == 24.0, "broken: a reader sees what another one wrote"


_LAWS: Sequence[Callable[[Open], None]] = (
    _check_nothing_is_there,
    _check_values,
    _check_keys,
    _check_older_rows,
    _check_watermarks,
    _check_deletion,
    _check_replacement,
    _check_threads,
)


def check_two_writers(name: str, setting: str, data_dir: Path) -> None:
    """Prove that two processes that write at once lose no row and never put an older one over a newer one.

    The kind has to be installed, so that processes of their own find it; from :func:`check_online_store` apart, because
    two processes are started.

    Args:
        name: As for :func:`check_online_store`.
        setting: Likewise.
        data_dir: Likewise.

    Raises:
        AssertionError: Rows are lost or old, or a process fails.
    """
    project = f"law_{uuid4().hex[:12]}"
    place = online_stores.get(name)().place(setting, project, data_dir)
    store = open_store(place, project)
    store.add_view("v", _KEYS)
    try:
        context = get_context("spawn")
        writers = [context.Process(target=_write_alternately, args=(place, project, one)) for one in (0, 1)]
        for one in writers:
            one.start()
        for one in writers:
            one.join()
        assert [one.exitcode for one in writers] == [0, 0], "broken: two processes may write at once"
        found = store.read("v", [b"both", *(_own_key(one, number) for one in (0, 1) for number in range(_WRITES))])
        assert len(found) == 1 + 2 * _WRITES, f"broken: writers lost {1 + 2 * _WRITES - len(found)} rows of each other"
        assert found[b"both"][0] == _AT + 2 * _WRITES - 1, "broken: an older row of one writer replaced a newer one"
        assert store.is_as_written("v"), "broken: what two processes write at once is known to be written"
    finally:
        store.drop_view("v")


def _own_key(writer: int, number: int) -> bytes:
    return b"%d-%d" % (writer, number)


def _write_alternately(place: str, project: str, writer: int) -> None:
    """One of two writers: rows of its own, and one key of both, in an order in which the newest is not last."""
    store = open_store(place, project)
    for number in range(_WRITES):
        newest = _AT + 2 * (number * 7919 % _WRITES) + writer
        row: list[Any] = [float(number), None]
        store.write("v", _LAYOUT, [(_own_key(writer, number), _AT, 0, row), (b"both", newest, 0, row)])


def _with_view(open_it: Open, *views: str) -> OnlineStore:
    store = open_it()
    for view in views or ("v",):
        store.add_view(view, _KEYS)
    return store


def _is_not_stored(ask: Callable[[], Any]) -> bool:
    try:
        ask()
    except NotStoredError:
        return True
    return False


def _same(one: Any, other: Any) -> bool:
    """Whether two plain values are of one type and equal; not-a-number equals itself."""
    if isinstance(one, float) and math.isnan(one):
        return isinstance(other, float) and math.isnan(other)
    return type(one) is type(other) and bool(one == other)
