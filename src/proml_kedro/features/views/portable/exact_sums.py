"""Sums of numbers as sums of whole numbers, which no order of adding changes.

Engines add numbers up in any order, and move a frame on by taking off what leaves it: after 1e16 has come and gone,
nothing is left of a 1. So each number is cut into limbs of 30 bits; sums of limbs are exact in 64 bits, whatever is
added or taken off. Six limbs hold all bits of numbers that are up to 127 binary places apart, and of others as many as
are promised; where they do not, the numbers are refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from proml_kedro.engine.portable.expressions import double
from proml_kedro.engine.portable.values import NotPortableError

BITS, MOST_LIMBS = 30, 6
_MANTISSA = 53
_LEAST_EXPONENT = -970
"""Below which factors would be beyond double precision."""

PROMISED = 1e-12
"""Error of a sum, as a share of the sum of the sizes of its numbers, at most."""

LARGEST = "1.7976931348623157e308"


@dataclass(frozen=True)
class Sizes:
    """What is known of numbers before they are added up.

    Attributes:
        count: How many there are.
        largest: Size of the largest finite one.
        smallest: Size of the smallest one that is not 0.
        fractions: How many are no whole numbers.
        infinite: How many are infinite.
    """

    count: int
    largest: float
    smallest: float
    fractions: int
    infinite: int


def sizes_sql(value: str, part: str) -> str:
    """Return the aggregates that make :class:`Sizes` of numbers, each named ``part`` and its attribute.

    Args:
        value: The numbers, in SQL, as simple as a column.
        part: Beginning of the names.
    """
    finite = f"abs({value}) <= {LARGEST}"
    return ", ".join(
        (
            f"count({value}) AS {part}_count",
            f"max(CASE WHEN {finite} THEN abs({value}) END) AS {part}_largest",
            f"min(CASE WHEN {finite} AND abs({value}) > 0e0 THEN abs({value}) END) AS {part}_smallest",
            f"count(CASE WHEN abs({value}) < 9e15 AND {value} % 1e0 <> 0e0 THEN 1 END) AS {part}_fractions",
            f"count(CASE WHEN NOT {finite} THEN 1 END) AS {part}_infinite",
        )
    )


@dataclass(frozen=True)
class Limbs:
    """How numbers are cut.

    Attributes:
        count: How many limbs there are.
        exponent: Binary places that a number is moved by before its first limb is cut off; 0 for whole numbers.
        has_infinite: Whether there are infinite ones, which are counted apart.
    """

    count: int
    exponent: int
    has_infinite: bool

    @classmethod
    def of(cls, sizes: Sizes) -> Limbs:
        """Decide how to cut numbers.

        Raises:
            NotPortableError: No six limbs hold them as exactly as is promised.
        """
        has_infinite = sizes.infinite > 0
        if not sizes.largest or (not sizes.fractions and sizes.largest * sizes.count < 2**53):
            return cls(1, 0, has_infinite)
        highest = max(math.frexp(sizes.largest)[1], _LEAST_EXPONENT)
        needed = highest - math.frexp(sizes.smallest)[1] + _MANTISSA
        count = min(-(-needed // BITS), MOST_LIMBS)
        lost = 0.0 if needed <= count * BITS else math.ldexp(1.0, highest - count * BITS)
        if lost > PROMISED * sizes.smallest or sizes.count >= 2**32:
            message = f"adds up {sizes.count:,} numbers whose sizes go from {sizes.smallest:g} to {sizes.largest:g}"
            raise NotPortableError(f"{message}, too far apart to be added up on an engine as exactly as is promised")
        return cls(count, BITS - highest, has_infinite)

    @property
    def is_whole(self) -> bool:
        """Whether numbers are whole, and one limb is the number itself."""
        return self.count == 1 and not self.exponent

    def cuts(self, value: str, part: str) -> Iterator[str]:
        """Yield columns, each of which reads those before it: what is left of the size for each limb.

        Args:
            value: Column of the numbers.
            part: Beginning of the columns' names.
        """
        finite = f"CASE WHEN abs({value}) <= {LARGEST} THEN abs({value}) END"
        yield f"{finite} * {double(math.ldexp(1.0, self.exponent))} AS {part}_0"
        for limb in range(1, self.count):
            before = f"{part}_{limb - 1}"
            yield f"({before} - floor({before})) * {double(float(2**BITS))} AS {part}_{limb}"

    def partials(self, value: str, part: str) -> Iterator[tuple[str, str]]:
        """Yield what is kept of numbers: name, and aggregate over the columns of :meth:`cuts`."""
        for limb in range(self.count):
            whole = f"CAST(floor({part}_{limb}) AS BIGINT)"
            yield f"s{limb}_", f"CAST(sum(CASE WHEN {value} < 0e0 THEN - {whole} ELSE {whole} END) AS BIGINT)"
        if self.has_infinite:
            yield "pos", f"count(CASE WHEN {value} > {LARGEST} THEN 1 END)"
            yield "neg", f"count(CASE WHEN {value} < -{LARGEST} THEN 1 END)"

    def total(self, sums: list[str]) -> str:
        """Return the number that sums of limbs stand for, in SQL.

        Args:
            sums: The sum of each limb, in SQL.
        """
        terms = [
            f"CAST({one} AS DOUBLE) * {double(math.ldexp(1.0, -self.exponent - BITS * limb))}"
            for limb, one in enumerate(sums)
        ]
        result = terms[-1]
        for term in reversed(terms[:-1]):
            result = f"({result} + {term})"
        return result
