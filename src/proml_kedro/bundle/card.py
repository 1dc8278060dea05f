"""``card.md``: a model card, after Mitchell et al. 2019, "Model Cards for Model Reporting"."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proml_kedro.bundle.manifest import InputField, Manifest
from proml_kedro.formulas import in_shares
from proml_kedro.results.names import REPORTS
from proml_kedro.spec.base import format_duration
from proml_kedro.spec.problem import Task
from proml_kedro.spec.split import SPLITS
from proml_kedro.spec.training_set import LABEL, SPLIT, TIMESTAMP

if TYPE_CHECKING:
    import pyarrow as pa

_PREDICTED: dict[Task, str] = {
    "binary": "The probability of",
    "multiclass": "The probability of each class of",
    "regression": "The mean of a number",
    "count": "The mean of a count",
}


@dataclass(frozen=True)
class Period:
    """One part of the training set.

    Attributes:
        split: ``train``, ``validation`` or ``test``.
        rows: How many examples.
        label: Mean label; of truth values the share of positive ones.
        first: Moment of the first example; None where examples have none.
        last: Moment of the last example.
        shares: Share of examples of each class, where the label is one of several.
    """

    split: str
    rows: int
    label: float
    first: datetime | None
    last: datetime | None
    shares: Mapping[str, float] = field(default_factory=dict)


def read_periods(training_set: Path, classes: Sequence[str] = ()) -> list[Period]:
    """Read the parts of a training set: train, validation, test.

    Args:
        training_set: The Parquet file.
        classes: Names of the label's classes; empty for other tasks.
    """
    import pyarrow.parquet as pq

    moments = [TIMESTAMP] if TIMESTAMP in pq.read_schema(training_set).names else []
    table = pq.read_table(training_set, columns=[SPLIT, LABEL, *moments])
    ends = [(name, end) for name in moments for end in ("min", "max")]
    rows: Counter[tuple[str, str]] = Counter()
    for row in table.group_by([SPLIT, LABEL]).aggregate([([], "count_all")]).to_pylist() if classes else ():
        rows[row[SPLIT], classes[int(row[LABEL])]] = row["count_all"]
    groups = table.group_by(SPLIT).aggregate([(LABEL, "count"), (LABEL, "mean"), *ends])
    periods = [
        Period(
            row[SPLIT],
            row[f"{LABEL}_count"],
            row[f"{LABEL}_mean"],
            row.get(f"{TIMESTAMP}_min"),
            row.get(f"{TIMESTAMP}_max"),
            {name: rows[row[SPLIT], name] / row[f"{LABEL}_count"] for name in classes},
        )
        for row in groups.to_pylist()
    ]
    return sorted(periods, key=lambda period: SPLITS.index(period.split))


@dataclass(frozen=True)
class CardFigures:
    """Figures of a card.

    Attributes:
        periods: What the model learned from and was judged on.
        metrics: ``candidate``, ``baseline`` and ``differences``, each by name of a metric.
        notes: What its fits cannot estimate, or only approximate, one line each.
        medians: Of inputs that are numbers or truth values, as a request has them; a card holds no values of rows.
    """

    periods: list[Period]
    metrics: Mapping[str, Any]
    notes: Sequence[str] = ()
    medians: Mapping[str, float | int | bool] = field(default_factory=dict)


def write_card(folder: Path, manifest: Manifest, figures: CardFigures, run_file: Path) -> None:
    """Write ``card.md``.

    Args:
        folder: The bundle.
        manifest: Its manifest.
        figures: How it was judged, and what its fits say of themselves.
        run_file: The ``run.yml`` that repeats the run, at the path where the user will see it.
    """
    sections = [
        _head(manifest),
        _prediction(manifest),
        "## Data\n\n" + "\n".join(_data(figures.periods, manifest.problem.label.task)),
        "## Quality on the test period\n\n" + "\n".join(_quality(figures.metrics)),
        "## Inputs\n\n" + "\n".join(_inputs(manifest.rows.inputs)),
        "## Limits\n\n" + "\n".join(_limits(manifest, figures)),
        _serving(manifest, figures.medians),
        f"## Repeat the run\n\n```console\n$ kedro run --config {run_file}\n```\n\n"
        "Stand in the project's folder; if the run had `--conf-source`, give it here too.",
    ]
    (folder / REPORTS["bundle"]).write_text("\n\n".join(sections) + "\n", encoding="utf-8")


def _head(manifest: Manifest) -> str:
    kinds = {name: spec["kind"] for name, spec in manifest.config["model"]["components"].items()}
    graph = ", ".join(f"{name} ({kind})" for name, kind in kinds.items())
    return f"# {manifest.name}\n\nVersion {manifest.version}. Components: {graph}. Score: `{manifest.score}`."


def _prediction(manifest: Manifest) -> str:
    problem = manifest.config["problem"]
    text = problem.get("description") or problem["name"]
    quantile = manifest.model.components[manifest.model.score].said_quantile
    predicted = (
        _PREDICTED[manifest.problem.label.task] if quantile is None else f"The quantile {quantile:g} of a number"
    )
    lead = format_duration(manifest.rows.lead_time)
    when = f"{lead} before" if manifest.rows.lead_time else "at"
    what = f"## What it predicts\n\n{predicted}: {text} (`{problem['label']['expression']}`)."
    if manifest.rows.timestamp is None:
        return f"{what} A row holds all that it is made from."
    return f"{what} It is made {when} `{manifest.rows.timestamp}`, from what is known then."


def _data(periods: list[Period], task: Task) -> Iterator[str]:
    timed = any(one.first for one in periods)
    what = {"binary": "positive", "multiclass": "classes"}.get(task, "mean label")
    yield f"| period |{' from | to |' if timed else ''} examples | {what} |"
    yield f"|---|{'---|---|' if timed else ''}--:|--:|"
    for one in periods:
        label = f"{one.label:.1%}" if task == "binary" else f"{one.label:.4g}"
        label = in_shares(one.shares).replace("|", "/") if one.shares else label
        moments = f" {_minute(one.first)} | {_minute(one.last)} |" if one.first and one.last else ""
        yield f"| {one.split} |{moments} {one.rows:,} | {label} |"


def _quality(metrics: Mapping[str, Any]) -> Iterator[str]:
    candidate = metrics.get("candidate") or {}
    if not candidate:
        yield "Not evaluated."
        return
    baseline, differences = metrics.get("baseline") or {}, metrics.get("differences") or {}
    yield "| metric | model | baseline | difference | interval |"
    yield "|---|--:|--:|--:|--:|"
    for name, value in candidate.items():
        difference = differences.get(name) or {}
        interval = f"{_number(difference.get('low'))} … {_number(difference.get('high'))}" if difference else ""
        yield (
            f"| {name} | {_number(value)} | {_number(baseline.get(name))} "
            f"| {_number(difference.get('difference'))} | {interval} |"
        )
    if facts := metrics.get("ranking"):
        yield (
            f"\nRankings are judged within {facts['within']}; {facts['without_positive']:,} of {facts['groups']:,} "
            "groups have no positive row and are left out."
        )


def _inputs(inputs: list[InputField]) -> Iterator[str]:
    yield "| feature | type | from | meaning |"
    yield "|---|---|---|---|"
    for one in inputs:
        source = "request" if one.request else "online store"
        yield f"| `{one.name}` | {one.dtype} | {source} | {one.description.replace('|', '/')} |"


def _limits(manifest: Manifest, figures: CardFigures) -> Iterator[str]:
    periods = figures.periods
    firsts, lasts = [one.first for one in periods if one.first], [one.last for one in periods if one.last]
    if firsts and lasts:
        yield f"- Learned and judged on {_minute(min(firsts))} to {_minute(max(lasts))} only."
    yield from (f"- The fit of {note}." for note in figures.notes)
    yield "- Missing values and categories that did not occur in training are scored as missing, not refused."
    yield "- Good for the entities and the time described above; nothing is known about its fairness or its causes."
    yield "- It describes the past: watch drift (`kedro run --pipelines=monitor`) and train again when it fails."
    if manifest.rows.lead_time:
        yield "- Features read later than the lead time allows make scores better here than they were in the test."


def _serving(manifest: Manifest, medians: Mapping[str, float | int | bool]) -> str:
    row = {one.name: medians.get(one.name) for one in manifest.rows.inputs}
    body = json.dumps({"instances": [row]})
    return (
        "## Serve it\n\nFor another machine `kedro run --pipelines=materialize,package` makes a Bento of it.\n\n"
        "```console\n$ kedro serve THIS_FOLDER\n"
        f"$ curl localhost:3000/predict -H 'Content-Type: application/json' -d '{body}'\n```\n\n"
        "Numbers are medians of rows of the test period. Every feature has to be there; null says that its value is "
        "missing."
    )


def medians_of(rows: pa.Table, inputs: Sequence[InputField]) -> dict[str, float | int | bool]:
    """Compute the median of each input that is a number or truth value, in four digits; what has none is omitted.

    Args:
        rows: A column for each input.
        inputs: The inputs.
    """
    import numpy as np
    import pyarrow as pa

    found: dict[str, float | int | bool] = {}
    for one in inputs:
        if one.is_key or one.dtype not in ("float", "int", "bool"):
            continue
        values = rows[one.name].cast(pa.float64()).drop_null().to_numpy()
        values = values[np.isfinite(values)]
        if len(values):
            median = float(np.median(values))
            whole = {"bool": median > 0.5, "int": round(median)}
            found[one.name] = whole.get(one.dtype, float(f"{median:.4g}"))
    return found


def _minute(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M %Z").strip()


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
