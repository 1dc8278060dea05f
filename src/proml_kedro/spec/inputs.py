"""What a model may read: features, and the entities of the problem."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase

from proml_kedro.spec.dtype import Dtype, vector_size
from proml_kedro.spec.features import FeaturesSpec
from proml_kedro.spec.model import ComponentSpec
from proml_kedro.spec.problem import ProblemSpec


def input_types(problem: ProblemSpec, features: FeaturesSpec) -> dict[str, Dtype]:
    """Everything a component may read besides other components, with its type.

    Features come first, as ``view.feature`` in declared order, then the entities, which are categories by whatever
    type their keys have in the data.
    """
    return {**features.columns(), **dict.fromkeys(problem.examples.entities, "str")}


def matching(pattern: str, names: Iterable[str]) -> Iterator[str]:
    """The names that a pattern means.

    ``*`` stands for features only: a key is read when it is named, never because a pattern happens to fit.
    """
    yield from (name for name in names if fnmatchcase(name, pattern) and ("*" not in pattern or not is_entity(name)))


def outputs_meant(pattern: str, outputs: Iterable[str]) -> list[str]:
    """The outputs of other components, ``component.output``, that a pattern means.

    The component is named; only behind it may ``*`` stand, as in ``towers.member_*``. A bare ``*`` is for features: it
    must not tie a component to its own output.
    """
    component = pattern.partition(".")[0]
    return [one for one in outputs if one.partition(".")[0] == component and fnmatchcase(one, pattern)]


def is_entity(name: str) -> bool:
    """Whether an input is an entity of the problem and not a feature or an output, which have a dot."""
    return "." not in name


def select(patterns: Iterable[str], types: Mapping[str, Dtype], vectors: bool = True) -> dict[str, Dtype]:
    """What the patterns mean, each once, in the order of the patterns.

    Args:
        patterns: Names, or ``*`` for any text.
        types: What there is.
        vectors: Whether ``*`` stands for vectors too. One that is named is meant in any case.
    """
    return {
        name: types[name]
        for pattern in patterns
        for name in matching(pattern, types)
        if vectors or "*" not in pattern or vector_size(types[name]) is None
    }


def read_by(spec: ComponentSpec, types: Mapping[str, Dtype], outputs: Iterable[str]) -> dict[str, Dtype]:
    """What a component reads, in the order of its inputs; what other components give are numbers.

    Args:
        spec: The component.
        types: What there is besides other components, as :func:`input_types` gives it.
        outputs: What components give, as ``component.output``.
    """
    read: dict[str, Dtype] = {}
    for pattern in spec.inputs:
        read.update(select([pattern], types, spec.takes_vectors))
        read.update(dict.fromkeys(outputs_meant(pattern, outputs), "float"))
    return read
