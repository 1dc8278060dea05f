"""What happens around a run, without a whole run."""

from __future__ import annotations

from pathlib import Path

import pytest
from kedro.io import DataCatalog
from kedro.pipeline import Node, Pipeline

from proml_kedro import hooks, open_project
from proml_kedro.artifacts import Artifact, ArtifactStore
from proml_kedro.datasets import ArtifactDataset, RunDataset, move_links
from proml_kedro.errors import Mistake, RetriableError, UserError
from proml_kedro.results import Places
from proml_kedro.results.run_record import Failure, read_records
from proml_kedro.spec import RunSpec
from proml_kedro.workflow import Run
from proml_kedro.workflow.recipes import recipes_of
from small import make_config


def judge(run: Run, training_set: Artifact, trained_model: Artifact) -> None:
    """A pipeline of its own that starts from two results."""


def make(store: ArtifactStore, name: str, run: RunSpec, **inputs: object) -> Artifact:
    return store.build(recipes_of(run)[name], inputs, lambda folder: (folder / "content").write_text("whole"))


def test_a_refused_run_leaves_the_newest_results_what_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Other tests come after in this process.
    monkeypatch.setattr("proml_kedro.workflow.run.limit_environment", lambda hardware: None)
    run, data = RunSpec.model_validate(make_config()), tmp_path / "data"
    store = ArtifactStore(data)
    table = make(store, "tables", run)
    features = make(store, "feature_tables", run, tables=table)
    older, newer = (
        make(store, "training_set", run, tables=table, feature_tables=features, data=data) for data in ("a", "b")
    )
    links = {name: ArtifactDataset(str(tmp_path / name)) for name in ("training_set", "trained_model")}
    before = ArtifactDataset(str(tmp_path / "training_set"))
    before.save(older)  # of the two, a run of this configuration starts from the one made last
    assert before.newest() is None, "the link moves when a run has ended"
    move_links([before], data)

    catalog = DataCatalog(
        {"run": RunDataset(Run(run, store, tmp_path, Places(str(tmp_path), run.problem.name, run.model.name))), **links}
    )
    pipeline = Pipeline([Node(judge, ["run", *links], None, name="judge")])
    with pytest.raises(UserError, match="no 'trained_model' yet"):
        hooks.ProjectHooks().before_pipeline_run(pipeline, catalog)
    assert links["training_set"].newest() == older

    model = make(store, "trained_model", run, training_set=newer)
    hooks.ProjectHooks().before_pipeline_run(pipeline, catalog)
    chosen = {"training_set": newer, "trained_model": model}
    assert {name: one.load() for name, one in links.items()} == chosen
    assert links["training_set"].newest() == older
    move_links(links.values(), data)
    assert {name: one.newest() for name, one in links.items()} == chosen
    assert not list(data.glob(".*"))


def test_what_can_be_tried_again_stays_so_and_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 75 tells a scheduler; an error that is made anew on its way would end with 2."""
    run = Run.of(RunSpec.model_validate(make_config()), tmp_path)
    places = []

    def fail(*_: object, **__: object) -> None:
        raise RetriableError(Mistake("online_store", "Redis is busy"))

    monkeypatch.setattr(Run, "prepare", fail)
    catalog = DataCatalog({"run": RunDataset(run)})
    project_hooks = hooks.ProjectHooks()
    monkeypatch.setattr(project_hooks, "_where", lambda key: places.append(key) or "conf/config.yaml:7")
    with pytest.raises(RetriableError, match=r"^conf/config.yaml:7: online_store: Redis is busy$") as caught:
        project_hooks.before_pipeline_run(Pipeline([Node(print, "run", None)]), catalog)
    assert (caught.value.exit_code, places) == (75, ["online_store"])
    ((_, record),) = read_records(run.store.data_dir, print)
    assert record.state == "failed"
    assert record.error == Failure("conf/config.yaml:7: online_store: Redis is busy", retriable=True)


def test_a_run_from_python_keeps_what_can_be_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RetriableError(Mistake("seed", "a file is held"))

    monkeypatch.setattr(Run, "prepare", fail)
    project = open_project(Path(__file__).parents[2], f"data_dir={tmp_path}", "seed=3")
    with pytest.raises(RetriableError, match=r"^override 'seed=3': seed: a file is held$"):
        project.run()
    ((_, record),) = read_records(tmp_path, print)
    assert record.error == Failure("override 'seed=3': seed: a file is held", retriable=True)
    assert record.overrides == (f"data_dir={tmp_path}", "seed=3")
