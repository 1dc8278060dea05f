"""What a message says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from proml_kedro.results.anomalies import Anomaly


@dataclass(frozen=True)
class Message:
    """A message about anomalies of a problem.

    Attributes:
        problem: Its name.
        anomalies: What is told, the newest first.
        causes: Why each was so, in one line, by id.
        link: Address to look at; None for none.
    """

    problem: str
    anomalies: Sequence[Anomaly]
    causes: Mapping[str, str]
    link: str | None

    @property
    def subject(self) -> str:
        """The message in a few words."""
        first, more = self.anomalies[0], len(self.anomalies) - 1
        return f"{self.problem}: {_name(first)} is unusual{f', and {more} more' if more else ''}"

    @property
    def text(self) -> str:
        """The message for people."""
        lines = [line for one in self.anomalies for line in self._lines(one)]
        return "\n".join([*lines, *([self.link] if self.link else [])])

    def _lines(self, one: Anomaly) -> list[str]:
        change = "" if one.change is None else f" ({one.change:+.1%})"
        span = f"{one.begin:%Y-%m-%d %H:%M} to {one.end:%Y-%m-%d %H:%M}"
        first = f"{one.id} {_name(one)}, {span}: {one.current:.4g} for {one.expected:.4g}{change}"
        cause = self.causes.get(one.id)
        return [first, f"  {cause}"] if cause else [first]

    def as_dict(self) -> dict[str, Any]:
        """Return the message for programs; ``text`` is what chats show."""
        anomalies = [
            {
                "id": one.id,
                "monitor": one.monitor,
                "dimension": one.dimension,
                "value": one.value,
                "begin": one.begin.isoformat(),
                "end": one.end.isoformat(),
                "current": one.current,
                "expected": one.expected,
                "strength": one.strength,
                "cause": self.causes.get(one.id, ""),
            }
            for one in self.anomalies
        ]
        text = f"{self.subject}\n{self.text}"
        return {"problem": self.problem, "text": text, "link": self.link, "anomalies": anomalies}


def _name(one: Anomaly) -> str:
    return f"{one.monitor} of {one.dimension} = {one.value}" if one.value else one.monitor
