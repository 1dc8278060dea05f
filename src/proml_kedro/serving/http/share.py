"""Which entities a challenger scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Self

from proml_kedro.bundle import Manifest
from proml_kedro.serving.schema import Row
from proml_kedro.spec import ChallengerSpec


@dataclass(frozen=True)
class Share:
    """The part of all entities that a challenger scores: the same ones in every process, for ever.

    Attributes:
        part: Of all of them, above 0 and up to 1.
        key: The key that tells them apart.
        place: The feature that is this key; "" for none.
        tag: Name and version of the challenger: another one has other entities.
    """

    part: float
    key: str
    place: str
    tag: str

    @classmethod
    def of(cls, spec: ChallengerSpec, champion: Manifest, tag: str) -> Self:
        """Make the share of a challenger as it is configured."""
        key = spec.by or next(iter(champion.rows.entities), "")
        place = next((one.name for one in champion.rows.inputs if one.entity == key), "")
        return cls(spec.share, key, place, tag)

    def chosen(self, rows: Sequence[Row], together: bool) -> list[int]:
        """Return the numbers of the rows that are scored by the challenger; none without their key, unless all are.

        Args:
            rows: Rows of a request.
            together: Whether one model has to score all of them, as candidates that are put in order. Where their keys
                differ that is the champion.
        """
        if self.part >= 1:
            return list(range(len(rows)))
        keys = [row.get(self.key, row.get(self.place)) for row in rows]
        if together:
            return list(range(len(rows))) if len(set(keys)) == 1 and self._has(keys[0]) else []
        return [number for number, key in enumerate(keys) if self._has(key)]

    def _has(self, key: Any) -> bool:
        if key is None:
            return False
        digest = blake2b(f"{self.tag}\n{key}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return int.from_bytes(digest) < self.part * 2**64
