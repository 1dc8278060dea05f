"""Expressions of on-demand features: a part of SQL that is read once, and means the same wherever it is computed.

    comparison     a = b   <> != < <= > >=   a is [not] null   a [not] in (b, …)   a [not] between b and c
    logic          and or not, with three truth values
    arithmetic     + - * / %
    choice         case when … then … [else …] end
    functions      those of :data:`proml_kedro.spec.expression_types.FUNCTIONS`

Columns are features, written ``view.feature``. Text stands in single quotes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
      | (?P<text>'(?:[^']|'')*')
      | (?P<name>[A-Za-z_]\w*(?:\.\w+)*)
      | (?P<sign><>|!=|<=|>=|==|[-+*/%=<>(),])
    )""",
    re.VERBOSE,
)
_WORDS = ("and", "or", "not", "is", "in", "between", "case", "when", "then", "else", "end", "null", "true", "false")
_COMPARISONS = {"=": "=", "==": "=", "<>": "<>", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_DEEPEST = 100


@dataclass(frozen=True)
class Literal:
    """A constant; None is null."""

    value: float | str | bool | None


@dataclass(frozen=True)
class Column:
    """A feature, ``view.feature``."""

    name: str


@dataclass(frozen=True)
class Call:
    """A function or operator with its arguments.

    ``case`` has condition and value in turns, and last the value of ``else``; ``in`` has first what is looked for.
    """

    function: str
    arguments: tuple[Node, ...]


Node = Literal | Column | Call


def parse(text: str) -> Node:
    """Read an expression.

    Raises:
        ValueError: It is none; the message says where it stops being one.
    """
    parser = _Parser(list(_tokens(text)))
    node = parser.either()
    parser.end()
    return node


def columns(node: Node) -> list[str]:
    """Return the features that an expression reads, each once, in the order in which they stand there."""
    if isinstance(node, Column):
        return [node.name]
    found = [name for one in node.arguments for name in columns(one)] if isinstance(node, Call) else []
    return list(dict.fromkeys(found))


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    position = 0
    while rest := text[position:].strip():
        match = _TOKEN.match(text, position)
        if not match:
            raise ValueError(f"cannot read '{_short(rest)}'")
        position = match.end()
        kind, value = str(match.lastgroup), match[str(match.lastgroup)]
        if kind == "name" and value.lower() in _WORDS:
            yield "word", value.lower()
        else:
            yield kind, value
    yield "end", ""


def _short(text: str) -> str:
    return text if len(text) <= 20 else f"{text[:19]}…"


class _Parser:
    """Recursive descent, a method for each rank of operators, the weakest first."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._position = 0
        self._depth = 0

    def _takes(self, *values: str) -> str | None:
        """The next token, taken, if it is one of these words or signs."""
        kind, value = self._tokens[self._position]
        if kind in ("word", "sign") and value in values:
            self._position += 1
            return value
        return None

    def _must(self, value: str) -> None:
        if not self._takes(value):
            raise ValueError(f"'{value}' is missing before {self._next()}")

    def _next(self) -> str:
        kind, value = self._tokens[self._position]
        return "the end" if kind == "end" else f"'{_short(value)}'"

    def end(self) -> None:
        if self._tokens[self._position][0] != "end":
            raise ValueError(f"an operator is missing before {self._next()}")

    def either(self) -> Node:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ValueError(f"is nested more than {_DEEPEST} deep")
        node = self._both()
        while self._takes("or"):
            node = Call("or", (node, self._both()))
        self._depth -= 1
        return node

    def _both(self) -> Node:
        node = self._negation()
        while self._takes("and"):
            node = Call("and", (node, self._negation()))
        return node

    def _negation(self) -> Node:
        turns = 0
        while self._takes("not"):
            turns += 1
        node = self._comparison()
        return Call("not", (node,)) if turns % 2 else node

    def _comparison(self) -> Node:
        node = self._sum()
        if sign := self._takes(*_COMPARISONS):
            return Call(_COMPARISONS[sign], (node, self._sum()))
        if self._takes("is"):
            negated = self._takes("not")
            self._must("null")
            node = Call("is null", (node,))
            return Call("not", (node,)) if negated else node
        negated = self._takes("not")
        if self._takes("in"):
            node = Call("in", (node, *self._list()))
        elif self._takes("between"):
            low = self._sum()
            self._must("and")
            node = Call("and", (Call(">=", (node, low)), Call("<=", (node, self._sum()))))
        elif negated:
            raise ValueError(f"'in' or 'between' is missing before {self._next()}")
        return Call("not", (node,)) if negated else node

    def _sum(self) -> Node:
        node = self._product()
        while sign := self._takes("+", "-"):
            node = Call(sign, (node, self._product()))
        return node

    def _product(self) -> Node:
        node = self._signed()
        while sign := self._takes("*", "/", "%"):
            node = Call(sign, (node, self._signed()))
        return node

    def _signed(self) -> Node:
        negative = False
        while sign := self._takes("-", "+"):
            negative ^= sign == "-"
        node = self._operand()
        return Call("negative", (node,)) if negative else node

    def _operand(self) -> Node:
        if self._takes("("):
            node = self.either()
            self._must(")")
            return node
        if self._takes("case"):
            return self._case()
        if word := self._takes("null", "true", "false"):
            return Literal({"null": None, "true": True, "false": False}[word])
        kind, value = self._tokens[self._position]
        if kind not in ("number", "text", "name"):
            raise ValueError(f"a value is missing before {self._next()}")
        self._position += 1
        if kind == "number":
            return Literal(float(value))
        if kind == "text":
            return Literal(value[1:-1].replace("''", "'"))
        if self._tokens[self._position] == ("sign", "("):
            return Call(value.lower(), self._list())
        return Column(value)

    def _list(self) -> tuple[Node, ...]:
        """Expressions in brackets."""
        self._must("(")
        found = [self.either()]
        while self._takes(","):
            found.append(self.either())
        self._must(")")
        return tuple(found)

    def _case(self) -> Node:
        parts: list[Node] = []
        self._must("when")
        more: str | None = "when"
        while more:
            parts.append(self.either())
            self._must("then")
            parts.append(self.either())
            more = self._takes("when")
        parts.append(self.either() if self._takes("else") else Literal(None))
        self._must("end")
        return Call("case", tuple(parts))
