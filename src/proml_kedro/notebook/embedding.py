"""A map of vectors: the mean of each label, in the two directions in which they differ most."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from proml_kedro.errors import Mistake, UserError

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

    from proml_kedro.evaluation.sections import Section

    Array = npt.NDArray[Any]

_NEAR = 3


def embedding_of(rows: pa.Table, size: int, most: int) -> Section:
    """Map the labels of rows by the means of their vectors.

    Args:
        rows: A column of vectors, then one of labels. Rows without either are left out.
        size: Of the vectors.
        most: How many labels to map, those of the most rows.

    Raises:
        UserError: Fewer than three labels have vectors.
    """
    from proml_kedro.evaluation.sections import Section
    from proml_kedro.evaluation.svg import point_chart

    feature, label = rows.column_names
    names, counts, means = _means(rows, size)
    kept = sorted(np.argsort(-counts, kind="stable")[:most].tolist())
    if len(kept) < 3:
        raise UserError(Mistake("", f"{len(kept)} values of '{label}' have a vector; a map takes three or more"))
    places, share = principal(means[kept])
    shown = [names[one] for one in kept]
    nearest = [", ".join(shown[one] for one in near) for near in neighbours(means[kept])]
    left = len(names) - len(kept)
    sentence = (
        f"{len(kept):,} values of {label} by {feature}: two dimensions hold {share:.0%} of how they differ"
        + (f"; {left:,} with fewer rows are left out" if left else "")
        + "."
    )
    table = zip(shown, places[:, 0].tolist(), places[:, 1].tolist(), counts[kept].tolist(), nearest, strict=True)
    across, up = "first component", "second component"
    drawing = point_chart(shown, places[:, 0], places[:, 1], (across, up))
    return Section(f"Map of {feature}", sentence, (label, across, up, "rows", "nearest"), list(table), drawing)


def principal(vectors: Array) -> tuple[Array, float]:
    """Compute the first two principal components, and their share of the variance.

    Each is turned so that its largest entry by size is positive: the same vectors give the same picture.

    Args:
        vectors: Shape (n, dimension), n of at least 3.

    Returns:
        Places, shape (n, 2), and the share, from 0 to 1.
    """
    centred = vectors - vectors.mean(axis=0)
    left, size, _ = np.linalg.svd(centred, full_matrices=False)
    places = np.zeros((len(vectors), 2))
    places[:, : min(2, len(size))] = (left * size)[:, :2]
    places *= np.where(np.take_along_axis(places, np.abs(places).argmax(0)[None], 0) < 0, -1, 1)
    return places, float((size[:2] ** 2).sum() / ((size**2).sum() or 1.0))


def neighbours(vectors: Array, count: int = _NEAR) -> list[list[int]]:
    """Find for each vector the others of the largest cosine; a vector of zeros is near to none.

    Args:
        vectors: Shape (n, dimension).
        count: How many.
    """
    length = np.linalg.norm(vectors, axis=1)
    unit = vectors / np.where(length > 0, length, 1)[:, None]
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -np.inf)
    order = np.argsort(-cosine, axis=1, kind="stable")[:, : min(count, len(vectors) - 1)]
    return [[int(one) for one in row if length[place] and length[one]] for place, row in enumerate(order)]


def _means(rows: pa.Table, size: int) -> tuple[list[str], Array, Array]:
    """The labels in their order, how many rows each has, and the mean of their vectors, shape (labels, size)."""
    from proml_kedro.arrow_arrays import as_vectors

    vectors = as_vectors(rows.column(0), size, "float64")
    coded = rows.column(1).combine_chunks().dictionary_encode()
    codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    there = (codes >= 0) & np.isfinite(vectors).all(axis=1)
    codes, vectors = codes[there], vectors[there]
    names = [str(one) for one in coded.dictionary.to_pylist()]
    counts = np.bincount(codes, minlength=len(names))
    sums = np.stack([np.bincount(codes, vectors[:, one], len(names)) for one in range(size)], axis=1)
    order = [one for one in sorted(range(len(names)), key=lambda one: names[one]) if counts[one]]
    return [names[one] for one in order], counts[order], sums[order] / counts[order, None]
