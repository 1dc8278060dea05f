"""Anomalies as one file of HTML that needs nothing else: no script, no network, readable on paper and on a phone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from html import escape

from proml_kedro.health.anomalies.store import Answered
from proml_kedro.results.anomalies import Anomalies, Anomaly, Board, Chart

PAGE = "anomalies.html"

_WORDS = {
    "anomaly": "true anomaly",
    "new-trend": "new trend",
    "false-alarm": "false alarm",
    "undecided": "to be determined",
}
_HEADINGS = ("Metric", "Dimension", "From", "Duration", "Current average", "Baseline average", "Change", "Answer")
_WIDTH, _HEIGHT = 640.0, 140.0
_STYLE = """
:root{color-scheme:light dark;--ink:#1a1d21;--dim:#565c65;--line:#85898f;--ground:#fff;--band:#cfe4e2;--bad:#b3261e}
@media(prefers-color-scheme:dark){:root{--ink:#e9ebee;--dim:#a3aab3;--line:#767d85;--ground:#121416;--band:#1f4744;
--bad:#ff9288}}
body{margin:0 auto;max-width:70rem;padding:1rem;background:var(--ground);color:var(--ink);
font:1rem/1.5 system-ui,sans-serif}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}p,small{color:var(--dim)}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:.35rem .75rem .35rem 0;border-bottom:1px solid var(--line);white-space:nowrap}
svg{width:100%;height:auto;display:block}
.band{fill:var(--band)}.expected{fill:none;stroke:var(--line);stroke-dasharray:4 3}
.value{fill:none;stroke:var(--ink);stroke-width:1.5}.bad{fill:var(--bad)}
"""


def page_of(board: Board, answered: Sequence[Answered]) -> str:
    """Write anomalies as a page.

    Args:
        board: The anomalies of a problem.
        answered: What people said of them.
    """
    said = {one.id: _WORDS[one.answer] for one in answered}
    title = f"Anomalies of {escape(board.problem)}"
    rows = "".join(_row(one, said) for one in board.found.anomalies)
    head = "".join(f'<th scope="col">{one}</th>' for one in _HEADINGS)
    table = f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    body = "".join(
        [
            f"<h1>{title}</h1><p>Until {board.until:%Y-%m-%d %H:%M} UTC.</p>",
            "".join(f"<p>{escape(line)}</p>" for line in watched_lines(board.found)),
            table if rows else "<p>Nothing was unusual.</p>",
            *(_figure(one, board.found.anomalies) for one in board.charts),
        ]
    )
    meta = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    policy = "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    head = f"{meta}{policy}<title>{title}</title><style>{_STYLE}</style>"
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body><main>{body}</main></body></html>\n'


def watched_lines(found: Anomalies) -> Iterator[str]:
    """Say of each monitor how much was looked at, and what was not."""
    for one in found.watched:
        number = sum(each.monitor == one.monitor for each in found.anomalies)
        told = f"{one.judged:.0%} of {one.series} x {one.periods} periods could be judged"
        yield f"{one.monitor}: {number} anomalies, {one.begin:%Y-%m-%d %H:%M} to {one.end:%Y-%m-%d %H:%M}; {told}"
    yield from found.notices


def duration(span: timedelta) -> str:
    """Write a duration.

    >>> duration(timedelta(days=2)), duration(timedelta(hours=36)), duration(timedelta(minutes=5))
    ('2 d', '36 h', '5 min')
    """
    for seconds, unit in ((86_400, "d"), (3600, "h")):
        if span.total_seconds() % seconds == 0:
            return f"{span.total_seconds() / seconds:.0f} {unit}"
    return f"{span.total_seconds() / 60:.0f} min"


def _row(one: Anomaly, said: Mapping[str, str]) -> str:
    cells = (
        f"{one.begin:%Y-%m-%d %H:%M}",
        duration(one.end - one.begin),
        f"{one.current:.4g}",
        f"{one.expected:.4g}",
        "" if one.change is None else f"{one.change:+.1%}",
    )
    of = f"{one.dimension} = {one.value}" if one.value else one.dimension
    answer = escape(said.get(one.id, "")) or f"<small>kedro anomalies label {one.id} …</small>"
    first = f'<th scope="row">{escape(one.monitor)}</th><td>{escape(of)}</td>'
    return f"<tr>{first}{''.join(f'<td>{cell}</td>' for cell in cells)}<td>{answer}</td></tr>"


def _figure(chart: Chart, anomalies: Sequence[Anomaly]) -> str:
    key = (chart.monitor, chart.dimension, chart.value)
    own = [one for one in anomalies if (one.monitor, one.dimension, one.value) == key]
    name = f"{chart.monitor}, {chart.dimension}{f' = {chart.value}' if chart.value else ''}"
    scale = _Scale(chart)
    bad = [place for place in range(len(chart.values)) if _is_in(chart, place, own) and chart.values[place] is not None]
    dots = "".join(
        f'<circle class="bad" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>' for x, y in scale.points(chart.values, bad)
    )
    band = [*scale.points(chart.high), *reversed(list(scale.points(chart.low)))]
    span = f"{chart.begin:%Y-%m-%d} to {scale.end:%Y-%m-%d}, {len(own)} anomalies"
    return (
        f'<h2>{escape(name)}</h2><svg viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="img" '
        f'aria-label="{escape(f"{name}: {span}")}"><polygon class="band" points="{_text(band)}"/>'
        f'<polyline class="expected" points="{_text(scale.points(chart.expected))}"/>'
        f'<polyline class="value" points="{_text(scale.points(chart.values))}"/>{dots}</svg>'
        f"<small>{span}; {scale.low:.4g} to {scale.high:.4g}</small>"
    )


def _is_in(chart: Chart, place: int, anomalies: Sequence[Anomaly]) -> bool:
    begin = chart.begin + place * timedelta(seconds=chart.every_seconds)
    low, high, value = chart.low[place], chart.high[place], chart.values[place]
    beyond = value is not None and ((high is not None and value > high) or (low is not None and value < low))
    return beyond and any(one.begin <= begin < one.end for one in anomalies)


def _text(points: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


class _Scale:
    """From periods and figures to places of a drawing."""

    def __init__(self, chart: Chart) -> None:
        known = [one for part in (chart.values, chart.low, chart.high) for one in part if one is not None]
        self.low, self.high = min(known, default=0.0), max(known, default=1.0)
        self._count = max(len(chart.values) - 1, 1)
        self.end: datetime = chart.begin + len(chart.values) * timedelta(seconds=chart.every_seconds)

    def points(
        self, values: Sequence[float | None], places: Iterable[int] | None = None
    ) -> Iterator[tuple[float, float]]:
        """Yield the places of numbers that are known."""
        for place in range(len(values)) if places is None else places:
            value = values[place]
            if value is not None:
                share = (value - self.low) / ((self.high - self.low) or 1.0)
                yield _WIDTH * place / self._count, _HEIGHT - 4 - (_HEIGHT - 8) * share
