"""What portable expressions may call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from proml_kedro.engine.portable.values import MOST, WORDS, NotPortableError, Part, alike, compare, convert


def call(name: str, arguments: Sequence[Part]) -> Part:
    """Return a call of a function or an operator.

    Raises:
        NotPortableError: It is none of those that engines compute alike.
    """
    if name not in _FUNCTIONS:
        raise NotPortableError(f"calls {name}, which is not carried")
    return _FUNCTIONS[name](arguments)


def _arithmetic(sign: str) -> Callable[[Sequence[Part]], Part]:
    def make(parts: Sequence[Part]) -> Part:
        if len(parts) == 1:
            return _signed(sign, parts[0])
        left, right = alike(parts)
        if left.kind == "number":
            return Part(f"({left.sql} {sign} {right.sql})", "number")
        if left.kind != "whole":
            raise NotPortableError(f"has {sign} of {WORDS[left.kind]}, which is not carried")
        most = left.most * right.most if sign == "*" else left.most + right.most
        if most > MOST:
            raise NotPortableError(f"may have a {sign} beyond 64 bits; write CAST(… AS DOUBLE)")
        return Part(f"({left.sql} {sign} {right.sql})", "whole", most)

    return make


def _signed(sign: str, part: Part) -> Part:
    if sign not in "+-" or part.kind not in ("whole", "number", "decimal") or part.most > MOST:
        raise NotPortableError(f"has {sign} of {WORDS[part.kind]}, which is not carried")
    constant = None if part.constant is None else -part.constant
    return part if sign == "+" else Part(f"(- {part.sql})", part.kind, part.most, constant, part.nonzero)


def _divide(parts: Sequence[Part]) -> Part:
    left, right = (convert(one, "number") for one in parts)
    if not right.nonzero:
        raise NotPortableError("divides by what may be 0, which engines do differently; write nullif(…, 0)")
    return Part(f"({left.sql} / {right.sql})", "number")


def _remainder(parts: Sequence[Part]) -> Part:
    left, right = parts
    if {left.kind, right.kind} != {"whole"} or right.constant is None or not right.nonzero:
        raise NotPortableError("takes a remainder other than that of a whole number by a constant")
    return Part(f"({left.sql} % {right.sql})", "whole", right.most)


def _nullif(parts: Sequence[Part]) -> Part:
    value, other = parts
    same = compare("=", value, other).sql
    sql = f"(CASE WHEN {same} THEN NULL ELSE {value.sql} END)"
    return Part(sql, value.kind, value.most, nonzero=other.constant == 0)


def _absolute(parts: Sequence[Part]) -> Part:
    (part,) = parts
    if part.kind not in ("whole", "number") or part.most > MOST:
        raise NotPortableError(f"has abs of {WORDS[part.kind]}, which is not carried")
    return Part(f"abs({part.sql})", part.kind, part.most)


def _joined(parts: Sequence[Part]) -> Part:
    if any(one.kind != "text" for one in parts):
        raise NotPortableError("has || of what is not text; write CAST(… AS VARCHAR)")
    return Part(f"({' || '.join(one.sql for one in parts)})", "text")


_FUNCTIONS: Mapping[str, Callable[[Sequence[Part]], Part]] = {
    "+": _arithmetic("+"),
    "-": _arithmetic("-"),
    "*": _arithmetic("*"),
    "/": _divide,
    "%": _remainder,
    "||": _joined,
    "abs": _absolute,
    "nullif": _nullif,
}
