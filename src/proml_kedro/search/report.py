"""What came of a search, in words: the best trials, what mattered, and the YAML of the best one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from proml_kedro.config.overrides import Override, parse
from proml_kedro.errors import UserError
from proml_kedro.project import Project
from proml_kedro.results.trial import SearchFacts, Trial
from proml_kedro.search.explore import ranked
from proml_kedro.search.importance import ENOUGH

SHOWN = 10
"""Trials of the table."""


def table(trials: Sequence[Trial], facts: SearchFacts) -> Iterator[str]:
    """Lay out the best trials, and those that failed, as lines."""
    best = ranked(trials, facts)
    rows = [("trial", facts.metric, "CPU-s", "changes")]
    rows += [(str(one.number), f"{one.value:.4f}", f"{one.cpu_seconds:.1f}", _changes(one)) for one in best[:SHOWN]]
    widths = [max(len(row[place]) for row in rows) for place in range(3)]
    for *cells, last in rows:
        yield "  ".join(cell.rjust(size) for cell, size in zip(cells, widths, strict=True)) + f"  {last}"
    if len(best) > SHOWN:
        yield f"and {len(best) - SHOWN} more"
    for one in trials:
        if one.state == "failed":
            yield f"trial {one.number} failed ({' '.join(one.overrides)}): {one.error}"


def _changes(trial: Trial) -> str:
    same = f"  [as trial {trial.facts['as_trial']}]" if "as_trial" in trial.facts else ""
    return " ".join(trial.overrides) + same


def importances(shares: Mapping[str, float], trials: int) -> Iterator[str]:
    """Say how much each dimension matters, and whether that is more than noise.

    Args:
        shares: By key.
        trials: From how many they are told.
    """
    if not shares:
        return
    said = ", ".join(f"{key} {share:.0%}" for key, share in shares.items())
    noise = f" (noise: fewer than {ENOUGH})" if trials < ENOUGH else ""
    yield f"share in the variance of the figures of {trials} trials{noise}: {said}"


def optimism(trial: Trial, test: float, facts: SearchFacts, trials: int, judged: int) -> Iterator[str]:
    """Say by how much the validation figure of the best trial is too good.

    Args:
        trial: The best one.
        test: Figure of its model on the test period.
        facts: The search.
        trials: How many have a figure.
        judged: How many models of the search have been judged on the test period.
    """
    value = trial.value or 0.0
    apart = value - test if facts.higher_is_better else test - value
    # The model that was judged may have learned from the validation part too, which makes it a little better.
    yield f"{facts.metric} on validation {value:.4f}, on test {test:.4f}: {apart:+.4f} of optimism"
    if trials > 1:
        chosen = "looks better on validation than it is" if apart > 0 else "was chosen on validation"
        yield f"the best of {trials} {chosen}; the test period has chosen nothing"
    if judged > 1:
        yield (
            f"the test period has judged {judged} models of this search: whoever goes on until one looks good there "
            "has chosen by it"
        )


_NOT_OF_A_MODEL = ("search", "data_dir", "reuse", "scoring")
"""Keys at the top that say where and how a search works, not what its models are."""


def as_yaml(project: Project, trial: Trial) -> str:
    """Write what a search and a trial of it change as a file of ``conf/experiment``.

    Args:
        project: The project, with the overrides of the whole search.
        trial: The trial.
    """
    import yaml

    overrides, _ = parse([*project.overrides, *trial.overrides])
    told = [one for one in overrides if one.path[0] not in (*_NOT_OF_A_MODEL, "env")]
    groups = {one.group: one.value for one in told if _is_group(one, project)}
    earlier = groups.pop("experiment", None)
    defaults = [
        *([earlier] if earlier else []),
        *({f"override /{group}": value} for group, value in groups.items()),
    ]
    content: dict[str, Any] = {"defaults": [*defaults, "_self_"]} if defaults else {}
    for one in told:
        if not _is_group(one, project):
            node = content
            for part in one.path[:-1]:
                node = node.setdefault(part, {})
            node[one.path[-1]] = one.value
    text: str = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    return f"# @package _global_\n{text}"


def choice_of(project: Project, trial: Trial, name: str) -> str | None:
    """Find the words by which a file of ``conf/experiment`` makes the very model of a trial; None where it does not.

    A value that was deleted or replaced as a whole, say, cannot be written as such a file.

    Args:
        project: The project, with the overrides of the whole search.
        trial: The trial.
        name: Of the file, which is there.
    """
    wanted = _of_model(project.with_overrides(*trial.overrides))
    where = [one for one in project.overrides if one.startswith("env=")]
    for choice in (f"experiment={name}", f"+experiment={name}"):
        try:
            found = _of_model(project.as_written().with_overrides(*where, choice))
        except UserError:
            continue
        if found == wanted:
            return " ".join([*where, choice])
    return None


def _of_model(project: Project) -> Mapping[str, Any]:
    return project.spec.model_dump(mode="json", exclude=set(_NOT_OF_A_MODEL))


def _is_group(one: Override, project: Project) -> bool:
    return one.key in project.folders.groups or one.package is not None
