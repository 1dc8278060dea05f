"""Update of a bundle by labelled rows: what can learn from them does, and another bundle is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from proml_kedro.bundle import Bundle, write_updated
from proml_kedro.errors import Mistake, UserError
from proml_kedro.models.updates import Updatable, UpdateFacts
from proml_kedro.scoring.labelled import LabelledTable


def update_bundle(table: LabelledTable, output: Path, component: str | None = None) -> dict[str, UpdateFacts]:
    """Let the components that can learn from labelled rows do so, and write a bundle with them.

    Each is given what the components before it say of the rows, after these have learned.

    Args:
        table: The rows, and the bundle, whose components change in memory.
        output: Folder of the new bundle, which must not exist.
        component: The only component that is to learn; all that can when None.

    Returns:
        What each has learned, by its name.

    Raises:
        UserError: Nothing can learn, or not from these rows; nothing is written then.
    """
    if output.exists():
        raise UserError(Mistake("", f"'{output}' is there already; name a new folder", "option -o"))
    models = _updatable(table.bundle, component)
    examples = table.read()
    if not len(examples):
        raise UserError(Mistake("", "has no row with a label", table.input))
    found = {}
    for name, model in models.items():
        columns = table.bundle.inputs_of(name, examples.columns)
        try:
            found[name] = model.update(replace(examples, columns=columns), name)
        except UserError as error:
            raise UserError(*(replace(one, where=table.input) for one in error.mistakes)) from error
    first = next(iter(found.values()))
    write_updated(table.bundle, output, found, {"rows": first.rows, "digest": first.digest, "components": [*found]})
    return found


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


def told(found: dict[str, UpdateFacts]) -> Iterator[str]:
    """Say what was learned, and whether a whole refit is due."""
    for name, one in found.items():
        yield f"{name}: learned from {one.rows:,} rows"
        for effect, count in one.changed.items():
            yield f"  {effect}: {count:,} entities, {one.added[effect]:,} of them new"
        yield f"  labels add up to {one.label:.4g}, scores to {one.before:.4g} before and {one.after:.4g} after"
        far = f"{one.moved:.2f} standard errors ({one.moved_of}; p = {one.p_value:.2g})"
        yield f"  fixed effects stay as they were; a refit would move them by up to {far}"
        if one.is_refit_due:
            yield "  a whole refit is due: the rows contradict the fixed effects"
