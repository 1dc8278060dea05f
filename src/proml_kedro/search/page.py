"""``report.html`` of a search: one page that needs nothing else, with every trial and lines through what varies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from proml_kedro.config.sweeps import Dimension
from proml_kedro.results.trial import SearchFacts, Trial
from proml_kedro.search.explore import ranked
from proml_kedro.search.space import Space

FILE = "report.html"

_STYLE = """body{font:15px/1.45 system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;font-size:13px}th,td{padding:2px 9px;text-align:right;border-bottom:1px solid #ddd}
th:last-child,td:last-child{text-align:left}pre{background:#f4f4f4;padding:8px}svg{width:100%}
svg text{font:10px system-ui,sans-serif;fill:#333}"""

_WIDTH, _HEIGHT, _EDGE = 900, 320, 40


def as_page(space: Space, facts: SearchFacts, trials: Sequence[Trial], words: Sequence[str], yaml: str) -> str:
    """Write the page.

    Args:
        space: What varies.
        facts: The search.
        trials: Its trials.
        words: What came of it, a sentence each.
        yaml: What the best trial changes.
    """
    return "\n".join(_page(space, facts, trials, words, yaml))


def _page(space: Space, facts: SearchFacts, trials: Sequence[Trial], words: Sequence[str], yaml: str) -> Iterator[str]:
    title = escape(f"Search for {facts.problem}")
    yield f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
    yield f"<style>{_STYLE}</style></head><body><h1>{title}</h1>"
    yield from (f"<p>{escape(one)}</p>" for one in words)
    yield f"<pre>{escape(yaml)}</pre><h2>What varies, and {escape(facts.metric)} on the validation part</h2>"
    yield from _lines(space.dimensions, facts, ranked(trials, facts))
    yield f"<h2>{len(trials)} trials</h2><table><tr>"
    yield "".join(f"<th>{escape(one)}</th>" for one in ("trial", "state", facts.metric, "CPU-s", "changes")) + "</tr>"
    there = ranked(trials, facts)
    for one in (*there, *(other for other in trials if other not in there)):
        value = "" if one.value is None else f"{one.value:.4f}"
        said = f"{' '.join(one.overrides)} {one.error or ''}".strip()
        cells = (str(one.number), one.state, value, f"{one.cpu_seconds:.1f}", said)
        yield "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"
    yield "</table></body></html>"


def _lines(dimensions: Sequence[Dimension], facts: SearchFacts, best: Sequence[Trial]) -> Iterator[str]:
    """Draw parallel coordinates: an axis for each dimension and the figure, a line for each trial, good ones darker."""
    values = [one.value for one in best if one.value is not None]
    yield f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">'
    step = (_WIDTH - 2 * _EDGE) / len(dimensions)
    low, high = min(values), max(values)
    for place, one in enumerate(dimensions):
        ends = (one.values[0], one.values[-1]) if one.values else (f"{one.low:g}", f"{one.high:g}")
        yield from _axis(_EDGE + place * step, one.key.rpartition(".")[2], ends)
    yield from _axis(_EDGE + len(dimensions) * step, facts.metric, (f"{low:.4f}", f"{high:.4f}"))
    for rank, trial in reversed(list(enumerate(best))):
        there = [(place, one) for place, one in enumerate(dimensions) if one.key in trial.point]
        shares = [(_share(one, trial.point[one.key]), place) for place, one in there]
        shares.append((((trial.value or 0) - low) / (high - low or 1), len(dimensions)))
        points = " ".join(f"{_EDGE + place * step:.1f},{_up(share):.1f}" for share, place in shares)
        colour = 200 * rank // max(len(best) - 1, 1)
        yield f'<polyline points="{points}" fill="none" stroke="rgb({colour},{colour},{(colour + 155) // 2 + 55})"/>'
    yield "</svg>"


def _axis(x: float, name: str, ends: tuple[str, str]) -> Iterator[str]:
    yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_up(0)}" y2="{_up(1)}" stroke="#aaa"/>'
    for text, y in ((name, 12.0), (ends[1], _up(1) - 6), (ends[0], _up(0) + 14)):
        yield f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle">{escape(text[:24])}</text>'


def _up(share: float) -> float:
    return _HEIGHT - _EDGE - share * (_HEIGHT - 2 * _EDGE)


def _share(dimension: Dimension, value: float) -> float:
    """Where on its axis a value lies, from 0 to 1."""
    if dimension.values:
        return value / max(len(dimension.values) - 1, 1)
    if dimension.logarithmic:
        from math import log

        return (log(value) - log(dimension.low)) / (log(dimension.high) - log(dimension.low))
    return (value - dimension.low) / (dimension.high - dimension.low)
