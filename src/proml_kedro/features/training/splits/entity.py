"""The last examples of each entity held out: how well what a user does next is told by what the same user did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

from pydantic import model_validator

from proml_kedro.engine.duckdb import quote
from proml_kedro.spec.base import Name
from proml_kedro.spec.split import TEST, TRAIN, VALIDATION, ExampleColumns, Share, SplitSpec


class EntitySplit(SplitSpec):
    """Each entity's last examples: ``by: {entity: user_id, last: 20%}``.

    Of those that are held out the earlier half is validation and the later half test. An entity with few examples only
    trains: with 20 %, it takes five of them for one in test, and eight for one in validation too. Examples of one
    moment are on one side; those without an entity count as one entity.

    Attributes:
        entity: Column of the entity.
        last: Share of each entity's examples that is held out, such as ``20%``.
    """

    example: ClassVar[Mapping[str, Any]] = {"entity": "user", "last": "40%"}

    needs_time: ClassVar[bool] = True

    by: Literal["entity"]
    entity: Name
    last: Share

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, value: Any) -> Any:
        """Take the keys out of ``by``, where they may stand as well."""
        if isinstance(value, Mapping) and isinstance(value.get("by"), Mapping):
            return {**value, **value["by"], "by": "entity"}
        return value

    def divide(self, examples: ExampleColumns) -> str:
        """Return the split of each example, in SQL."""
        entity, moment = quote(self.entity), examples.timestamp
        rank = f"rank() OVER (PARTITION BY {entity} ORDER BY {moment} DESC)"
        place = f"({rank} - 0.5) / count(*) OVER (PARTITION BY {entity})"
        return (
            f"CASE WHEN {place} < {self.last / 2!r} THEN '{TEST}' "
            f"WHEN {place} < {self.last!r} THEN '{VALIDATION}' ELSE '{TRAIN}' END"
        )

    def columns(self) -> Iterator[tuple[str, str]]:
        """Yield the entity's column."""
        yield self.entity, "entity"
