"""The whole configuration of a run, and what its parts demand of each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from proml_kedro.errors import Mistake, unknown
from proml_kedro.extensions import online_stores
from proml_kedro.spec.base import Spec
from proml_kedro.spec.component_hardware import check_hardware
from proml_kedro.spec.dtype import Dtype, vector_size
from proml_kedro.spec.evaluation import EvaluationSpec
from proml_kedro.spec.features import FeatureSource, FeaturesSpec
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.inputs import components_read, input_types, matching, outputs_meant, position_of, read_by
from proml_kedro.spec.model import ComponentSpec, ModelSpec, score_output
from proml_kedro.spec.monitoring import MonitoringSpec
from proml_kedro.spec.on_demand import check_on_demand
from proml_kedro.spec.order import CircleError, in_order
from proml_kedro.spec.problem import ProblemSpec
from proml_kedro.spec.scoring import ScoringSpec
from proml_kedro.spec.search import SearchSpec
from proml_kedro.spec.serving import ServingSpec, check_places
from proml_kedro.spec.training_set import LABEL, cluster_columns


def _known_store(setting: str) -> str:
    """Check a setting by the kind of store that its scheme names."""
    name = setting.partition("://")[0]
    if name not in online_stores.names():
        forms = dict.fromkeys(online_stores.get(one).form for one in online_stores.names())
        raise ValueError(f"'{name}' is no online store; write {' or '.join(sorted(forms, reverse=True))}")
    kind = online_stores.get(name)()
    if urlsplit(setting).password:
        hint = f"; set {kind.password_variable} in the environment" if kind.password_variable else ""
        raise ValueError(f"a password does not belong into a configuration{hint}")
    kind.check(setting)
    return setting


class RunSpec(Spec):
    """Everything ``conf/config.yaml`` composes, except the catalog.

    Attributes:
        config_version: The defaults this configuration was written for.
        seed: Of every random choice.
        reuse: Take results over from earlier runs where nothing they depend on has changed.
        data_dir: Where results are kept.
        online_store: Where values are looked up when scoring: ``sqlite`` for a file in ``data_dir``, the URL of a
            Redis server, ``redis://HOST:PORT/DATABASE``, or the URL of a kind of store that an extension brings. The
            password of Redis is taken from ``PROML_REDIS_PASSWORD``.
        remove_used_features: Whether features may be removed that the newest bundle of a model still looks up.
        extensions: Modules to import first, for the components they register.
        search: What `kedro sweep` tries.
        scoring: What `kedro run --pipelines=score` scores.
    """

    config_version: int = Field(1, ge=1, le=1)
    seed: int = Field(0, ge=0, lt=2**31)
    reuse: bool = True
    data_dir: str = "data"
    online_store: Annotated[str, AfterValidator(_known_store)] = "sqlite"
    remove_used_features: bool = False
    extensions: list[str] = []
    problem: ProblemSpec
    features: FeaturesSpec
    model: ModelSpec
    hardware: HardwareSpec = HardwareSpec()
    evaluation: EvaluationSpec = EvaluationSpec()
    serving: ServingSpec = ServingSpec()
    monitoring: MonitoringSpec = MonitoringSpec()
    search: SearchSpec = SearchSpec()
    scoring: ScoringSpec | None = None


def check(run: RunSpec) -> list[Mistake]:
    """Check what no single file can know: names in one that must exist in another."""
    return [
        *_check_problem(run.problem),
        *_check_features(run.problem, run.features),
        *_check_model("model", run.model, run.problem, run.features),
        *(
            _check_model("evaluation.baseline", run.evaluation.baseline, run.problem, run.features)
            if run.evaluation.baseline
            else ()
        ),
        *_check_columns(run),
        *check_places(run.serving.places, run.model.components),
        *check_hardware(run.hardware, {"model": run.model, "evaluation.baseline": run.evaluation.baseline}),
    ]


def _check_problem(problem: ProblemSpec) -> Iterator[Mistake]:
    yield from (Mistake(f"problem.{one.key}", one.message) for one in problem.check())


def _check_features(problem: ProblemSpec, features: FeaturesSpec) -> Iterator[Mistake]:
    for name, view in features.views.items():
        if name == LABEL:
            yield Mistake(
                f"features.{name}", "is the name of the columns that hold labels; call the view something else"
            )
        lacking = [one for one in ("timestamp", "entities") if not getattr(problem.examples, one)]
        if view.is_stored and lacking:
            message = f"is read by key and moment, and problem.examples has no {' and no '.join(lacking)}"
            yield Mistake(f"features.{name}.source", f"{message}; a plain table has features of source: request only")
            continue
        for entity in view.key:
            if entity not in problem.examples.entities:
                yield Mistake(f"features.{name}.key", unknown("entity", entity, problem.examples.entities))
        if isinstance(view.source, FeatureSource) and view.source.table not in problem.tables:
            yield Mistake(f"features.{name}.source.table", unknown("table", view.source.table, problem.tables))
    yield from check_on_demand(features)


def _check_model(key: str, model: ModelSpec, problem: ProblemSpec, features: FeaturesSpec) -> Iterator[Mistake]:
    task = problem.label.task
    outputs = model.outputs(task)
    types = input_types(problem, features)
    known = [*types, *sorted(map(str, outputs))]
    yield from _check_score(key, model, problem)
    for name in sorted(set(model.components) & set(features.views)):
        yield Mistake(f"{key}.components.{name}", "a feature view has this name too; call the component something else")
    for name, spec in model.components.items():
        here = f"{key}.components.{name}"
        lacking = [one for one in spec.inputs if not any(matching(one, types)) and not outputs_meant(one, outputs)]
        for pattern in lacking:
            place = spec.input_key(spec.inputs.index(pattern))
            yield Mistake(f"{here}.{place}", unknown("feature or output", pattern, known))
        if task not in spec.tasks:
            able = ", ".join(sorted(spec.tasks))
            message = f"kind '{spec.kind}' learns tasks of these sorts: {able}; the problem's label is '{task}'"
            yield Mistake(f"{here}.kind", message)
        read = read_by(spec, types, outputs)
        mistakes = [*_check_types(spec, read), *(spec.check(read, problem) if task in spec.tasks else ())]
        if lacking:  # how many there are is wrong only because of them
            mistakes = [one for one in mistakes if one.key != spec.inputs_key]
        yield from (Mistake(f"{here}.{mistake.key}", mistake.message) for mistake in mistakes)
        if spec.needs_earlier and not model.training.warm_start:
            yield Mistake(f"{here}.{spec.needs_earlier}", "needs an earlier bundle: set training.warm_start")
    if model.rank:
        known_inputs = {name for one in model.components.values() for name in read_by(one, types, {})}
        found = model.rank.check(problem, sorted(known_inputs))
        yield from (replace(one, key=f"{key}.rank.{one.key}") for one in found)
    yield from _check_earlier(f"{key}.training", model)
    try:
        in_order({name: components_read(spec, types, outputs) for name, spec in model.components.items()})
    except CircleError as error:
        yield Mistake(f"{key}.components", f"components {error}")


def _check_earlier(key: str, model: ModelSpec) -> Iterator[Mistake]:
    """What is taken over from an earlier bundle."""
    training, learners = model.training, [name for name, spec in model.components.items() if spec.learns]
    if training.warm_start and not training.locked and not any(spec.warm_starts for spec in model.components.values()):
        yield Mistake(f"{key}.warm_start", "no component of the model can start from an earlier one")
    if training.locked and not training.warm_start:
        yield Mistake(f"{key}.locked", "needs an earlier bundle: set training.warm_start")
    for position, name in enumerate(training.locked):
        if name not in learners:
            place = f"{key}.locked.{position}"
            is_producer = name in model.components
            yield Mistake(place, f"'{name}' learns nothing" if is_producer else unknown("component", name, learners))


def _check_score(key: str, model: ModelSpec, problem: ProblemSpec) -> Iterator[Mistake]:
    task = problem.label.task
    scorer, wanted = model.components[model.score], score_output(task)
    if task in scorer.tasks and wanted not in scorer.output_names(task):
        yield Mistake(f"{key}.score", f"'{model.score}' has no output '{wanted}' to be the model's score")


def _check_types(spec: ComponentSpec, read: Mapping[str, Dtype]) -> Iterator[Mistake]:
    """An input of a type that the kind cannot read; one is enough."""
    name, dtype = next(((name, dtype) for name, dtype in read.items() if not spec.can_read(dtype)), (None, ""))
    if name is not None:
        key = spec.input_key(position_of(name, spec.inputs))
        what = "category" if dtype == "str" else dtype
        instead = "leave it out" if vector_size(dtype) is None else _INSTEAD_OF_VECTORS
        yield Mistake(key, f"'{name}' is a {what}, which kind '{spec.kind}' cannot read; {instead}")


_INSTEAD_OF_VECTORS = (
    "leave it out, make a number of it with an on-demand feature such as cosine_similarity(a, b), or give it to kind "
    "'deep'"
)


def _check_columns(run: RunSpec) -> Iterator[Mistake]:
    """Columns of the training set that other settings name."""
    columns = cluster_columns(run.problem)
    group = run.model.training.cross_fit.group
    yield from (Mistake(f"evaluation.{one.key}", one.message) for one in run.evaluation.check(run.problem))
    quantile = run.model.components[run.model.score].said_quantile
    metric = f"pinball@{quantile:g}" if quantile is not None else ""
    if run.problem.label.task == "regression" and metric and metric not in run.evaluation.metrics:
        message = f"the model's score is the quantile {quantile:g}, which metrics of means do not judge"
        yield Mistake("evaluation.metrics", f"{message}; write metrics: [{metric}]")
    if run.model.training.warm_start and run.problem.split.by == "rolling":
        message = "an earlier bundle may have learned from what later folds are tested by; write a split by time"
        yield Mistake("model.training.warm_start", message)
    types = input_types(run.problem, run.features)
    models = [one for one in (run.model, run.evaluation.baseline) if one]
    read = {name for model in models for one in model.components.values() for name in read_by(one, types, {})}
    plain = [name for name, dtype in types.items() if name in read and vector_size(dtype) is None]
    sliced = list(dict.fromkeys([*columns, *plain]))
    for position, name in enumerate(run.evaluation.slices):
        if name not in sliced:
            yield Mistake(f"evaluation.slices.{position}", unknown("column", name, sliced))
    if group is not None and group not in columns:
        yield Mistake("model.training.cross_fit.group", unknown("column", group, columns))
    watched = [*run.features.columns(), "score"]
    known = [*run.evaluation.metrics_for(run.problem.label.task, run.problem.label.ordered)]
    known += ranking.metrics if (ranking := run.evaluation.ranking_for(run.problem)) else []
    if run.search.metric is not None and run.search.metric not in known:
        yield Mistake("search.metric", unknown("metric", run.search.metric, known) + " Only what is computed decides.")
    for name in run.monitoring.gate.columns:
        if name not in watched:
            yield Mistake(f"monitoring.gate.columns.{name}", unknown("feature", name, watched))
