"""``kind: linear``: a ridge generalized linear model on standardised numbers and one-hot categories."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from proml_kedro.models.columns import Vocabulary, learn_vocabularies, mean_of, read_all, row_count
from proml_kedro.models.component import Array, Columns, Component, Examples, Explanation, FitContext, Input
from proml_kedro.models.linear.spec import LinearSpec
from proml_kedro.spec.model import ComponentSpec, score_output
from proml_kedro.spec.problem import Task

_PART = 1 << 19
"""Values of inputs whose rows of the design matrix are made at a time."""

_OF_ENTRY, _OF_ROW = 12, 64
"""Bytes of an entry of the design matrix, a float64 and an int32 that says in which column; and of labels, weights,
margins and gradients of a row."""


class Linear(Component):
    """A linear model: of the log-odds of a truth value, of a number itself, of the logarithm of a count's mean.

    Where the label has several classes there is a margin for each: multinomial logistic regression.
    A number enters standardised, with 0 (its mean) and an indicator when it is missing; a category enters as one
    of its indicators, and as none when it is missing or unknown.
    """

    Spec: ClassVar[type[ComponentSpec]] = LinearSpec
    spec: LinearSpec

    def __init__(self, spec: ComponentSpec, inputs: Sequence[Input]) -> None:
        super().__init__(spec, inputs)
        self._task: Task = "binary"
        self._numbers = [one.name for one in self.inputs if not one.is_categorical]
        self._vocabularies: dict[str, Vocabulary] = {}
        self._mean: Array = np.zeros(0)
        self._scale: Array = np.zeros(0)
        self._intercept: float | Array = 0.0
        # One coefficient for each number, then one for each number's missing indicator, then each category's. Of
        # classes there is a row of them, and an intercept, for each.
        self._coefficients: Array = np.zeros(0)

    def fit(self, train: Examples, validation: Examples, context: FitContext) -> None:
        """Maximise the penalised likelihood of the training period, or of both periods when the component is final."""
        examples = train.join(validation) if context.final else train
        self._task = context.task
        label = examples.label
        weight = np.ones(len(label)) if examples.weight is None else examples.weight
        design, counts = self._learn_design(examples), weight > 0
        if counts.any() and not counts.all():  # far from all that counts, 0 times their loss may be no number
            design, label, weight = design[counts], label[counts], weight[counts]
        self._coefficients, self._intercept = self._maximise(design, label, weight, context.seed)
        if self._task == "multiclass" and len(self._coefficients) != context.classes:
            raise ValueError(f"{context.classes} classes, and examples of {len(self._coefficients)} alone")

    def _maximise(self, design: Any, label: Array, weight: Array, seed: int) -> tuple[Array, float | Array]:
        """The coefficients, shape (width of the design,) or (classes, width), and the intercept."""
        from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge

        penalty, steps = self.spec.penalty, self.spec.max_iterations
        if self._task == "binary":
            model = LogisticRegression(C=1.0 / penalty, max_iter=steps, random_state=seed)
            model.fit(design, label, weight)
            return model.coef_[0].astype(np.float64), float(model.intercept_[0])
        if self._task == "multiclass":
            model = LogisticRegression(C=1.0 / penalty, max_iter=steps, random_state=seed)
            model.fit(design, label, weight)
            return _of_each_class(model.coef_), _of_each_class(model.intercept_)
        if self._task == "count":  # scikit-learn divides the likelihood by the sum of the weights
            model = PoissonRegressor(alpha=penalty / weight.sum(), max_iter=steps, tol=1e-6)
            model.fit(design, label, weight)
            return model.coef_.astype(np.float64), float(model.intercept_)
        mean, scale = np.average(label, weights=weight), label.std() or 1.0
        model = Ridge(alpha=penalty, max_iter=steps, tol=1e-8)
        model.fit(design, (label - mean) / scale, weight)
        return scale * model.coef_.astype(np.float64), float(mean + scale * model.intercept_)

    def _learn_design(self, examples: Examples) -> Any:
        """Learn scales and vocabularies, and make the design matrix."""
        columns = examples.columns if examples.source is None else read_all(examples.source, self.inputs)
        self._vocabularies = learn_vocabularies(columns, self.inputs)
        self._learn_scale(columns, examples.weight)
        return self._design(columns)

    def _learn_scale(self, columns: Columns, weight: Array | None) -> None:
        found = [_mean_and_spread(columns[name], weight) for name in self._numbers]
        self._mean, scale = (np.array([one[place] for one in found]) for place in (0, 1))
        self._scale = np.where(scale > 0, scale, 1.0)

    def _numeric(self, columns: Columns) -> npt.NDArray[np.float64]:
        """Standardised numbers and their missing indicators; shape (n, 2 x numbers)."""
        count = len(self._numbers)
        block = np.zeros((row_count(columns), 2 * count))
        for position, name in enumerate(self._numbers):
            values = (columns[name].astype(np.float64) - self._mean[position]) / self._scale[position]
            missing = ~np.isfinite(values)
            block[:, position] = np.where(missing, 0.0, values)
            block[:, count + position] = missing
        return block

    def _known(self, columns: Columns) -> list[tuple[Array, Array]]:
        """For each categorical input: the rows whose category is known, and the category's number in each."""
        found = []
        for name, vocabulary in self._vocabularies.items():
            codes = vocabulary.encode(columns[name])
            rows = np.flatnonzero(np.isfinite(codes))
            found.append((rows, codes[rows].astype(np.int64)))
        return found

    def _design(self, columns: Columns) -> Any:
        """The design matrix, sparse, in the order of the coefficients; made in parts: only the whole is large."""
        from scipy import sparse

        rows, most = row_count(columns), row_count(columns) * len(self.inputs)
        data, indices = np.empty(most), np.empty(most, np.int32)  # of an input no row has two entries
        starts, filled, width = [np.zeros(1, np.int64)], 0, 0
        size = max(1, _PART // len(self.inputs))
        for first in range(0, max(rows, 1), size):
            part = self._part_of_design({name: values[first : first + size] for name, values in columns.items()})
            here, width = slice(filled, filled + part.nnz), part.shape[1]
            data[here], indices[here] = part.data, part.indices
            starts.append(part.indptr[1:] + np.int64(filled))
            filled = here.stop
        parts = data[:filled], indices[:filled], np.concatenate(starts)
        return sparse.csr_matrix(parts, shape=(rows, width), copy=False)

    def _part_of_design(self, columns: Columns) -> Any:
        from scipy import sparse

        blocks = [sparse.csr_matrix(self._numeric(columns))]
        for (rows, codes), vocabulary in zip(self._known(columns), self._vocabularies.values(), strict=True):
            shape = (row_count(columns), len(vocabulary))
            blocks.append(sparse.csr_matrix((np.ones(len(rows)), (rows, codes)), shape=shape))
        return sparse.hstack(blocks, format="csr")

    def memory_needed(self, rows: int, precision: str) -> int:
        """Estimate what columns and the design matrix need."""
        return rows * (len(self.inputs) * (np.dtype(precision).itemsize + _OF_ENTRY) + _OF_ROW)

    def _blocks(self) -> list[Array]:
        """The coefficients of the numbers with their indicators, then of each categorical input."""
        widths = [2 * len(self._numbers), *(len(one) for one in self._vocabularies.values())]
        return np.split(self._coefficients, np.cumsum(widths)[:-1], axis=-1)

    def score(self, columns: Columns) -> dict[str, npt.NDArray[np.float64]]:
        """Compute the margin (log-odds, the number itself, or the logarithm of the mean) and probability or mean.

        Where the label has several classes it is the probability of each; shape (n, classes).
        """
        numeric, *categorical = self._blocks()
        margin = self._intercept + self._numeric(columns) @ numeric.T
        for (rows, codes), coefficients in zip(self._known(columns), categorical, strict=True):
            margin[rows] += coefficients[..., codes].T
        if self._task == "multiclass":
            return {score_output(self._task): mean_of(margin, self._task)}
        return {"margin": margin, score_output(self._task): mean_of(margin, self._task)}

    def explain(self, columns: Columns) -> Explanation | None:
        """Divide margins among the inputs: each has its own term, less that of a number's mean or an unknown category.

        None where the label has several classes, each of which has a margin.
        """
        if self._task == "multiclass":
            return None
        numeric, *categorical = self._blocks()
        terms = self._numeric(columns) * numeric
        count = len(self._numbers)
        added = {name: terms[:, at] + terms[:, count + at] for at, name in enumerate(self._numbers)}
        known = zip(self._vocabularies, self._known(columns), categorical, strict=True)
        for name, (rows, codes), coefficients in known:
            added[name] = np.zeros(len(terms))
            added[name][rows] = coefficients[codes]
        base = np.full(len(terms), float(self._intercept))
        return Explanation(base, {one.name: added[one.name] for one in self.inputs})

    def save(self, folder: Path) -> None:
        """Write ``coefficients.npy``, and ``encoding.json`` with scales, categories and intercept."""
        np.save(folder / "coefficients.npy", self._coefficients, allow_pickle=False)
        encoding = {
            "task": self._task,
            "intercept": np.asarray(self._intercept).tolist(),
            "mean": self._mean.tolist(),
            "scale": self._scale.tolist(),
            "categories": {name: one.categories for name, one in self._vocabularies.items()},
        }
        (folder / "encoding.json").write_text(json.dumps(encoding))

    @classmethod
    def load(cls, spec: ComponentSpec, inputs: Sequence[Input], folder: Path) -> Self:
        """Read what :meth:`save` wrote."""
        component = cls(spec, inputs)
        encoding = json.loads((folder / "encoding.json").read_text())
        component._coefficients = np.load(folder / "coefficients.npy", allow_pickle=False)
        component._task = encoding["task"]
        component._intercept = np.asarray(encoding["intercept"])
        component._mean, component._scale = np.array(encoding["mean"]), np.array(encoding["scale"])
        component._vocabularies = {name: Vocabulary(known) for name, known in encoding["categories"].items()}
        return component

    def importance(self) -> dict[str, float]:
        """Share of the absolute coefficients of each number; categories have no comparable scale and are left out."""
        numbers = np.abs(self._coefficients[..., : len(self._numbers)])
        size = numbers.reshape(-1, len(self._numbers)).sum(axis=0)
        total = float(size.sum()) or 1.0
        return {name: float(value) / total for name, value in zip(self._numbers, size, strict=True)}

    def summary(self) -> dict[str, Any]:
        """Count the coefficients."""
        return {"coefficients": self._coefficients.size}


def _mean_and_spread(values: Array, weight: Array | None) -> tuple[float, float]:
    """Mean and standard deviation of what is known and counts; 0 where nothing is."""
    rows = np.isfinite(values) if weight is None else np.isfinite(values) & (weight > 0)
    known, counts = values[rows].astype(np.float64), None if weight is None else weight[rows]
    if not len(known):
        return 0.0, 0.0
    mean = float(np.average(known, weights=counts))
    return mean, float(np.sqrt(np.average(np.square(known - mean), weights=counts)))


def _of_each_class(learned: Array) -> npt.NDArray[np.float64]:
    """What scikit-learn learned of each class, a row each; of two classes it tells the second from the first."""
    return np.asarray(learned if len(learned) > 1 else np.concatenate([np.zeros_like(learned), learned]), np.float64)
