"""Which combinations a search has, held to Hydra's own sweeper and to scikit-learn's grid."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from sklearn.model_selection import ParameterGrid

from proml_kedro import open_project
from proml_kedro.config.folders import Folders
from proml_kedro.config.sweeps import Dimension, read_sweeps
from proml_kedro.errors import UserError
from proml_kedro.search.space import Space, read_space
from searched import DEPTH, RATE, write_project

GRIDS = [
    ["a=1,2,3"],
    ["a=range(3,9)"],
    ["a=range(0,1,0.25)", "b=x,y"],
    ["a=range(9,3,-2)", "b=choice(1,'two words',[1,2])", "c=5"],
    ["a=float(range(1,4))", "+b=true,false", "c.d=null,1"],
    ["a=sort(3,1,2)", "b=str(choice(1,2))"],
    ["a=1,2", "b=3,4", "a=5,6"],
    ["a=choice(7)"],
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_project(tmp_path_factory.mktemp("calls"))


def space_of(arguments: list[str]) -> tuple[Space, list[str]]:
    fixed, dimensions, mistakes = read_sweeps(arguments, Folders(Path("nowhere")))
    assert not mistakes
    keys = tuple(one.key for one in dimensions)
    return Space(tuple(dimensions), {(): frozenset(keys)}, keys), fixed


@pytest.mark.parametrize("arguments", GRIDS, ids=" ".join)
def test_a_grid_has_the_combinations_of_hydra_in_its_order(arguments: list[str]) -> None:
    space, fixed = space_of(arguments)
    ours = [sorted([*fixed, *space.overrides(point)]) for point in space.grid()]
    (theirs,) = BasicSweeper.split_arguments(OverridesParser.create().parse_overrides(arguments), None)
    assert ours == [sorted(one) for one in theirs]
    assert space.size == len(theirs)


def test_a_grid_has_the_combinations_of_scikit_learn() -> None:
    space, _ = space_of(["a=range(0,4)", "b=range(0,3)", "c=range(0,2)"])
    theirs = ParameterGrid({"a": range(4), "b": range(3), "c": range(2)})
    assert sorted(tuple(one.values()) for one in space.grid()) == sorted((p["a"], p["b"], p["c"]) for p in theirs)


def test_a_key_of_one_choice_varies_there_alone(folder: Path) -> None:
    base, space, notices = read_space(open_project(folder, "model=trees,line", f"{DEPTH}=range(1,4)", "seed=7"))
    assert base.overrides == ["seed=7"]
    assert [space.overrides(point) for point in space.grid()] == [
        *(("model=trees", f"{DEPTH}={depth}") for depth in (1, 2, 3)),
        ("model=line",),
    ]
    assert space.size == 4
    assert notices == [f"model=line has no {DEPTH}: it does not vary there"]


def test_the_command_line_replaces_what_yaml_varies(folder: Path) -> None:
    file = folder / "conf" / "search" / "own.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"space: ['{DEPTH}=range(1,4)', '{RATE}=0.1,0.2', 'seed=1,2']\n")
    base, space, _ = read_space(open_project(folder, "search=own", f"{DEPTH}=5,6", "seed=3"))
    assert sorted(one.written for one in space.dimensions) == [f"{RATE}=0.1,0.2", f"{DEPTH}=5,6"]
    assert base.spec.seed == 3
    file.unlink()


def test_files_that_do_not_fit_are_left_out(folder: Path) -> None:
    other = folder / "conf" / "model" / "other.yaml"
    other.write_text("components: {l: {kind: linear, inputs: [no.one]}}\nscore: l\n")
    _, space, notices = read_space(open_project(folder, "model=other,line"))
    assert [space.overrides(point) for point in space.grid()] == [("model=line",)]
    assert any("model=other is left out" in one and "no.one" in one for one in notices)
    with pytest.raises(UserError, match=r"no\.one"):
        read_space(open_project(folder, "model=other,other"))
    other.unlink()


@pytest.mark.parametrize(
    ("argument", "answer"),
    [
        (f"{DEPTH}=range(3", r"write range\(START, STOP\)"),
        (f"{DEPTH}=interval(1)", r"write interval\(LOW, HIGH\)"),
        (f"{DEPTH}=range(5,5)", "no number is in this range"),
        (f"{DEPTH}=range(0,5,-1)", "no number is in this range"),
        (f"{DEPTH}=range(0,1,0)", "no number is in this range"),
        (f"{DEPTH}=range(0,1000000)", r"write interval\(LOW, HIGH\)"),
        (f"{RATE}=interval(1,1)", "holds no second number"),
        (f"{RATE}=interval(nan,1)", "holds no second number"),
        (f"{RATE}=tag(log,interval(0,1))", "begins above 0"),
        (f"{RATE}=tag(lin,interval(0,1))", "no tag 'lin'"),
        (f"{DEPTH}=tag(log,range(1,9))", "only an interval has a logarithmic scale"),
        (f"{DEPTH}=shuffle(1,2)", "search.sampler=random"),
        (f"~{DEPTH}=1,2", "what is left out has no values"),
        (f"{DEPTH}=range(-2,3)", "must be at least 0, not -2"),
        (f"{DEPTH}=range(60,67)", "must be at most 64, not 66"),
        ("model.components.trees.params.maxdepth=1,2", "Did you mean 'max_depth'"),
        ("model.components.tree.params.max_depth=1,2", "Did you mean 'trees'"),
        ("model=tree,line", "Did you mean 'trees'"),
        ("model=glob(zz*)", "fits none of"),
        (f"{DEPTH}=interval(1,9)", r"write int\(interval\(1,9\)\)"),
        (f"{DEPTH}=tag(log,interval(1,9))", r"write tag\(log,int\(interval\(1,9\)\)\)"),
        ("seed=interval(1,9)", r"write int\(interval\(1,9\)\)"),
        ("seed=1", "nothing varies"),
        ("data_dir=a,b", "'data_dir' cannot vary"),
        ("evaluation.metrics=[auc],[logloss]", "'evaluation' cannot vary"),
        ("problem.split.test_from=2024-02-10,2024-02-15", "'problem' cannot vary"),
        ("model@evaluation.baseline=line,trees", "'evaluation' cannot vary"),
        ("search.trials=5,6", "'search' cannot vary"),
    ],
)
def test_a_mistake_is_one_line_before_anything_runs(folder: Path, argument: str, answer: str) -> None:
    with pytest.raises(UserError, match=answer) as caught:
        read_space(open_project(folder, argument))
    assert len(str(caught.value).splitlines()) == 1
    assert not (folder / "data").exists()


@pytest.mark.parametrize(
    ("argument", "dimension"),
    [
        ("a=interval(1,5)", Dimension("", "a", low=1.0, high=5.0)),
        ("a=int(interval(1,5))", Dimension("", "a", low=1, high=5, whole=True)),
        ("a=tag(log,interval(1e-3,1))", Dimension("", "a", low=1e-3, high=1.0, logarithmic=True)),
    ],
)
def test_intervals_hold_both_ends(argument: str, dimension: Dimension) -> None:
    (found,) = space_of([argument])[0].dimensions
    assert (found.low, found.high, found.whole, found.logarithmic) == (
        dimension.low,
        dimension.high,
        dimension.whole,
        dimension.logarithmic,
    )
    assert found.override(found.high) == f"a={dimension.high!r}"
