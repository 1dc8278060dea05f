"""The parts of a model that places score, as the graph and the look-up of features see them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

import numpy as np
import orjson

from proml_kedro.bundle import Manifest
from proml_kedro.errors import Mistake, UserError
from proml_kedro.features.online.lookup import Found
from proml_kedro.features.online.store import to_microseconds
from proml_kedro.models.component import Array, Columns, Component, Input
from proml_kedro.models.graph.plan import Step
from proml_kedro.models.graph.score import InProcess
from proml_kedro.serving.places.place import Place, PlaceError, PlaceMetrics
from proml_kedro.serving.places.wire import WireError, pack, refuse_other_columns
from proml_kedro.serving.prove import golden_rows
from proml_kedro.serving.scorer import BundleScorer
from proml_kedro.spec import PlaceSpec, check_places
from proml_kedro.spec.dtype import Dtype, vector_size

_START_STEP = 0.05
_COUNTS = ("expired", "unknown", "later")


class PlaceUnavailableError(Exception):
    """A part of the model cannot be asked, and the request is to fail then; ``str()`` of the error says which."""


@dataclass
class Ticket:
    """A request that is being scored.

    Attributes:
        until: When it has to be answered, by ``time.monotonic``.
        degraded: Places that it was scored without, in the order in which that was seen.
    """

    until: float
    degraded: dict[str, None] = field(default_factory=dict)


@dataclass(frozen=True)
class _Output:
    """What is known of an output of a component that is elsewhere."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    nothing: Array
    is_finite: bool

    @classmethod
    def of(cls, values: Array) -> Self:
        """Learn it from rows, of the last of which nothing is known."""
        is_finite = values.dtype != object and bool(np.isfinite(values[:-1]).all())
        return cls(values.dtype, values.shape[1:], values[-1:].copy(), is_finite)


class Elsewhere:
    """Executor of a graph some of whose components are at places.

    The model was loaded and proved here before. Components that are elsewhere are let go, but for those that read keys
    and have a fallback: it is what they say of the row without its keys. Of others it is what they say of a row of
    which nothing is known.

    Args:
        scorer: The bundle, proven.
        specs: Places by name.
        metrics: Where questions are counted.

    Raises:
        UserError: A place is for what the model has not, or a component has nothing to fall back to.
    """

    def __init__(self, scorer: BundleScorer, specs: Mapping[str, PlaceSpec], metrics: PlaceMetrics) -> None:
        bundle = scorer.bundle
        if mistakes := [*check_places(specs, bundle.graph.components)]:
            raise UserError(*mistakes)
        self._metrics = metrics
        self.places = [Place(name, spec, bundle.digest, metrics) for name, spec in specs.items()]
        self._by_component = {one: place for place in self.places for one in place.spec.components}
        self._computing = threading.Lock()
        self._local = threading.local()
        self._kept: dict[str, Component] = {}
        known = _known(scorer) if self._by_component else {}
        given = [name for step in bundle.graph.plan.steps for name in _names(step.gives)]
        self._outputs = {name: _Output.of(known[name]) for name in given} if known else {}
        for name, place in self._by_component.items():
            component, step = bundle.graph.components.pop(name), bundle.graph.plan.step(name)
            if place.spec.on_failure == "fallback":
                if any(one.is_entity for one in step.reads):
                    self._kept[name] = component
                columns = {one.name: known[one.name] for one in step.reads}
                self._refuse_silence(place, step, self._fallback(step, columns), component.spec.learns)
        self._here = InProcess(bundle.graph.components)
        bundle.graph.executor = self
        for place in self.places:
            if place.spec.features:
                scorer.online.put_elsewhere(LookupElsewhere(self, place, bundle.manifest))

    def _refuse_silence(self, place: Place, step: Step, made: Columns, learns: bool) -> None:
        is_silent = [self._outputs[name].is_finite and not np.isfinite(values).all() for name, values in made.items()]
        if learns and any(is_silent):
            message = f"'{step.component}' says nothing of a row of which nothing is known; write `error`"
            raise UserError(Mistake(f"serving.places.{place.name}.on_failure", message))

    def _fallback(self, step: Step, columns: Columns) -> Columns:
        """Return what a component says that cannot be asked."""
        kept = self._kept.get(step.component)
        if kept is None:
            rows = len(next(iter(columns.values())))
            return {name: np.repeat(self._outputs[name].nothing, rows, axis=0) for name in _names(step.gives)}
        keyless = {one.name: _without(columns[one.name]) if one.is_entity else columns[one.name] for one in step.reads}
        return {f"{step.component}.{name}": values for name, values in kept.score(keyless).items()}

    @contextmanager
    def request(self, until: float) -> Iterator[Ticket]:
        """Score a request in this thread: one thread computes at a time, others wait for places meanwhile."""
        with self._computing:
            self._local.ticket = ticket = Ticket(until)
            yield ticket

    def has(self, component: str) -> bool:
        """Tell whether a component is elsewhere."""
        return component in self._by_component

    def run(self, step: Step, columns: Columns) -> Columns:
        """Score rows with the step's component, wherever that is.

        Raises:
            PlaceUnavailableError: It cannot be asked, and has no fallback.
        """
        place = self._by_component.get(step.component)
        if place is None:
            return self._here.run(step, columns)
        rows = len(next(iter(columns.values())))
        wanted = {one.name: self._outputs[one.name] for one in step.gives}

        def read(made: dict[str, Array], count: int) -> Columns:
            refuse_other_columns(made, {name: (one.dtype, one.shape) for name, one in wanted.items()})
            for name, one in wanted.items():
                if one.is_finite and not np.isfinite(made[name]).all():
                    raise WireError(f"'{name}' is not finite")
            return made

        described, body = pack(columns)
        head = {"do": "score", "component": step.component, "columns": described, "rows": rows}
        made = self.ask(place, head, body, read)
        return self._fallback(step, columns) if made is None else made

    def ask(self, place: Place, head: Mapping[str, Any], body: bytes, read: Any) -> Any:
        """Ask a place while other threads compute; None where the request goes on without it.

        Raises:
            PlaceUnavailableError: The request is not to go on.
        """
        ticket: Ticket = self._local.ticket
        self._computing.release()
        try:
            return place.ask(head, body, ticket.until, read)
        except PlaceError as error:
            if place.spec.on_failure == "error":
                raise PlaceUnavailableError(f"the place '{place.name}' does not answer: {error}") from error
            ticket.degraded[place.name] = None
            self._metrics.degraded(place.name, head["rows"])
            return None
        finally:
            self._computing.acquire()

    def check(self, seconds: float = 2.0) -> dict[str, str]:
        """Ask all places whether they can be asked; return why not, of those that cannot."""
        found = {}
        for place in self.places:
            try:
                place.check(seconds)
            except PlaceError as error:
                found[place.name] = str(error)
        return found

    def fails_without(self, places: Mapping[str, str]) -> list[str]:
        """Return which of these places no request can do without."""
        return [one.name for one in self.places if one.name in places and one.spec.on_failure == "error"]

    def wait(self, seconds: float) -> dict[str, str]:
        """Wait until all places answer; return why not, of those that do not in time."""
        end = time.monotonic() + seconds
        while (missing := self.check()) and time.monotonic() < end:
            time.sleep(_START_STEP)
        return missing

    def close(self) -> None:
        """Close all connections."""
        for place in self.places:
            place.close()


class LookupElsewhere:
    """Reader of features that a place looks up, as :class:`~proml_kedro.features.online.lookup.OnlineFeatures` is one.

    Args:
        elsewhere: Asks the place.
        place: Where that is.
        manifest: Of the bundle.
    """

    def __init__(self, elsewhere: Elsewhere, place: Place, manifest: Manifest) -> None:
        self._elsewhere, self._place = elsewhere, place
        types = {one.name: one.dtype for one in manifest.rows.inputs if not one.request}
        self._nothing = {name: _nothing_of(dtype) for name, dtype in types.items()}

    def find(self, keys: Sequence[Mapping[str, Any]], moments: Sequence[datetime]) -> Found:
        """Look features up; all are missing where the request goes on without the place.

        Raises:
            PlaceUnavailableError: The request is not to go on.
        """
        rows = len(keys)
        body = orjson.dumps([keys, [to_microseconds(moment) for moment in moments]])
        found = self._elsewhere.ask(self._place, {"do": "features", "rows": rows}, body, self._read)
        if found is None:
            none = np.zeros(rows, np.int64)
            return Found({name: np.repeat(one, rows, axis=0) for name, one in self._nothing.items()}, none, none, none)
        return Found({name: found[name] for name in self._nothing}, *(found[name] for name in _COUNTS))

    def _read(self, made: dict[str, Array], rows: int) -> dict[str, Array]:
        wanted = {name: (one.dtype, one.shape[1:]) for name, one in self._nothing.items()}
        refuse_other_columns(made, wanted | dict.fromkeys(_COUNTS, (np.dtype(np.int64), ())))
        return made


def _nothing_of(dtype: Dtype) -> Array:
    """Return a row without a value, as the store's reader has it; shape (1,) or (1, size)."""
    size = vector_size(dtype)
    if size is not None:
        return np.full((1, size), np.nan)
    return np.full(1, None, object) if dtype == "str" else np.full(1, np.nan)


def _known(scorer: BundleScorer) -> Columns:
    """Compute what the components say of the golden rows, and of one of which nothing is known; inputs, too."""
    bundle = scorer.bundle
    rows = golden_rows(bundle.path, bundle.manifest)
    nothing = {one.name: None for one in bundle.manifest.rows.inputs}
    return bundle.all_columns(scorer.columns([*rows, nothing]))


def _names(inputs: Sequence[Input]) -> list[str]:
    return [one.name for one in inputs]


def _without(keys: Array) -> Array:
    return np.full(keys.shape, None if keys.dtype == object else np.nan, keys.dtype)
