"""The verdict as files: for programs, for CI, and for people."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

from proml_kedro.plots import GREEN, GREY, ORANGE, RED, figure
from proml_kedro.results import ColumnDrift, DriftResult
from proml_kedro.results.drift import COLUMN_WORDS, Cause
from proml_kedro.results.names import DRIFT_JUNIT, DRIFT_PLOT, DRIFT_SUMMARY

_COLOURS = {"ok": GREEN, "warn": ORANGE, "drift": RED}
_LEAST_SHOWN, _MOST_SHOWN = 0.01, 100.0
"""Shares of a limit between which a dot is drawn where it is."""


def write_result(folder: Path, result: DriftResult, name: str) -> None:
    """Write ``drift.json``, ``drift.md``, ``drift.xml`` (JUnit) and ``drift.png``.

    Args:
        folder: Where to.
        result: The verdict.
        name: What was checked.
    """
    result.write(folder)
    (folder / DRIFT_SUMMARY).write_text("\n".join(_markdown(result, name)) + "\n")
    _write_junit(folder / DRIFT_JUNIT, result, name)
    if result.columns:
        _plot(folder / DRIFT_PLOT, result)


def show_in_ci(result: DriftResult, name: str) -> None:
    """Add the verdict to the page of a CI job, where there is one (``$GITHUB_STEP_SUMMARY``)."""
    if page := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(page).open("a") as stream:
            stream.write("\n".join(_markdown(result, name)) + "\n")


def _markdown(result: DriftResult, name: str) -> Iterator[str]:
    yield f"## Drift of {name}: **{result.words}**\n"
    yield f"{result.current_rows:,} current rows against {result.reference_rows:,} of the reference.\n"
    yield from (f"- {notice}" for notice in result.notices)
    if result.columns:
        yield "\n| column | verdict | of its limit | what was measured |\n|---|---|--:|---|"
        for one in result.columns:
            yield f"| {one.name} | {one.words} | {_of_limit(one)} | {one.message} |"


def _of_limit(one: ColumnDrift) -> str:
    """Say how much of its limit the check has measured that decided."""
    if one.cause is None:
        return ""
    return f"{one.cause.check} {'beyond any' if one.cause.share is None else f'{one.cause.share:.0%}'}"


def _write_junit(file: Path, result: DriftResult, name: str) -> None:
    failures = sum(one == "drift" for one in (result.verdict, *(one.verdict for one in result.columns)))
    suite = ET.Element("testsuite", name=f"drift.{name}", tests=str(1 + len(result.columns)), failures=str(failures))
    whole = ET.SubElement(suite, "testcase", classname=f"drift.{name}", name="verdict")
    if result.verdict == "drift":
        ET.SubElement(whole, "failure", message=result.words, type="drift")
    elif result.verdict == "insufficient":
        ET.SubElement(whole, "skipped", message=result.words)
    else:
        ET.SubElement(whole, "system-out").text = result.words
    for one in result.columns:
        case = ET.SubElement(suite, "testcase", classname=f"drift.{name}", name=one.name)
        if one.verdict == "drift":
            ET.SubElement(case, "failure", message=one.message, type=",".join(one.reasons))
        elif one.reasons:
            ET.SubElement(case, "system-out").text = f"{', '.join(one.reasons)}: {one.message}"
    ET.ElementTree(suite).write(file, encoding="utf-8", xml_declaration=True)


def _plot(file: Path, result: DriftResult) -> None:
    """Draw a line for each column, the worst on top: what decided its verdict, as a share of the limit.

    The scale is logarithmic: what is missing altogether is 100 times beyond its limit.
    """
    findings = list(reversed(result.columns))
    with figure(file, height=1.4 + 0.24 * len(findings)) as axes:
        rows = range(len(findings))
        for verdict, words in COLUMN_WORDS.items():
            chosen = [row for row in rows if findings[row].verdict == verdict and findings[row].cause is not None]
            shown = [_on_scale(findings[row].cause) for row in chosen]
            axes.plot(shown, chosen, "o", markersize=6, color=_COLOURS[verdict], label=words, clip_on=False)
        axes.axvline(1.0, color=GREY, linewidth=2, label="limit")
        for row in rows:
            cause = findings[row].cause
            axes.annotate(
                cause.check if cause else "", (1.01, row), xycoords=("axes fraction", "data"), fontsize=9, va="center"
            )
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_yticks(rows, [one.name for one in findings])
        axes.set(xlim=(_LEAST_SHOWN, _MOST_SHOWN), ylim=(-0.7, len(findings) - 0.3))
        axes.set_title(f"Drift: {result.words}", pad=24)
        axes.set_xlabel("difference as a share of its limit, by the check at the right")
        axes.legend(loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=4, fontsize=9, handletextpad=0.3)


def _on_scale(cause: Cause | None) -> float:
    share = cause.share if cause else 0.0
    return _MOST_SHOWN if share is None else min(max(share, _LEAST_SHOWN), _MOST_SHOWN)
