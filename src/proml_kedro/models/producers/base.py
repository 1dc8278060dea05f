"""What a producer is: its YAML, the type of what it gives, and its function."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BeforeValidator, ConfigDict, Field

from proml_kedro.errors import Mistake
from proml_kedro.spec.dtype import Dtype, vector_size
from proml_kedro.spec.model import ComponentSpec
from proml_kedro.spec.outputs import Output
from proml_kedro.spec.problem import ProblemSpec, Task

if TYPE_CHECKING:
    from proml_kedro.models.component import Array, Component

VALUE = "value"
"""The name of a producer's output. Other components may name the producer alone."""


class _Computed:
    """The class of a producer's components, imported when it is asked for: configurations are checked without NumPy."""

    def __get__(self, instance: object, owner: type) -> type[Component]:
        from proml_kedro.models.producers.component import Computed

        return Computed


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class Producer(ComponentSpec):
    """A function of inputs, computed row by row; each kind adds its own keys, and :meth:`compute`, in a subclass.

    Attributes:
        of: What it is a function of, in order: features, as ``view.feature``, and outputs of other components, as
            ``component.output``.
    """

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)

    Component: ClassVar[Any] = _Computed()

    learns: ClassVar[bool] = False
    tasks: ClassVar[frozenset[Task]] = frozenset({"binary", "multiclass", "regression", "count"})
    takes_numbers: ClassVar[bool] = True
    takes_categories: ClassVar[bool] = False
    inputs_key: ClassVar[str] = "of"

    count: ClassVar[int | None] = None
    """How many inputs it has; None for any number."""

    gives: ClassVar[Dtype] = "float"
    """The type of its output."""

    inputs: Annotated[list[str], BeforeValidator(_as_list), Field(min_length=1, alias="of")]

    @abstractmethod
    def compute(self, values: Sequence[Array]) -> Array:
        """Compute the output of n rows; each row by itself, without a state.

        Args:
            values: The inputs in order: floating point of shape (n,) or (n, size) with NaN for missing, or objects of
                shape (n,) with None for missing.

        Returns:
            Floating point of shape (n,), NaN where there is no finite result; objects of shape (n,) with None for
            missing where :attr:`gives` is ``str``; or floating point of shape (n, size) for a vector.
        """

    def outputs(self, task: Task) -> tuple[Output, ...]:
        """Name the one output and its type."""
        return (Output(VALUE, self.gives),)

    def check(self, inputs: Mapping[str, Dtype], problem: ProblemSpec) -> list[Mistake]:
        """Find too few or too many inputs, and vectors of different sizes."""
        if self.count is not None and len(inputs) != self.count:
            return [Mistake("of", f"'{self.kind}' is a function of {self.count}, not of {len(inputs)}")]
        sizes = {size for dtype in inputs.values() if (size := vector_size(dtype)) is not None}
        if len(sizes) > 1:
            several = " and ".join(f"'{name}' is a {dtype}" for name, dtype in inputs.items())
            return [Mistake("of", f"'{self.kind}' needs vectors of one size: {several}")]
        return []
