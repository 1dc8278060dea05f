"""Print, for each of 30 behaviours of proml_kedro, the one module that does it.

    python tools/behaviours.py            # a table
    python tools/behaviours.py --check    # print nothing but what moved, and exit with 1 when something did

The symbols are looked up in the source, which is not imported.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from source_code import MovedError, Symbol

BEHAVIOURS: dict[str, str] = {
    "A value older than its ttl is missing, in training sets": "features.training.point_in_time:join_sql",
    "A value older than its ttl is missing, online": "features.online.lookup:OnlineFeatures",
    "What a window is: t - window <= known_at < t": "features.views.windows:snapshot_sql",
    "What an aggregate computes": "features.views.aggregates.base:Aggregate",
    "Expressions over other features": "features.on_demand.evaluate:OnDemand",
    "An older write never replaces a newer value": "features.online.sqlite:SqliteRows",
    "Online values are what training would have read": "features.online.consistency:check_consistency",
    "Position and the like are neutral when rows are ranked": "bundle.row_scorer:RowScorer",
    "A feature that a live bundle reads is not removed": "release.used_features:refuse_removal",
    "The grammar of overrides": "config.overrides:parse",
    "The file and line that a value comes from": "config.provenance:Origins",
    "What a request may change of a configuration": "config.request_policy:refuse_from_requests",
    "A mistake of the user is one line, and exit code 2": "errors:UserError",
    "Did you mean …?": "errors:did_you_mean",
    "Passwords are masked": "errors:masked",
    "What a model reads": "spec.inputs:read_by",
    "Which stored results a run starts from": "workflow.stored:find",
    "What changes a result, and what does not": "workflow.recipes:recipes_of",
    "Results addressed by what they were made from": "artifacts:ArtifactStore",
    "One process works, the others wait": "locks:take",
    "Written under another name first, then renamed": "atomic:rename_unless_there",
    "Components learn from out-of-fold outputs": "models.graph.fit:GraphFit",
    "One random effect of millions: when fits are streamed": "models.mixed.choose_engine:is_streamed",
    "A difference to the baseline, and how sure it is": "evaluation.compare:evaluate",
    "Golden rows score as they did": "bundle.golden:check_golden",
    "What a request to the service must look like": "serving.schema:row_type",
    "Who may ask the service, and how much": "serving.guard:Guard",
    "What a Bento has to install": "serving.requirements:needed_modules",
    "How far PSI may move before it is drift": "health.calibrate:calibrate",
    "One line of hardware for all libraries": "hardware:use",
}
"""A behaviour, and ``module:name`` below the package."""


def moved() -> list[str]:
    """Return a line for each behaviour whose symbol is not where the list says."""
    lines = []
    for behaviour, place in BEHAVIOURS.items():
        try:
            Symbol.parse(place).docstring()
        except MovedError as error:
            lines.append(f"{behaviour}: {error}")
    return lines


def as_markdown() -> str:
    """Return the list as a table."""
    rows = [f"| {behaviour} | `{place.replace(':', '` `')}` |" for behaviour, place in BEHAVIOURS.items()]
    return "\n".join(["| behaviour | module, and where to start in it |", "|---|---|", *rows])


def main(arguments: Sequence[str]) -> int:
    """Print the table unless asked to check only; return 1 when something moved."""
    if "--check" not in arguments:
        width = max(map(len, BEHAVIOURS))
        print(*(f"{behaviour:<{width}}  {place}" for behaviour, place in BEHAVIOURS.items()), sep="\n")
    lines = moved()
    if lines:
        print(*lines, sep="\n", file=sys.stderr)
    return bool(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
