"""A bundle as a notebook works on it: what it has learned of single entities, as rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from operator import index

from proml_kedro.bundle import Bundle
from proml_kedro.errors import Mistake, UserError
from proml_kedro.models.effects import EntityEffect, check_entity, with_effects
from proml_kedro.notebook.frame import Frame

_COLUMNS = [one for one in EntityEffect.__dataclass_fields__ if one != "known"]


class OpenedBundle(Bundle):
    """A bundle with effects as rows. It shows its model, and its metrics on the test period."""

    def effects(
        self,
        entity: Mapping[str, str | int] | None = None,
        *,
        top: int = 10,
        component: str | None = None,
        **names: str | int,
    ) -> Frame:
        """List what mixed models have learned of an entity, beside the population, as `kedro model effects` does.

        Args:
            entity: Values by the names of inputs, for names that are no words of Python: ``{"flight.carrier": "UA"}``.
            top: Without an entity, how many of those that differ most, of each coefficient.
            component: Only this component of the model.
            names: Values by the names of inputs: ``member_id=42``.

        Raises:
            UserError: The model has no such effects, or there is no such entity or component.
        """
        asked = {name: _text(name, value) for name, value in {**(entity or {}), **names}.items()}
        models = with_effects(self.graph.components, component, (str(self.path), "component"))
        check_entity(models, asked, "effects")
        rows, notes = [], []
        for name, model in models.items():
            for one in model.effects_of(asked) if asked else model.most_different(top):
                rows.append({"component": name, **asdict(one)})
                if not one.known:
                    notes.append(f"{one.effect} '{one.entity}' is not known: it is scored as the population")
        columns = [*(["component"] if len(models) > 1 else []), *_COLUMNS]
        return Frame.of(rows, columns, "; ".join([f"{len(rows):,} effects", *dict.fromkeys(notes)]))

    def __repr__(self) -> str:
        metrics = ", ".join(
            f"{name} {value:.4f}" for name, value in self.metrics["candidate"].items() if value is not None
        )
        return f"bundle {self.name} {self.version}: {len(self.inputs)} inputs; {metrics}"


def _text(name: str, value: object) -> str:
    """An entity as models name it: keys are text, and whole numbers (NumPy's too) as they are written."""
    if isinstance(value, str):
        return value
    if hasattr(value, "__index__") and not isinstance(value, bool):
        return str(index(value))
    raise UserError(Mistake("", f"'{name}' is {value!r}; an entity is a text or a whole number"))
