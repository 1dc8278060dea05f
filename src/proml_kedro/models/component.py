"""The protocol that every component of a model implements.

A kind of component is one class in one file. Authors write plain ``fit`` and ``score``; the graph adds timing,
seeds, checks and error messages. :func:`proml_kedro.testing.check_component` proves the laws.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import Any, ClassVar, Protocol, Self, TypeVar, cast

import numpy as np
import numpy.typing as npt

from proml_kedro.models.curve import Curve
from proml_kedro.spec.dtype import Dtype, vector_size
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.inputs import is_entity
from proml_kedro.spec.model import ComponentSpec
from proml_kedro.spec.problem import Task

Array = npt.NDArray[Any]

T = TypeVar("T")

NUMBER = 4
"""Bytes of a number in float32, and of the number of a category in int32: nobody holds an input in less."""

Columns = Mapping[str, Array]
"""Equally long arrays by name. Numbers are floating point of shape (n,) with NaN for missing; text is an object array
of ``str`` of shape (n,) with None for missing; vectors are floating point of shape (n, size) with a row of NaN for
missing, and only components whose ``Spec.takes_vectors`` is true are given any."""


@dataclass(frozen=True)
class Input:
    """A column that a component reads.

    Attributes:
        name: ``view.feature``, ``component.output``, or an entity of the problem.
        dtype: ``str`` columns are categories, ``vector[N]`` columns vectors, all others numbers.
    """

    name: str
    dtype: Dtype

    @property
    def is_categorical(self) -> bool:
        """Tell whether values are categories."""
        return self.dtype == "str"

    @property
    def is_entity(self) -> bool:
        """Tell whether it is a key of the examples, not a feature."""
        return is_entity(self.name)

    @property
    def size(self) -> int | None:
        """Return the length of a vector; None for numbers and categories."""
        return vector_size(self.dtype)


class LazyColumns(Mapping[str, Array]):
    """Columns that are read, all together, when the first one is asked for. Until then they need no memory.

    Args:
        names: Of the columns.
        read: Reads all of them; called once.
    """

    def __init__(self, names: Iterable[str], read: Callable[[], Columns]) -> None:
        self._names = dict.fromkeys(names)
        self._read = read
        self._found: Columns | None = None
        self._lock = RLock()  # components that are fitted at the same time read the columns once

    def __getitem__(self, name: str) -> Array:
        if name not in self._names:
            raise KeyError(name)
        with self._lock:
            if self._found is None:
                self._found = self._read()
            return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class RowSource(Protocol):
    """Rows that can be read again and again, some at a time, always in the same order."""

    @property
    def precision(self) -> str:
        """Return the floating point type of numbers and vectors."""

    def __len__(self) -> int:
        """Count the rows."""

    def batches(self, inputs: Sequence[Input], rows: int) -> Iterator[Columns]:
        """Read the inputs in the order of the rows, at most ``rows`` rows at a time."""

    def record_batches(self, names: Sequence[str], rows: int) -> Iterator[Any]:
        """Read columns as ``pyarrow.RecordBatch``, in the types that values are stored in."""


@dataclass(frozen=True)
class JoinedRows:
    """Rows of several sources, one after the other.

    Attributes:
        sources: At least one, all of one precision.
    """

    sources: tuple[RowSource, ...]

    @property
    def precision(self) -> str:
        """Return the floating point type of numbers and vectors."""
        return self.sources[0].precision

    def __len__(self) -> int:
        return sum(len(one) for one in self.sources)

    def batches(self, inputs: Sequence[Input], rows: int) -> Iterator[Columns]:
        """Read the inputs of one source after the other, at most ``rows`` rows at a time."""
        for one in self.sources:
            yield from one.batches(inputs, rows)

    def record_batches(self, names: Sequence[str], rows: int) -> Iterator[Any]:
        """Read columns of one source after the other as ``pyarrow.RecordBatch``."""
        for one in self.sources:
            yield from one.record_batches(names, rows)


@dataclass(frozen=True)
class Explanation:
    """What each input adds to the margins of n rows; base and contributions sum to the margin.

    Attributes:
        base: What a row has before anything is known of it; shape (n,).
        contributions: By input; shape (n,) each.
    """

    base: npt.NDArray[np.float64]
    contributions: Mapping[str, npt.NDArray[np.float64]]


@dataclass(frozen=True)
class Examples:
    """Rows with what is to be predicted.

    Attributes:
        columns: The inputs, n rows each.
        label: float64 of shape (n,); 0 or 1 for a binary task, the number of a class, from 0, for one of several.
        weight: float64 of shape (n,), how much each row counts; None when all count 1.
        group: int64 of shape (n,); rows with equal numbers are alternatives to each other. None when there are none.
        labels: The problem's auxiliary labels by name, float64 of shape (n,) with NaN where not known.
        source: Where the same rows, in the same order, can be read in parts: every input, ``label``, ``weight`` and
            ``label.name``. None where there is no such place. A component that reads from there and never looks into
            ``columns`` needs no memory for them.
    """

    columns: Columns
    label: npt.NDArray[np.float64]
    weight: npt.NDArray[np.float64] | None = None
    group: npt.NDArray[np.int64] | None = None
    labels: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    source: RowSource | None = None

    def __len__(self) -> int:
        return len(self.label)

    def take(self, rows: Array) -> Examples:
        """Select the rows at some positions, or where a mask is true; they have no source."""
        return Examples(
            {name: values[rows] for name, values in self.columns.items()},
            self.label[rows],
            None if self.weight is None else self.weight[rows],
            None if self.group is None else self.group[rows],
            {name: values[rows] for name, values in self.labels.items()},
        )

    def join(self, other: Examples) -> Examples:
        """Append other rows, whose groups are different ones; columns are put together when one is asked for."""

        def columns() -> Columns:
            return {name: np.concatenate([values, other.columns[name]]) for name, values in self.columns.items()}

        return Examples(
            LazyColumns(self.columns, columns),
            np.concatenate([self.label, other.label]),
            _joined(self.weight, other.weight),
            _joined(self.group, None if other.group is None else other.group + _next_number(self.group)),
            {name: np.concatenate([values, other.labels[name]]) for name, values in self.labels.items()},
            JoinedRows((self.source, other.source)) if self.source is not None and other.source is not None else None,
        )


def _joined(these: Array | None, others: Array | None) -> Array | None:
    return None if these is None or others is None else np.concatenate([these, others])


def _next_number(group: npt.NDArray[np.int64] | None) -> int:
    return 0 if group is None or not len(group) else int(group.max()) + 1


class Shared:
    """What fits of the same examples need alike, such as an input in the form of a library: made once, then taken over.

    Args:
        most: How many things are kept; of more the ones that were used longest ago go.
    """

    def __init__(self, most: int = 8) -> None:
        self._most = most
        self._held: dict[Any, tuple[tuple[Any, ...], Any]] = {}
        self._lock = RLock()

    def take(self, made_from: Sequence[Any], settings: Hashable, make: Callable[[], T]) -> T:
        """Return what was made from the same objects and settings, or make it.

        Objects are told apart by their identity, so nobody may change one.

        Args:
            made_from: Arrays, and whatever else it is made from; they are kept as long as it is.
            settings: What else it depends on.
            make: Makes it.
        """
        key = (tuple(map(id, made_from)), settings)
        with self._lock:
            _, found = self._held.pop(key, (None, None))
            if found is None:
                found = make()
            self._held[key] = (tuple(made_from), found)
            while len(self._held) > self._most:
                del self._held[next(iter(self._held))]
        return cast("T", found)


@dataclass(frozen=True)
class FitContext:
    """What a component may use besides its data.

    Attributes:
        hardware: The machine; a component takes its thread count from here.
        seed: For every random choice.
        key: Where the component stands in the configuration, for errors.
        final: Whether no other component learns from this one's outputs, and the model is not to be judged by the
            validation period. Only then may it learn from that period too, after that has chosen.
        task: What sort of label is predicted.
        checkpoints: A folder that outlives a run that is killed, and is there for the next one that fits the same
            component on the same examples; it may not exist yet. None when nothing is to be kept.
        previous: The same component as an earlier model has it, to start from; None to start afresh.
        classes: How many classes a label of task ``multiclass`` has; 0 for other tasks.
        shared: What fits of the same examples may take over from each other; None when there is only one.
        watch: Called after each step with the name of a figure and that figure on the validation period, of which less
            is better, by the component that gives the model's score if it learns step by step; what it raises ends the
            fit. None when nobody watches.
    """

    hardware: HardwareSpec
    seed: int
    key: str = "model"
    final: bool = True
    task: Task = "binary"
    checkpoints: Path | None = None
    previous: Component | None = None
    classes: int = 0
    shared: Shared | None = None
    watch: Callable[[str, float], None] | None = None


class Description(Protocol):
    """What a component of a declared model will look like, as it is shown before any training."""

    def facts(self) -> dict[str, Any]:
        """Return plain values for JSON."""

    def sections(self) -> Iterable[str | Sequence[Sequence[str]]]:
        """Return lines of text, and tables as rows of cells of which the first is the heading."""

    def drawing(self, name: str) -> str:
        """Draw the component, which is called ``name``, as an SVG image."""


class Component(ABC):
    """A part of a model that learns from examples and scores rows.

    Attributes:
        Spec: What its YAML may say, and which outputs :meth:`score` gives.
        task: What sort of label is predicted; a graph says it to each of its components.
        scores_rows_exactly: Whether a row's outputs are the same to the last bit whichever rows are scored with it.
            Where that is not so, as in products of matrices, they may differ by rounding.
    """

    Spec: ClassVar[type[ComponentSpec]]
    scores_rows_exactly: ClassVar[bool] = False
    task: Task = "binary"

    def __init__(self, spec: ComponentSpec, inputs: Sequence[Input]) -> None:
        self.spec = spec
        self.inputs = tuple(inputs)

    @abstractmethod
    def fit(self, train: Examples, validation: Examples, context: FitContext) -> None:
        """Learn from ``train``; ``validation`` chooses, for example when to stop. Either holds the inputs' columns."""

    @abstractmethod
    def score(self, columns: Columns) -> Mapping[str, Array]:
        """Compute the spec's outputs of n rows. Missing and unknown values are scored too.

        Returns:
            For each output by name an array of its dtype: float64 of shape (n,), objects of shape (n,) with None for
            missing for ``str``, floating point of shape (n, N) for ``vector[N]``, or float64 of shape (n, classes) with
            probabilities that sum to 1 where the label has several classes.
        """

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the learned state as data (never pickled) into an empty folder."""

    @classmethod
    @abstractmethod
    def load(cls, spec: ComponentSpec, inputs: Sequence[Input], folder: Path) -> Self:
        """Read the component that :meth:`save` wrote; it scores with one thread."""

    def memory_needed(self, rows: int, precision: str) -> int:
        """Estimate how many bytes :meth:`fit` holds at once, at the least, beside labels and a batch of rows.

        A run that may not have as much ends before it reads any row.

        Args:
            rows: Of training and validation period together.
            precision: Floating point type of numbers.
        """
        return rows * sum(NUMBER * (one.size or 1) for one in self.inputs)

    def explain(self, columns: Columns) -> Explanation | None:
        """Divide the margin of each of n rows among the inputs; None when the kind has no way to."""
        return None

    def importance(self) -> dict[str, float]:
        """Return the share of each input in what was learned, summing to 1; empty when the kind has no such notion."""
        return {}

    def describe(self, categories: int, key: str) -> Description | None:
        """Describe the component before it is fitted; None when its inputs and outputs say all there is to say.

        Args:
            categories: How many to assume in each vocabulary, since no data is read.
            key: Where the component stands in the configuration, for errors.

        Raises:
            UserError: The configuration cannot be built.
        """
        return None

    def curve(self) -> Curve | None:
        """Return how good it was on the validation period while it learned; None when it does not learn in steps."""
        return None

    def report(self, folder: Path, name: str) -> list[str]:
        """Write plots of what was learned for the evaluation's report.

        Args:
            folder: Where to.
            name: Of the component, for the names of files.

        Returns:
            Lines of Markdown that show the plots; none when the kind has nothing to show.
        """
        return []

    def summary(self) -> dict[str, Any]:
        """Return facts about the fit worth printing, such as the number of trees."""
        return {}


class Stateless(Component):
    """A component that learns nothing: :meth:`score` is all there is to it. Its spec has ``learns = False``."""

    def fit(self, train: Examples, validation: Examples, context: FitContext) -> None:
        """Learn nothing. The graph never calls it."""

    def save(self, folder: Path) -> None:
        """Write nothing."""

    @classmethod
    def load(cls, spec: ComponentSpec, inputs: Sequence[Input], folder: Path) -> Self:
        """Make the component, which its spec describes completely."""
        return cls(spec, inputs)
