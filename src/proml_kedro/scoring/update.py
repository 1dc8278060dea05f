"""Update of a bundle by labelled rows: what can learn from them does, and another bundle is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from proml_kedro.bundle import Bundle, write_updated
from proml_kedro.errors import Mistake, UserError
from proml_kedro.models.updates import Updatable, UpdateFacts
from proml_kedro.scoring.known_rows import UNTIL, RowFacts, learned_by
from proml_kedro.scoring.labelled import LabelledTable


@dataclass(frozen=True)
class Updated:
    """What an update has done.

    Attributes:
        components: What each component has learned, by its name.
        rows: What is known of the rows.
    """

    components: dict[str, UpdateFacts]
    rows: RowFacts


def update_bundle(
    table: LabelledTable, output: Path, component: str | None = None, late_labels: bool = False
) -> Updated:
    """Let the components that can learn from labelled rows do so, and write a bundle with them.

    Each is given what the components before it say of the rows, after these have learned.

    Args:
        table: The rows, and the bundle, whose components change in memory.
        output: Folder of the new bundle, which must not exist.
        component: The only component that is to learn; all that can when None.
        late_labels: Whether rows of a time that was learned from are new all the same: their labels came later.

    Raises:
        UserError: Nothing can learn, or not from these rows; nothing is written then.
    """
    if output.exists():
        raise UserError(Mistake("", f"'{output}' is there already; name a new folder", "option -o"))
    models = _updatable(table.bundle, component)
    examples, facts = table.read(learned_by(table.bundle, models))
    if not len(examples):
        raise UserError(Mistake("", "has no row with a label", table.input))
    try:
        facts.check(late_labels)
    except UserError as error:
        raise UserError(*(replace(one, where=table.input) for one in error.mistakes)) from error
    found = {}
    for name, model in models.items():
        columns = table.bundle.inputs_of(name, examples.columns)
        try:
            found[name] = model.update(replace(examples, columns=columns), name)
        except UserError as error:
            raise UserError(*(replace(one, where=table.input) for one in error.mistakes)) from error
    first = next(iter(found.values()))
    update: dict[str, Any] = {"rows": first.rows, "digest": first.digest, "components": [*found]}
    if facts.latest is not None:
        update[UNTIL] = facts.latest.isoformat()
    write_updated(table.bundle, output, found, update)
    return Updated(found, facts)


def _updatable(bundle: Bundle, component: str | None) -> dict[str, Updatable]:
    components = bundle.graph.components
    models: dict[str, Updatable] = {name: one for name, one in components.items() if isinstance(one, Updatable)}
    if not models:
        message = "no component of it learns from new rows, as those of kind 'mixed' do; fit it anew"
        raise UserError(Mistake("", message, f"argument BUNDLE={bundle.path}"))
    if component is None:
        return models
    if component not in models:
        message = f"'{component}' is no component that learns from new rows; there are: {', '.join(models)}"
        raise UserError(Mistake("", message, "option --component"))
    return {component: models[component]}


def told(found: Updated) -> Iterator[str]:
    """Say what was learned, and whether a whole refit is due."""
    yield from found.rows.told()
    for name, one in found.components.items():
        yield f"{name}: learned from {one.rows:,} rows"
        for effect, count in one.changed.items():
            yield f"  {effect}: {count:,} entities, {one.added[effect]:,} of them new"
        yield f"  labels add up to {one.label:.4g}, scores to {one.before:.4g} before and {one.after:.4g} after"
        far = f"{one.moved:.2f} standard errors ({one.moved_of}; p = {one.p_value:.2g})"
        yield f"  fixed effects stay as they were; a refit would move them by up to {far}"
        if one.is_refit_due:
            yield "  a whole refit is due: the rows contradict the fixed effects"
