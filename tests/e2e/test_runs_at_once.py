"""Runs over one data folder do not disturb each other, wherever one begins while the other is at work."""

from __future__ import annotations

import gc
import random
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kedro_process import start_kedro
from proml_kedro import open_project
from proml_kedro.artifacts import Artifact, ArtifactStore
from proml_kedro.features.feast.history import TablesHistory
from proml_kedro.project import Project
from proml_kedro.result_folder import find_damage
from proml_kedro.results import Consistency
from proml_kedro.upkeep import free
from proml_kedro.workflow import Run
from proml_kedro.workflow.plan import STEPS, needed_for
from proml_kedro.workflow.steps import features
from soaked import note

pytestmark = pytest.mark.e2e

OURS: tuple[str, ...] = ()
OTHERS = {
    "other values": ("features.orders.features.spent.expression=amount*1000",),
    "other features": ("features.orders.features.spent.windows=[2d]", "remove_used_features=true"),
    "another model": ("model=logistic",),
    "the same": (),
}
WANTED = ("training_set", "consistency")


def walk(project: Project) -> Iterator[dict[str, Artifact]]:
    """Make results step by step; yields what is made, after each."""
    run = Run(project.spec, ArtifactStore(project.data_dir, project.spec.reuse), project.base_path, project.places)
    run.prepare()
    made: dict[str, Artifact] = {}
    for name in needed_for(WANTED):
        step = STEPS[name]
        made[name] = step.function(run, *(made[one] for one in step.inputs))
        yield made


def finish(steps: Iterator[dict[str, Artifact]]) -> dict[str, Artifact]:
    *_, made = steps
    return made


def contents(made: dict[str, Artifact]) -> dict[str, bytes]:
    """Every file of every result; of ``online_values``, which one run can leave further than the other, none."""
    return {
        f"{name}/{file.name}": file.read_bytes()
        for name, artifact in made.items()
        for file in sorted(artifact.path.iterdir())
        if name != "online_values"
    }


def online(data: Path) -> dict[str, list[Any]]:
    """All rows of the online store, by table."""
    connection = sqlite3.connect(data / "feature_store" / "shop" / "online.db")
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE name LIKE 'shop.%'")]
    rows = {one: sorted(connection.execute(f'SELECT entity, moment, content FROM "{one}"')) for one in sorted(tables)}
    connection.close()
    return rows


_ALONE: dict[tuple[str, ...], Any] = {}


@pytest.fixture
def alone(shop: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """What a configuration gives when nobody else is there: contents of its results, and of the online store."""

    def look(overrides: tuple[str, ...]) -> Any:
        if overrides not in _ALONE:
            data = tmp_path_factory.mktemp("alone")
            made = finish(walk(open_project(shop.folder, f"data_dir={data}", *overrides)))
            _ALONE[overrides] = contents(made), online(data)
        return _ALONE[overrides]

    return look


LAST = len(needed_for(WANTED)) - 1
PLACES = [
    pytest.param(name, after, marks=[] if (name, after) == ("other values", LAST) else [pytest.mark.slow])
    for name in OTHERS
    for after in range(1, LAST + 1)
]


@pytest.mark.parametrize(("other", "after"), PLACES)
def test_another_run_between_two_steps(shop: Any, alone: Any, other: str, after: int) -> None:
    mine = walk(open_project(shop.folder, f"data_dir={shop.data}", *OURS))
    for _ in range(after):
        next(mine)
    theirs = finish(walk(open_project(shop.folder, f"data_dir={shop.data}", *OTHERS[other])))
    made = finish(mine)
    assert contents(made) == alone(OURS)[0]
    assert contents(theirs) == alone(OTHERS[other])[0]
    assert Consistency.read(made["consistency"].path).mismatches == 0
    assert online(shop.data) == alone(OURS)[1], "what is looked at last is what ours has put there"


@pytest.mark.parametrize(
    ("owner", "name"), [(TablesHistory, "join"), (features, "register_features")], ids=["join", "register"]
)
def test_another_run_inside_of_a_step(
    shop: Any, alone: Any, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str
) -> None:
    """It registers other features, and fills the online store with their values, just before ours reads."""
    overrides, whole, theirs = OTHERS["other values"], getattr(owner, name), []

    def after_the_other(*arguments: Any, **options: Any) -> Any:
        if not theirs:
            theirs.append({})
            theirs[0] |= finish(walk(open_project(shop.folder, f"data_dir={shop.data}", *overrides)))
        return whole(*arguments, **options)

    monkeypatch.setattr(owner, name, after_the_other)
    made = finish(walk(open_project(shop.folder, f"data_dir={shop.data}")))
    assert contents(made) == alone(OURS)[0]
    assert contents(theirs[0]) == alone(overrides)[0]
    assert online(shop.data) == alone(OURS)[1]


@pytest.mark.slow
@pytest.mark.parametrize("other", ["other values", "other features", "the same"])
def test_pairs_of_commands_at_once(shop: Any, alone: Any, other: str) -> None:
    pipelines = "--pipelines=features,materialize"
    pair = [
        start_kedro(shop.command(*overrides, pipelines)[1:], Path(__file__).parents[2])
        for overrides in (OURS, OTHERS[other])
    ]
    for one in pair:
        done = one.wait(600)
        assert done.returncode == 0, done.stderr
    for overrides in (OURS, OTHERS[other]):
        project = open_project(shop.folder, f"data_dir={shop.data}", *overrides)
        made = finish(walk(project))
        assert contents(made) == alone(overrides)[0], "what is taken over is what it alone would have made"


def test_what_a_run_needs_is_not_freed_at_any_step(shop: Any, alone: Any) -> None:
    """Of a run from Python no link leads to what it has made, so that nothing but its claims can keep it."""
    free_all = open_project(shop.folder, f"data_dir={shop.data}")
    earlier = walk(open_project(shop.folder, f"data_dir={shop.data}", *OTHERS["other features"]))
    next(earlier)  # of which it takes over the tables
    mine = walk(open_project(shop.folder, f"data_dir={shop.data}"))
    made: dict[str, Artifact] = {}
    for made in mine:
        earlier.close()
        assert not {one.folder for one in free(free_all.as_run(), ())} & {one.path for one in made.values()}
        assert all(find_damage(one.path) is None for one in made.values())
    assert contents(made) == alone(OURS)[0]


@pytest.mark.slow
def test_freeing_over_and_over_during_a_command(shop: Any, alone: Any) -> None:
    free_all = open_project(shop.folder, f"data_dir={shop.data}")
    run = start_kedro(shop.command("--pipelines=features,materialize")[1:], Path(__file__).parents[2])
    times = 0
    while run.running:
        if (shop.data / "store").is_dir():
            free(free_all.as_run(), ())
            times += 1
    done = run.wait()
    assert done.returncode == 0, done.stderr
    assert times > 10
    free(free_all.as_run(), ())
    made = finish(walk(free_all))
    assert contents(made) == alone(OURS)[0]
    assert made["training_set"].path == (shop.data / "shop" / "xgboost" / "training_set").resolve()


@pytest.mark.parametrize(
    "rounds", [pytest.param(2, marks=pytest.mark.slow), pytest.param(30, marks=pytest.mark.soak, id="30 rounds")]
)
def test_random_runs_with_their_steps_in_any_order(shop: Any, alone: Any, tmp_path: Path, rounds: int) -> None:
    """Two or three runs of random configurations over one folder, and now and then what nobody needs is freed."""
    order, freed, steps = random.Random(rounds), 0, 0
    choices = [OURS, *OTHERS.values()]
    for number in range(rounds):
        data = tmp_path / f"data_{number}"
        chosen = [order.choice(choices) for _ in range(order.choice([2, 2, 3]))]
        waiting = {
            place: walk(open_project(shop.folder, f"data_dir={data}", *overrides))
            for place, overrides in enumerate(chosen)
        }
        made: dict[int, dict[str, Artifact]] = {}
        while waiting:
            place = order.choice(list(waiting))
            try:
                made[place], steps = next(waiting[place]), steps + 1
            except StopIteration:
                del waiting[place]
            if order.random() < 0.2:
                gc.collect()  # an ended run lets go of what it has claimed
                freed += len(free(open_project(shop.folder, f"data_dir={data}").as_run(), ()))
        for place, overrides in enumerate(chosen):
            kept = {name: one for name, one in made[place].items() if one.path.is_dir()}
            expected = alone(overrides)[0]
            assert contents(kept) == {key: expected[key] for key in expected if key.partition("/")[0] in kept}, chosen
            if "consistency" in kept:  # what an ended run has made may have been freed
                assert Consistency.read(kept["consistency"].path).mismatches == 0, chosen
    if rounds > 2:
        note("Random runs with their steps in any order", rounds=rounds, steps=steps, results_freed_meanwhile=freed)
