"""``proml.yaml``: what a bundle is, in one file that people and programs read."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import AwareDatetime, ConfigDict, Field, StringConstraints, ValidationError

from proml_kedro.bundle.integrity import IntegrityError
from proml_kedro.errors import Mistake
from proml_kedro.results.names import MANIFEST
from proml_kedro.spec import FeaturesSpec, FeatureViewSpec, ModelSpec, ServingSpec
from proml_kedro.spec.base import Duration, Spec
from proml_kedro.spec.dtype import Dtype
from proml_kedro.spec.feature_ref import FeatureRef
from proml_kedro.spec.features import ColumnFeature
from proml_kedro.spec.inputs import is_entity
from proml_kedro.spec.outputs import OutputRef
from proml_kedro.spec.problem import ProblemSpec

FORMAT = "proml-bundle/1"

Label = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$", max_length=63)]
"""A name or version; the same letters are good in a Bento's tag, a folder and an image."""


class InputField(Spec):
    """A feature that the model reads.

    Attributes:
        name: ``view.feature``, or a key of the examples.
        view: Its feature view; empty for a key.
        request: Whether it is sent with every request; otherwise it is looked up in the online store.
        entity: The key that is the same column of the examples, where there is one.
    """

    name: str
    dtype: Dtype
    view: str
    request: bool = False
    entity: str | None = None
    description: str = ""

    @property
    def is_key(self) -> bool:
        """Tell whether it is a key of the examples; the model takes it for a category, whatever its type is."""
        return not self.view

    @property
    def is_text(self) -> bool:
        """Tell whether the model reads it as a category."""
        return self.is_key or self.dtype == "str"


class Schema(Spec):
    """What a row consists of.

    Attributes:
        entities: Key columns with their types, for looking features up.
        timestamp: Name, in the examples table, of the moment that a row is about; null where there is none.
        lead_time: How long before that moment the prediction is made.
        precision: Floating point type of the numbers that the model is given.
        neutral: Features that are known only once rows have been put in order, such as a position in a list, to the
            value that each row is given when rows are scored for their order. Bundles from before 0.2 name none.
        read_as: SQL type that each used column of the examples' table was read as. Earlier bundles name none.
        date_format: Format in which dates and moments were written there, where one was found.
        plain_keys: Keys of text in which ``1.0`` is ``1``.
    """

    inputs: list[InputField]
    entities: dict[str, Literal["int", "str"]]
    timestamp: str | None
    lead_time: Duration
    precision: Literal["float32", "float64"] = "float32"
    neutral: dict[str, bool | int | float | str] = {}
    read_as: dict[str, str] = {}
    date_format: dict[str, str] = {}
    plain_keys: list[str] = []


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Manifest(Spec):
    """The content of ``proml.yaml``.

    Attributes:
        format: Version of this layout.
        created: When the bundle was written, in bundles of before 0.2. Now equal runs write equal bundles.
        score: The output that is the model's score, such as ``component.probability``.
        classes: Names of the label's classes, in the order of the numbers of a score; empty for other tasks.
        rows: What a row consists of; in the file under ``schema``.
        lineage: What the bundle was made from.
        config: The resolved configuration of the run.
    """

    model_config = ConfigDict(validate_by_name=True, serialize_by_alias=True)

    format: Literal["proml-bundle/1"] = "proml-bundle/1"
    name: Label
    version: Label
    description: str = ""
    created: AwareDatetime | None = None
    score: str
    classes: list[str] = []
    rows: Schema = Field(alias="schema")
    lineage: dict[str, Any] = {}
    config: dict[str, Any]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the manifest of a bundle.

        Raises:
            IntegrityError: There is none, or it is not one that this version reads.
        """
        file = folder / MANIFEST
        try:
            content = yaml.load(file.read_text(encoding="utf-8"), Loader=_LOADER)  # noqa: S506 (a safe one)
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise IntegrityError.of(folder, f"cannot read {MANIFEST}: {type(error).__name__}") from error
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise IntegrityError.of(folder, f"{MANIFEST} does not have the format {FORMAT} that this version reads")
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            lines = [
                f"{MANIFEST}: {'.'.join(map(str, one['loc']))}: {one['msg']}"
                for one in error.errors(include_url=False, include_input=False)
            ]
            raise IntegrityError.of(folder, *lines) from error

    def write(self, folder: Path) -> None:
        """Write ``proml.yaml``."""
        content = self.model_dump(mode="json", exclude={"created"})
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)
        (folder / MANIFEST).write_text(text, encoding="utf-8")

    @property
    def tag(self) -> str:
        """``name:version``."""
        return f"{self.name}:{self.version}"

    @property
    def score_output(self) -> str:
        """Name what the model's score is: ``probability``, ``probabilities`` of classes, or ``mean``."""
        return OutputRef.parse(self.score).output

    @property
    def serving(self) -> ServingSpec:
        """Return how the bundle is to be served."""
        return ServingSpec.model_validate(self.config.get("serving", {}))

    @property
    def features(self) -> FeaturesSpec:
        """Return the declared feature views."""
        self.import_extensions()
        return FeaturesSpec.model_validate(self.config["features"])

    @property
    def problem(self) -> ProblemSpec:
        """Return the declared problem."""
        self.import_extensions()
        return ProblemSpec.model_validate(self.config["problem"])

    @property
    def model(self) -> ModelSpec:
        """Return the declared model."""
        self.import_extensions()
        return ModelSpec.model_validate(self.config["model"])

    def import_extensions(self) -> None:
        """Import the modules that register what the configuration names: components, aggregates, splits and so on.

        Raises:
            IntegrityError: One is not there.
        """
        for module in self.config.get("extensions", []):
            try:
                importlib.import_module(module)
            except ModuleNotFoundError as error:
                message = (
                    f"its extension needs the module '{error.name}', which is not found; put its folder on PYTHONPATH"
                )
                raise IntegrityError(Mistake("", message, where=self.tag)) from error


def describe_inputs(
    names: Mapping[str, Dtype], features: FeaturesSpec, entities: Mapping[str, str]
) -> list[InputField]:
    """Describe the inputs by what their views say of them."""
    return [_describe(name, dtype, features, entities) for name, dtype in names.items()]


def _describe(name: str, dtype: Dtype, features: FeaturesSpec, entities: Mapping[str, str]) -> InputField:
    if is_entity(name):
        key_dtype: Dtype = "int" if entities[name] == "int" else "str"
        return InputField(name=name, dtype=key_dtype, view="", request=True, entity=name, description="key")
    ref = FeatureRef.parse(name)
    spec, column = features.views[ref.view], ref.feature
    feature = spec.features.get(column)
    as_it_is = isinstance(feature, ColumnFeature) and feature.expression in (None, column)
    return InputField(
        name=name,
        dtype=dtype,
        view=ref.view,
        request=spec.is_request,
        entity=column if spec.is_request and as_it_is and entities.get(column) == dtype else None,
        description=_description(spec, column),
    )


def _description(view: FeatureViewSpec, column: str) -> str:
    for name, feature in view.features.items():
        if isinstance(feature, ColumnFeature):
            if name == column:
                return feature.description
        elif window := next((one for one in feature.windows if f"{name}_{one}" == column), None):
            words = feature.description or f"{feature.agg} of {name}"
            return f"{words}, {'all time' if window == 'all' else f'last {window}'}"
    return ""
