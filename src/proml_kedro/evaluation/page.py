"""``report.html``: the evaluation on one page that needs nothing else, and ``report.json``: its plain values."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from proml_kedro.evaluation.metric import meaning
from proml_kedro.evaluation.result import Evaluation
from proml_kedro.evaluation.sections import Cell, Section, as_json
from proml_kedro.results import Comparison
from proml_kedro.results.names import REPORT_JSON, REPORT_PAGE

_STYLE = """body{font:15px/1.45 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;font-size:13px;margin:.5em 0}
th,td{padding:2px 9px;text-align:right;border-bottom:1px solid #ddd}th:first-child,td:first-child{text-align:left}
svg text{font:11px system-ui,sans-serif;fill:#333}summary{color:#3b6ea5}
.verdict{font-size:17px;font-weight:600}@media(prefers-color-scheme:dark){body{background:#fff}}"""


def write_page(folder: Path, result: Evaluation, verdict: Comparison, name: str, sections: Sequence[Section]) -> None:
    """Write ``report.html`` and ``report.json``.

    Args:
        folder: Where to.
        result: The metrics.
        verdict: What they come to.
        name: Of the model.
        sections: What else there is to say.
    """
    text = "\n".join(_page(result, verdict, name, sections))
    (folder / REPORT_PAGE).write_text(text, encoding="utf-8")
    content = {"model": name, "verdict": verdict.in_words, "rows": result.rows, "sections": as_json(sections)}
    (folder / REPORT_JSON).write_text(json.dumps(content, indent=1), encoding="utf-8")


def _page(result: Evaluation, verdict: Comparison, name: str, sections: Sequence[Section]) -> Iterator[str]:
    title = escape(f"{name} on the test period")
    yield f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
    yield f'<style>{_STYLE}</style></head><body><h1>{title}</h1><p class="verdict">{escape(verdict.in_words)}</p>'
    level = f"{100 * result.confidence:.4g} %"
    yield (
        f"<p>{result.rows:,} rows in {result.clusters:,} clusters by {escape(result.cluster_by)}; intervals are of "
        f"{level}, from whole clusters.</p>"
    )
    yield from _html_table(
        ("metric", "model", "baseline", "difference", "low", "high", "p", "p of all", ""), _metrics(result)
    )
    for one in sections:
        yield f"<section><h2>{escape(one.title)}</h2><p>{escape(one.sentence)}</p>{one.drawing}"
        if one.drawing:
            yield f"<details><summary>{len(one.rows)} rows</summary>"
        yield from _html_table(one.heading, one.rows)
        yield "</details></section>" if one.drawing else "</section>"
    yield "</body></html>"


def _metrics(result: Evaluation) -> Iterator[tuple[Cell, ...]]:
    for name, value in result.candidate.items():
        one = result.differences.get(name)
        figures = (one.difference, one.low, one.high, one.p_value, one.p_adjusted) if one else (None,) * 5
        yield name, value, (result.baseline or {}).get(name), *figures, meaning(name)


def _html_table(heading: Sequence[str], rows: Sequence[tuple[Cell, ...]] | Iterator[tuple[Cell, ...]]) -> Iterator[str]:
    yield "<table><tr>" + "".join(f"<th>{escape(one)}</th>" for one in heading) + "</tr>"
    for row in rows:
        yield "<tr>" + "".join(f"<td>{escape(_cell(one))}</td>" for one in row) + "</tr>"
    yield "</table>"


def _cell(value: Cell) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else value
