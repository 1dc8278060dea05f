"""A request that a champion and a challenger have a part in: who scores which rows, and one answer of both."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from proml_kedro.serving.http.challenger import Challenger
from proml_kedro.serving.http.direct import Answer, Asked
from proml_kedro.serving.schema import Row

Own = Callable[[Sequence[int] | None], Awaitable[Answer]]
"""Lets the champion score the rows of these numbers; all of them for None."""


@dataclass(frozen=True)
class Duel:
    """A request whose rows are sound.

    Attributes:
        challenger: The challenger.
        asked: The request.
        route: Its path.
        rows: Its rows.
    """

    challenger: Challenger
    asked: Asked
    route: str
    rows: Sequence[Row]

    async def answer(self, own: Own) -> Answer:
        """Answer it: as a shadow the challenger hears of it afterwards; as a canary it answers what is its part."""
        chosen = self.challenger.share.chosen(self.rows, together=self.route == "/rank")
        if self.challenger.is_shadow:
            said = await own(None)
            if chosen and said.status == 200:
                self.challenger.shadow(self.asked, self.route, self._body(chosen), chosen, _scores(said, chosen))
            return said
        if self.route == "/rank" or len(chosen) in (0, len(self.rows)):
            return await self._whole(own, chosen)
        return await self._divided(own, chosen)

    async def _whole(self, own: Own, chosen: Sequence[int]) -> Answer:
        said = await self.challenger.answer(self.asked, self.route, self._body(chosen), chosen) if chosen else None
        said = said or await own(None)
        return said if self.route == "/rank" else _merged([(range(len(self.rows)), said)])

    async def _divided(self, own: Own, chosen: Sequence[int]) -> Answer:
        taken = set(chosen)
        rest = [number for number in range(len(self.rows)) if number not in taken]
        first = await own(rest)
        if first.status != 200:
            return first
        second = await self.challenger.answer(self.asked, self.route, self._body(chosen), chosen) or await own(chosen)
        return _merged([(rest, first), (chosen, second)])

    def _body(self, chosen: Sequence[int]) -> bytes:
        if len(chosen) == len(self.rows):
            return self.asked.body
        return orjson.dumps({"instances": [self.rows[number] for number in chosen]})


def _merged(parts: Sequence[tuple[Sequence[int], Answer]]) -> Answer:
    """Put answers for parts of the rows together; ``models`` says which model has scored each."""
    whole: dict[str, Any] = {}
    models: dict[int, Any] = {}
    degraded: dict[str, None] = {}
    for numbers, one in parts:
        if one.status != 200:
            return one
        models |= dict.fromkeys(numbers, one.content["model"])
        for name, value in one.content.items():
            if name == "degraded":
                degraded |= dict.fromkeys(value)
            elif isinstance(value, list):
                whole.setdefault(name, {}).update(zip(numbers, value, strict=True))
            else:
                whole.setdefault(name, value)
    whole["models"] = models
    content = {name: _in_order(value) if isinstance(value, dict) else value for name, value in whole.items()}
    return Answer({**content, "degraded": [*degraded]} if degraded else content)


def _in_order(values: Mapping[int, Any]) -> list[Any]:
    return [values[number] for number in sorted(values)]


def _scores(said: Answer, chosen: Sequence[int]) -> list[Any]:
    scores = said.content.get("probabilities", said.content.get("predictions"))
    return [scores[number] for number in chosen] if scores else []
