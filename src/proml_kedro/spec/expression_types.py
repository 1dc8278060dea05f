"""What the functions of on-demand expressions take and give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from proml_kedro.errors import unknown
from proml_kedro.spec.dtype import Dtype, vector_size
from proml_kedro.spec.expression import Call, Column, Literal, Node
from proml_kedro.spec.moments import DATE_PARTS, SECONDS

NULL = "null"


@dataclass(frozen=True)
class Signature:
    """What a function takes and gives.

    Attributes:
        takes: Sort of each argument: ``number``, ``text``, ``bool``, ``vector``; ``any``, or ``same``, which is any
            sort but the same for all.
        gives: Sort of the value; ``same`` for that of the arguments.
        least: How many arguments are needed; all of ``takes`` when None.
        repeats: Whether the last argument can be given any number of times.
        words: What the first argument may be, which has to be a constant; empty for anything.
    """

    takes: tuple[str, ...]
    gives: str
    least: int | None = None
    repeats: bool = False
    words: tuple[str, ...] = ()


_NUMBER = Signature(("number",), "number")
_NUMBERS = Signature(("number", "number"), "number")
_ORDER = Signature(("number", "number"), "bool")
_SOME = Signature(("number",), "number", repeats=True)
_TEXT = Signature(("text",), "text")
_VECTORS = Signature(("vector", "vector"), "number")

OPERATORS = {
    **dict.fromkeys(("+", "-", "*", "/", "%"), _NUMBERS),
    "negative": _NUMBER,
    **dict.fromkeys(("<", "<=", ">", ">="), _ORDER),
    **dict.fromkeys(("=", "<>"), Signature(("same", "same"), "bool")),
    **dict.fromkeys(("and", "or"), Signature(("bool", "bool"), "bool")),
    "not": Signature(("bool",), "bool"),
    "is null": Signature(("any",), "bool"),
    "in": Signature(("same", "same"), "bool", repeats=True),
}
FUNCTIONS = {
    **dict.fromkeys(("abs", "ceil", "exp", "floor", "ln", "log1p", "sign", "sqrt"), _NUMBER),
    "round": Signature(("number", "number"), "number", least=1),
    "pow": _NUMBERS,
    **dict.fromkeys(("greatest", "least"), _SOME),
    "coalesce": Signature(("same",), "same", repeats=True),
    "nullif": Signature(("same", "same"), "same"),
    **dict.fromkeys(("lower", "upper"), _TEXT),
    "length": Signature(("text",), "number"),
    **dict.fromkeys(("cosine_similarity", "dot", "euclidean_distance"), _VECTORS),
    "clip": Signature(("number", "number", "number"), "number"),
    "text_overlap": Signature(("text", "text"), "number"),
    "date_part": Signature(("text", "text"), "number", words=DATE_PARTS),
    "time_since": Signature(("text", "text", "text"), "number", words=tuple(SECONDS)),
}
"""The functions there are, by name."""

_SORTS = {"float": "number", "int": "number", "bool": "bool", "str": "text"}
_WORDS = {"number": "a number", "text": "text", "bool": "true or false", NULL: "null"}


def sort_of(node: Node, dtypes: Mapping[str, Dtype]) -> str:
    """Return the type of an expression's values.

    Args:
        node: The expression.
        dtypes: The features there are, ``view.feature`` to type.

    Returns:
        ``number``, ``text``, ``bool``, ``vector[N]``, or ``null`` for nothing but null.

    Raises:
        ValueError: An unknown feature or function, or an argument of the wrong sort; the message is one line.
    """
    if isinstance(node, Column):
        if node.name not in dtypes:
            raise ValueError(unknown("feature", node.name, dtypes))
        dtype = dtypes[node.name]
        return _SORTS.get(dtype, dtype)
    if isinstance(node, Literal):
        return {type(None): NULL, bool: "bool", str: "text", float: "number"}[type(node.value)]
    sorts = [sort_of(one, dtypes) for one in node.arguments]
    return _sort_of_case(node, sorts) if node.function == "case" else _sort_of_call(node, sorts)


def check_dtype(node: Node, dtypes: Mapping[str, Dtype], dtype: Dtype) -> None:
    """Check that an expression is sound and its values fit a feature type. Whole numbers are rounded.

    Raises:
        ValueError: It has not.
    """
    if vector_size(dtype) is not None:
        raise ValueError("an on-demand feature is a number, text, or true or false, not a vector")
    found, wanted = sort_of(node, dtypes), _SORTS[dtype]
    if found not in (wanted, NULL):
        hint = "; write case when … then 1 else 0 end" if (found, wanted) == ("bool", "number") else ""
        raise ValueError(f"is {_words(found)}, and dtype {dtype} is {_words(wanted)}{hint}")


def _sort_of_call(node: Call, sorts: list[str]) -> str:
    signature = OPERATORS.get(node.function) or FUNCTIONS.get(node.function)
    if signature is None:
        raise ValueError(unknown("function", node.function, FUNCTIONS))
    least = len(signature.takes) if signature.least is None else signature.least
    most = len(sorts) if signature.repeats else len(signature.takes)
    if not least <= len(sorts) <= most:
        many = f"{least} or more" if signature.repeats else " or ".join(map(str, sorted({least, most})))
        raise ValueError(f"{node.function} takes {many} value{'' if many == '1' else 's'}, not {len(sorts)}")
    wanted = [*signature.takes, *signature.takes[-1:] * len(sorts)]
    for argument, sort, kind in zip(node.arguments, sorts, wanted, strict=False):
        if kind in _WORDS and sort not in (kind, NULL):
            raise ValueError(f"'{node.function}' takes {_plural(kind)}, and {_described(argument)} is {_words(sort)}")
    if signature.words:
        _check_word(node, signature.words)
    if "vector" in wanted:
        _check_vectors(node, sorts)
    same = _common(node, sorts) if "same" in wanted else NULL
    return same if signature.gives == "same" else signature.gives


def _sort_of_case(node: Call, sorts: list[str]) -> str:
    for argument, sort in list(zip(node.arguments, sorts, strict=True))[:-1:2]:
        if sort not in ("bool", NULL):
            raise ValueError(f"'when' takes true or false, and {_described(argument)} is {_words(sort)}")
    return _common(node, [*sorts[1:-1:2], sorts[-1]])


def _common(node: Call, sorts: list[str]) -> str:
    known = list(dict.fromkeys(one for one in sorts if one != NULL))
    if len(known) > 1:
        raise ValueError(f"'{node.function}' takes values of one sort, not {' and '.join(map(_words, known))}")
    if known and vector_size(known[0]) is not None:
        raise ValueError(f"'{node.function}' does not take vectors")
    return known[0] if known else NULL


def _check_word(node: Call, words: tuple[str, ...]) -> None:
    first = node.arguments[0]
    if not (isinstance(first, Literal) and first.value in words):
        said = str(first.value) if isinstance(first, Literal) else first.name if isinstance(first, Column) else "…"
        able = ", ".join(f"'{one}'" for one in words)
        raise ValueError(f"the first value of '{node.function}' is one of {able}, not {said}")


def _check_vectors(node: Call, sorts: list[str]) -> None:
    for argument, sort in zip(node.arguments, sorts, strict=True):
        if vector_size(sort) is None:
            raise ValueError(f"'{node.function}' takes vectors, and {_described(argument)} is {_words(sort)}")
    if len(set(sorts)) > 1:
        raise ValueError(f"'{node.function}' takes vectors of one size, not {' and '.join(sorts)}")


def _described(node: Node) -> str:
    if isinstance(node, Column):
        return f"'{node.name}'"
    if isinstance(node, Literal):
        return f"'{node.value}'"
    return f"the value of '{node.function}'"


def _words(sort: str) -> str:
    return _WORDS.get(sort, f"a {sort}")


def _plural(kind: str) -> str:
    return "numbers" if kind == "number" else _WORDS[kind]
