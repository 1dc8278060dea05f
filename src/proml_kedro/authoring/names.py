"""Names for tables and columns of other people's files: what YAML and SQL take without quotes."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Collection
from typing import Any

from proml_kedro.engine.duckdb import RESERVED_WORDS, quote

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SPELLED = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "ø": "o", "æ": "ae", "ł": "l", "đ": "d"})
_SUFFIX = re.compile(r"(?<=[a-z0-9])_?(?:ids?|keys?|no|nr|num|number|code|uuid)$")


def is_plain(name: str) -> bool:
    """Tell whether YAML takes a name for a table or a column."""
    return bool(_PLAIN.fullmatch(name))


def plain(text: str, taken: Collection[str], otherwise: str) -> str:
    """Return a name like a text that is not taken yet, in small letters.

    >>> plain("Kunden-Nr.", (), "c1"), plain("Größe (m²)", ("groesse_m2",), "c2"), plain("金額", (), "c3")
    ('kunden_nr', 'groesse_m2_2', 'c3')
    """
    letters = unicodedata.normalize("NFKD", text.lower().translate(_SPELLED)).encode("ascii", "ignore").decode()
    name = re.sub(r"\W+", "_", letters).strip("_") or otherwise
    name = f"_{name}" if name[0].isdigit() else name
    used = {one.lower() for one in taken}
    return next(one for one in (name, *(f"{name}_{count}" for count in range(2, len(used) + 3))) if one not in used)


def in_sql(name: str) -> str:
    """Return a column as an expression, in quotes only where it needs them.

    >>> in_sql("amount"), in_sql("order"), in_sql("Kunden-Nr.")
    ('amount', '"order"', '"Kunden-Nr."')
    """
    return name if is_plain(name) and not RESERVED_WORDS.fullmatch(name.lower()) else quote(name)


def stem(name: str, table: str = "") -> str:
    """Return what a column is about, by its name: `customer_id`, `CustomerNo` and the `id` of `customers` are one.

    >>> stem("customer_id"), stem("CustomerNo"), stem("id", "customers"), stem("categories")
    ('customer', 'customer', 'customer', 'category')
    """
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    words = re.sub(r"\W+", "_", words).strip("_")
    short = words if words in ("id", "key", "no", "nr", "number", "code", "uuid") else _SUFFIX.sub("", words)
    if short in ("id", "key", "no", "nr", "number", "code", "uuid", ""):
        short = table.lower() or words
    return _singular(short).replace("_", "")


def same_thing(one: str, two: str) -> bool:
    """Tell whether two stems are one word, perhaps in the singular and the plural of another language.

    >>> same_thing("kunde", "kunden"), same_thing("day", "days"), same_thing("order", "customer")
    (True, False, False)
    """
    short, long = sorted((one, two), key=len)
    return short == long or (len(short) >= 4 and long.startswith(short) and len(long) - len(short) <= 2)


def is_identifier(name: str, table: str = "") -> bool:
    """Tell whether a column's name says that it names things: `id`, `customer_id`, `orderNo`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    return bool(re.fullmatch(r"(.*[_\W])?(ids?|keys?|uuid|nr|no)\W*", words)) or bool(
        re.fullmatch(
            r"customer|client|user|member|patient|subject|account|device|person|student|household|kunde", words
        )
    )


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return f"{word[:-3]}y"
    return word[:-1] if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3 else word


def scalar(value: Any) -> str:
    """Return a value as YAML has it inside of braces.

    >>> scalar("amount"), scalar("a, b"), scalar(","), scalar("no"), scalar(True), scalar(["NA", "-"])
    ('amount', '"a, b"', '","', '"no"', 'true', '[NA, "-"]')
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(scalar, value))}]"
    if not isinstance(value, str):
        return str(value)
    if _is_simple(value):
        return value
    value = value.replace("${", "\\${")  # no interpolation
    return f"'{value}'" if '"' in value and "'" not in value and value.isprintable() else _quoted(value)


def _quoted(text: str) -> str:
    """Return a text in double quotes, what no line shows escaped: YAML knows more ends of lines than one."""
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(one if one.isprintable() else f"\\U{ord(one):08x}" for one in quoted)


def on_one_line(text: str) -> str:
    r"""Return a text as it can stand in a comment or on a terminal.

    >>> on_one_line("a\nb\x1b[0m")
    'a b?[0m'
    """
    return "".join(one if one.isprintable() else "?" for one in " ".join(text.split()))


def _is_simple(text: str) -> bool:
    """Tell whether YAML takes a text for itself: no number, date, truth value or null, and no marks of its own."""
    if text.lower() in ("true", "false", "null", "yes", "no", "on", "off", "y", "n", "~", "nan", "inf"):
        return False
    if re.fullmatch(r"\d+[smhdw]|(\.\.?/)*[A-Za-z_][\w ./()+=-]*", text, re.ASCII):
        return not text.endswith(" ") and " #" not in text
    return False


def mapping(values: dict[str, Any]) -> str:
    """Return a mapping on one line.

    >>> print(mapping({"dtype": "int", "expression": '"a b"'}))
    {dtype: int, expression: '"a b"'}
    """
    return "{" + ", ".join(f"{scalar(key)}: {_value(one)}" for key, one in values.items()) + "}"


def _value(value: Any) -> str:
    return mapping(value) if isinstance(value, dict) else scalar(value)
