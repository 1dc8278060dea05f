"""What a model may read: features, and the entities of the problem."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from proml_kedro.spec.dtype import Dtype
from proml_kedro.spec.features import FeaturesSpec
from proml_kedro.spec.model import ComponentSpec
from proml_kedro.spec.outputs import OutputRef
from proml_kedro.spec.problem import ProblemSpec


def input_types(problem: ProblemSpec, features: FeaturesSpec) -> dict[str, Dtype]:
    """List everything a component may read besides other components, with its type.

    Features come first, as ``view.feature`` in declared order, then the entities, which are categories by whatever
    type their keys have in the data.
    """
    return {**features.columns(), **dict.fromkeys(problem.examples.entities, "str")}


def matching(pattern: str, names: Iterable[str]) -> Iterator[str]:
    """Find the names that a pattern means.

    ``*`` stands for features only: a key is read when it is named, never because a pattern happens to fit.
    """
    yield from (name for name in names if fnmatchcase(name, pattern) and ("*" not in pattern or not is_entity(name)))


def outputs_meant(pattern: str, outputs: Iterable[OutputRef]) -> list[OutputRef]:
    """Find the outputs of other components that a pattern means.

    The component is named; ``*`` may stand only behind it, as in ``towers.member_*``. A bare ``*`` is for features: it
    must not tie a component to its own output. The name of a component alone means its output if it has just one.

    >>> margin, score = OutputRef("trees", "margin"), OutputRef("match", "value")
    >>> [str(one) for pattern in ("trees.*", "match") for one in outputs_meant(pattern, [margin, score])]
    ['trees.margin', 'match.value']
    """
    component, dot, _ = pattern.partition(".")
    own = [one for one in outputs if one.component == component]
    if not dot:
        return own if len(own) == 1 else []
    return [one for one in own if fnmatchcase(str(one), pattern)]


def is_entity(name: str) -> bool:
    """Tell whether an input is an entity of the problem and not a feature or an output, which have a dot."""
    return "." not in name


def read_by(spec: ComponentSpec, types: Mapping[str, Dtype], outputs: Mapping[OutputRef, Dtype]) -> dict[str, Dtype]:
    """Find what a component reads, with types, in the order of its inputs.

    ``*`` stands for those of a type that the kind can read; what is named is read in any case.

    Args:
        spec: The component.
        types: What there is besides other components, as :func:`input_types` gives it.
        outputs: What components give.
    """
    read: dict[str, Dtype] = {}
    for pattern in spec.inputs:
        found = {name: types[name] for name in matching(pattern, types)}
        if not (found and is_entity(pattern)):  # an entity comes before a component of its name
            found |= {str(one): outputs[one] for one in outputs_meant(pattern, outputs)}
        read |= {name: dtype for name, dtype in found.items() if "*" not in pattern or spec.can_read(dtype)}
    return read


def position_of(name: str, patterns: Sequence[str]) -> int:
    """Find the position of the first pattern that means an input; the name of a component alone means its output."""
    return next(at for at, one in enumerate(patterns) if fnmatchcase(name, one) or name.partition(".")[0] == one)


def components_read(spec: ComponentSpec, types: Mapping[str, Dtype], outputs: Mapping[OutputRef, Dtype]) -> list[str]:
    """Find the components whose outputs a component reads, each once."""
    read = [name for name in read_by(spec, types, outputs) if name not in types]
    return list(dict.fromkeys(OutputRef.parse(name).component for name in read))
