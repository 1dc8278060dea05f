"""On-demand expressions mean what DuckDB says they mean, however many rows are computed at once."""

from __future__ import annotations

from typing import Any

import duckdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proml_kedro.features.on_demand.evaluate import OnDemand
from proml_kedro.features.on_demand.plain_values import from_lists, to_lists
from proml_kedro.spec.expression_types import FUNCTIONS, OPERATORS
from proml_kedro.spec.features import FeaturesSpec
from tiers import examples

BASES = {"x": "float", "y": "float", "k": "int", "b": "bool", "s": "str", "u": "vector[3]", "v": "vector[3]"}
SQL = {"float": "DOUBLE", "int": "BIGINT", "bool": "BOOLEAN", "str": "VARCHAR", "vector[3]": "DOUBLE[3]"}
NUMBERS = st.one_of(
    st.none(), st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5, 2.5, -2.5, 1e300]), st.floats(-1e6, 1e6, allow_nan=False)
)
VECTORS = st.none() | st.lists(st.floats(-10, 10, width=32), min_size=3, max_size=3)
VALUES = {
    "float": NUMBERS,
    "int": st.none() | st.integers(-1000, 1000),
    "bool": st.none() | st.booleans(),
    "str": st.none() | st.sampled_from(["", "a", "A", "Äb", "it's"]),
    "vector[3]": VECTORS,
}


def spec(expression: str, dtype: str, **others: dict[str, str]) -> FeaturesSpec:
    base = {name: {"dtype": one} for name, one in BASES.items()}
    asked = {"z": {"dtype": dtype, "expression": expression}, **others}
    return FeaturesSpec.model_validate(
        {"t": {"source": "request", "features": base}, "o": {"source": "on_demand", "features": asked}}
    )


def ours(expression: str, dtype: str, rows: list[dict[str, Any]]) -> list[Any]:
    on_demand = OnDemand(spec(expression, dtype), ["o.z"])
    columns = from_lists({f"t.{name}": [row[name] for row in rows] for name in BASES}, on_demand.needs)
    columns = columns or {"t.x": np.zeros(len(rows))}
    return to_lists(on_demand.compute(columns), on_demand.dtypes)["o.z"]


def of_duckdb(sql: str, rows: list[dict[str, Any]]) -> list[Any]:
    with duckdb.connect(config={"threads": 1}) as connection:
        names = ", ".join(f"{name} {SQL[dtype]}" for name, dtype in BASES.items())
        connection.execute(f"CREATE TABLE t (id INTEGER, {names})")
        for number, row in enumerate(rows):
            connection.execute(f"INSERT INTO t VALUES (?{', ?' * len(BASES)})", [number, *(row[one] for one in BASES)])
        return [row[0] for row in connection.execute(f"SELECT {sql} FROM t ORDER BY id").fetchall()]


def same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return one == other or abs(one - other) <= 1e-9 * max(abs(one), abs(other), 1e-300)
    return one is other if one is None or other is None else one == other


def finite(sql: str) -> str:
    """What DuckDB calls infinite, not a number or an error is null with us."""
    return f"CASE WHEN isfinite(TRY({sql})) THEN TRY({sql}) END"


Pair = tuple[str, str]
"""An expression as we write it, and the same for DuckDB."""


def binary(one: Pair, other: Pair, operator: str) -> Pair:
    ours, theirs = f"({one[0]} {operator} {other[0]})", f"({one[1]} {operator} {other[1]})"
    return ours, finite(theirs) if operator in "+-*/%" else theirs


def numbers() -> st.SearchStrategy[Pair]:
    leaves = st.sampled_from([("t.x", "t.x"), ("t.y", "t.y"), ("t.k", "t.k::DOUBLE")]) | st.sampled_from(
        [("2.5", "2.5e0"), ("0", "0e0"), ("null", "NULL::DOUBLE"), ("3", "3e0")]
    )
    return st.recursive(leaves, extended, max_leaves=6)


def curves() -> st.SearchStrategy[Pair]:
    """Functions whose last digit is nobody's promise: outermost only, or a step such as floor() would enlarge it."""
    one = numbers()
    return st.one_of(
        one,
        st.builds(lambda f, a: (f"{f}({a[0]})", finite(f"{f}({a[1]})")), st.sampled_from(["exp", "ln"]), one),
        st.builds(lambda a: (f"log1p({a[0]})", finite(f"ln(1 + {a[1]})")), st.just(("t.k", "t.k::DOUBLE"))),
        st.builds(lambda a, b: (f"pow({a[0]}, {b[0]})", finite(f"pow({a[1]}, {b[1]})")), one, one),
    )


def extended(children: st.SearchStrategy[Pair]) -> st.SearchStrategy[Pair]:
    unary = st.sampled_from(["abs", "ceil", "floor", "sign", "sqrt"])
    several = st.sampled_from(["greatest", "least", "coalesce"])
    return st.one_of(
        st.builds(binary, children, children, st.sampled_from(list("+-*/%"))),
        st.builds(lambda a: (f"(-{a[0]})", f"(-{a[1]})"), children),
        st.builds(lambda f, a: (f"{f}({a[0]})", finite(f"{f}({a[1]})")), unary, children),
        st.builds(lambda a: (f"round({a[0]})", f"round({a[1]})"), children),
        st.builds(lambda f, a, b: (f"{f}({a[0]}, {b[0]})", f"{f}({a[1]}, {b[1]})"), several, children, children),
        st.builds(lambda a, b: (f"nullif({a[0]}, {b[0]})", f"nullif({a[1]}, {b[1]})"), children, children),
        st.builds(
            lambda c, a, b: tuple(f"case when {c[i]} then {a[i]} else {b[i]} end" for i in (0, 1)),
            truths(children),
            children,
            children,
        ),
        st.sampled_from([("length(t.s)", "length(t.s)::DOUBLE")]),
    )


def truths(numbers: st.SearchStrategy[Pair]) -> st.SearchStrategy[Pair]:
    comparison = st.builds(binary, numbers, numbers, st.sampled_from(["=", "<>", "<", "<=", ">", ">="]))
    texts = st.sampled_from(
        ["t.s", "lower(t.s)", "upper(t.s)", "'a'", "coalesce(t.s, 'b')", "nullif(t.s, 'a')", "null"]
    )
    leaves = st.one_of(
        comparison,
        st.just(("t.b", "t.b")),
        st.builds(lambda a: (f"{a[0]} is null", f"({a[1]}) is null"), numbers),
        st.builds(lambda a, b: (f"{a[0]} in ({b[0]}, 1)", f"({a[1]}) in ({b[1]}, 1e0)"), numbers, numbers),
        st.builds(lambda a: (f"{a[0]} not between 0 and 1", f"({a[1]}) not between 0e0 and 1e0"), numbers),
        st.builds(lambda a, b: (f"({a} = {b})",) * 2, st.sampled_from(["t.s", "lower(t.s)"]), texts),
        st.just(("t.s not in ('a', null)",) * 2),
    )
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.builds(binary, inner, inner, st.sampled_from(["and", "or"])),
            st.builds(lambda a: (f"(not {a[0]})", f"(not {a[1]})"), inner),
        ),
        max_leaves=4,
    )


ROWS = st.lists(st.fixed_dictionaries({name: VALUES[dtype] for name, dtype in BASES.items()}), min_size=1, max_size=6)


@examples(40, 100)
@given(curves(), ROWS)
def test_numbers_are_those_of_sql(pair: Pair, rows: list[dict[str, Any]]) -> None:
    found, wanted = ours(pair[0], "float", rows), of_duckdb(f"CAST({pair[1]} AS DOUBLE)", rows)
    assert all(map(same, found, wanted)), (pair, found, wanted)


@examples(40, 100)
@given(truths(numbers()), ROWS)
def test_truth_values_are_those_of_sql(pair: Pair, rows: list[dict[str, Any]]) -> None:
    found, wanted = ours(pair[0], "bool", rows), of_duckdb(pair[1], rows)
    assert all(map(same, found, wanted)), (pair, found, wanted)


@examples(20, 40)
@given(ROWS)
def test_vectors(rows: list[dict[str, Any]]) -> None:
    for expression, sql in (
        ("dot(t.u, t.v)", "array_inner_product(u, v)"),
        ("cosine_similarity(t.u, t.v)", finite("array_cosine_similarity(u, v)")),
    ):
        found, wanted = ours(expression, "float", rows), of_duckdb(sql, rows)
        close = [
            same(a, b) or (a is not None and b is not None and abs(a - b) < 1e-9)
            for a, b in zip(found, wanted, strict=True)
        ]
        # DuckDB does not see an underflow to 0 in the length of a tiny vector as we do.
        tiny = [any(0 < abs(one) < 1e-20 for side in "uv" for one in row[side] or ()) for row in rows]
        assert all(map(max, close, tiny)), (expression, found, wanted)


@examples(20, 40)
@given(curves(), ROWS)
def test_a_row_alone_is_as_among_others(pair: Pair, rows: list[dict[str, Any]]) -> None:
    together = ours(pair[0], "float", rows)
    assert [ours(pair[0], "float", [row])[0] for row in rows] == together


def test_every_function_is_computed() -> None:
    from proml_kedro.column_functions.functions import FUNCTIONS as COMPUTED

    assert set(COMPUTED) == {*OPERATORS, *FUNCTIONS, "case"}


@pytest.mark.parametrize(
    ("expression", "dtype", "value"),
    [
        ("round(2.5)", "int", 3),
        ("1.4 + 1.1", "int", 3),
        ("round(-1.25, 1)", "float", -1.3),
        ("round(1234, -2)", "float", 1200.0),
        ("case when null then 'a' end", "str", None),
        ("case when t.k = 7 then 'seven' when t.k = 8 then 'eight' end", "str", "seven"),
        ("coalesce(null, 'a')", "str", "a"),
        ("lower(null)", "str", None),
        ("null", "str", None),
        ("-t.k * -1", "float", 7.0),
        ("not not t.b", "bool", True),
        ("'it''s'", "str", "it's"),
        ("1 + 2 * 3 - 4 / 2", "float", 5.0),
        ("t.k % 4", "float", 3.0),
        ("1 / 0", "float", None),
        ("ln(0)", "float", None),
    ],
)
def test_values(expression: str, dtype: str, value: Any) -> None:
    row = {"x": 1.0, "y": 2.0, "k": 7, "b": True, "s": "a", "u": None, "v": None}
    assert same(ours(expression, dtype, [row])[0], value)


def test_on_demand_features_read_each_other() -> None:
    features = spec(
        "o.twice + 1",
        "float",
        twice={"dtype": "float", "expression": "o.k2 * t.x"},
        k2={"dtype": "int", "expression": "2.4 * t.k"},
    )
    on_demand = OnDemand(features, ["o.z", "t.x"])
    assert on_demand.needs == {"t.x": "float", "t.k": "int"}
    found = on_demand.compute({"t.x": np.array([2.0, np.nan]), "t.k": np.array([3.0, 3.0])})
    np.testing.assert_array_equal(found["o.z"], [15.0, np.nan])  # 2 * round(2.4 * 3) + 1
    assert set(found) == {"o.z"}
