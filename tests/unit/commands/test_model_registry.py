"""The registry of models: what is live, who said so and why, whatever breaks and whoever else is at work."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from evaluations import write_evaluation
from proml_kedro.artifacts import ArtifactStore
from proml_kedro.bundle import Bundle
from proml_kedro.bundle.integrity import verify
from proml_kedro.cli import cli
from proml_kedro.errors import UserError
from proml_kedro.release import registry as registry_module
from proml_kedro.release.promotion import judge
from proml_kedro.release.registry import Registered, Registry, Version
from proml_kedro.release.scored import Shelf
from proml_kedro.results import Places
from proml_kedro.serving.http.champion import Champion
from proml_kedro.spec.features import FeaturesSpec
from small import make_bundle, make_config


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three bundles of one problem."""
    return [make_bundle(tmp_path_factory.mktemp("bundle"), golden_rows=rows) for rows in (20, 21, 22)]


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "data", "sales")


def promote(registry: Registry, number: int, seen: Registered | None = None) -> None:
    seen = seen or registry.read()
    registry.promote(seen.version(number), "", (), seen, lambda: None)


def back(registry: Registry, why: str = "") -> Version:
    seen = registry.read()
    return registry.rollback(why, (), seen, lambda: None)


def stages(registry: Registry) -> list[str]:
    return [one.stage for one in registry.read().versions.values()]


def live(registry: Registry) -> Path:
    """What a server serves."""
    return Champion(registry.pointer, registry.data_dir / "newest")()


def test_versions_go_live_one_after_the_other_and_back(registry: Registry, bundles: list[Path]) -> None:
    numbers = [registry.register(one, None, "").number for one in bundles]
    assert numbers == [1, 2, 3]
    assert registry.register(bundles[1], None, "again").number == 2, "the same bundle is the same version"
    assert stages(registry) == ["challenger"] * 3
    for number in numbers:
        promote(registry, number)
        assert Bundle.load(live(registry)).digest == Bundle.load(bundles[number - 1]).digest
    assert stages(registry) == ["archived", "archived", "champion"]
    assert back(registry, "it drifted").number == 2
    assert live(registry) == registry.read().version(2).bundle
    assert back(registry).number == 1
    assert stages(registry) == ["champion", "archived", "archived"]
    with pytest.raises(UserError, match="nothing to go back to: version 1 is the first"):
        back(registry)
    with pytest.raises(UserError, match="version 1 is live"):
        registry.retire(registry.read().version(1), "")
    promote(registry, 3)
    assert back(registry).number == 1
    assert [one.action for one in registry.read().log.events].count("rollback") == 3
    assert {(one.by, one.why) for one in registry.read().log.events if one.why} == {
        (registry_module.by_whom(), "it drifted")
    }


def test_what_is_no_sound_bundle_of_the_problem_is_not_registered(
    registry: Registry, bundles: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="is of problem 'sales'; write problem=sales"):
        Registry(registry.data_dir, "visits").register(bundles[0], None, "")
    shutil.copytree(bundles[0], damaged := tmp_path / "damaged")
    (damaged / "golden.parquet").write_bytes(b"other")
    with pytest.raises(UserError, match=r"golden\.parquet was changed"):
        registry.register(damaged, None, "")
    assert not list(registry.data_dir.rglob("*.log"))
    version = registry.register(bundles[0], None, "")
    (version.bundle / "golden.parquet").write_bytes(b"other")
    shelf = Shelf(ArtifactStore(registry.data_dir), Places(str(registry.data_dir), "sales", "xgboost"), [])
    with pytest.raises(UserError, match=r"golden\.parquet was changed"):
        judge(version, None, FeaturesSpec.model_validate(make_config()["features"]), shelf)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: [lines[0].replace(b'"why": ""', b'"why": "no"'), *lines[1:]], "sales.log:2: does not follow"),
        (lambda lines: [*lines[:1], *lines[2:]], "sales.log:2: does not follow"),
        (lambda lines: [lines[1], lines[0], *lines[2:]], "sales.log:1: does not follow"),
        (lambda lines: [b"{}\n", *lines], "sales.log:1: is no line of it"),
        (lambda lines: lines[:2], "sales.json: was made by a line that sales.log does not have"),
        (lambda lines: [], "sales.json: was made by a line that sales.log does not have"),
    ],
)
def test_a_log_that_was_altered_is_refused(
    registry: Registry, bundles: list[Path], change: Callable[[list[bytes]], list[bytes]], message: str
) -> None:
    for one in bundles[:2]:
        registry.register(one, None, "")
    promote(registry, 1)
    promote(registry, 2)
    lines = registry.log.read_bytes().splitlines(keepends=True)
    registry.log.write_bytes(b"".join(change(lines)))
    before = registry.pointer.read_bytes()
    for work in (registry.read, lambda: registry.register(bundles[2], None, "")):
        with pytest.raises(UserError) as caught:
            work()
        assert message in str(caught.value)
    assert registry.pointer.read_bytes() == before


def test_a_line_that_a_killed_process_left_half_written_is_none(registry: Registry, bundles: list[Path]) -> None:
    registry.register(bundles[0], None, "")
    whole = registry.log.read_bytes()
    for cut in (1, 20, len(whole) - 2):
        registry.log.write_bytes(whole + whole[:cut])
        assert list(registry.read().versions) == [1]
    promote(registry, 1)
    assert len(registry.log.read_bytes().splitlines()) == 2
    assert live(registry) == registry.read().version(1).bundle


def test_a_line_whose_end_an_editor_took_away_is_kept(registry: Registry, bundles: list[Path]) -> None:
    for one in bundles[:2]:
        registry.register(one, None, "")
    registry.log.write_bytes(registry.log.read_bytes().removesuffix(b"\n"))
    assert registry.register(bundles[2], None, "").number == 3
    assert list(registry.read().versions) == [1, 2, 3]
    assert len(registry.log.read_bytes().splitlines()) == 3
    registry.log.write_bytes(b"[" * 100_000 + b"\n")
    with pytest.raises(UserError, match=r"sales.log:1: is no line of it"):
        registry.read()


def test_what_was_removed_by_hand_is_mended_or_refused(registry: Registry, bundles: list[Path]) -> None:
    for one in bundles:
        registry.register(one, None, "")
    promote(registry, 1)
    promote(registry, 2)
    shutil.rmtree(registry.read().version(1).folder)
    seen = registry.read()
    with pytest.raises(UserError, match="no such bundle"):
        registry.rollback("", (), seen, lambda: verify(seen.before.bundle))
    assert registry.read().champion.number == 2
    assert registry.register(bundles[0], None, "").number == 1
    assert Bundle.load(registry.read().version(1).bundle).digest == Bundle.load(bundles[0]).digest
    for broken in ({}, {"champion": "release/sales/99/bundle", "digest": seen.champion.registered.digest}):
        registry.pointer.write_text(json.dumps(broken))
        assert not registry.is_said(registry.read())
        registry.finish()
        assert live(registry) == seen.champion.bundle
    registry.retire(registry.read().version(1), "wrong")
    with pytest.raises(UserError, match="nothing to go back to"):
        back(registry)
    old = registry.read()
    registry.retire(registry.read().version(3), "wrong too")
    with pytest.raises(UserError, match="version 3 is archived meanwhile"):
        promote(registry, 3, old)
    registry.log.unlink()
    registry.pointer.unlink()
    assert registry.register(bundles[2], None, "").number == 4, "folders without a line are not overwritten"
    assert registry.data_dir.joinpath("release", "sales", "1", "bundle", "proml.yaml").is_file()


class KilledError(BaseException):
    """In place of a signal."""


def test_what_a_process_did_not_finish_the_next_one_does(
    registry: Registry, bundles: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KilledError

    for one in bundles[:2]:
        registry.register(one, None, "")
    promote(registry, 1)
    with monkeypatch.context() as changed:
        changed.setattr(registry_module, "write_whole", killed)
        with pytest.raises(KilledError):
            promote(registry, 2)
    assert live(registry) == registry.read().version(1).bundle
    assert registry.read().champion.number == 2
    registry.register(bundles[2], None, "")
    assert live(registry) == registry.read().version(2).bundle
    with monkeypatch.context() as changed:
        changed.setattr(registry_module.Registry, "_note", killed)
        with pytest.raises(KilledError):
            Registry(registry.data_dir, "sales").promote(
                registry.read().version(3), "", (), registry.read(), lambda: None
            )
    assert registry.read().champion.number == 2


def test_of_two_who_promote_at_once_one_wins_and_the_other_is_told(registry: Registry, bundles: list[Path]) -> None:
    for one in bundles:
        registry.register(one, None, "")
    promote(registry, 1)
    for first, second in ((2, 3), (3, 2), (2, 3)):
        seen = registry.read()

        def attempt(number: int, seen: Registered = seen) -> str:
            try:
                promote(registry, number, seen)
            except UserError as error:
                return str(error)
            return "live"

        with ThreadPoolExecutor(2) as pool:
            said = dict(zip((first, second), pool.map(attempt, (first, second)), strict=True))
        (winner,) = [number for number, one in said.items() if one == "live"]
        (loser,) = [one for one in said.values() if one != "live"]
        assert f"has made version {winner} live meanwhile" in loser
        assert live(registry) == registry.read().version(winner).bundle
        while registry.read().champion.number != 1:
            back(registry)


def shelf_of(registry: Registry) -> Shelf:
    return Shelf(ArtifactStore(registry.data_dir), Places(str(registry.data_dir), "sales", "xgboost"), [])


def test_what_speaks_against_a_version_is_said(registry: Registry, bundles: list[Path], tmp_path: Path) -> None:
    features: dict[str, Any] = make_config()["features"]
    good = write_evaluation(tmp_path / "good", 0.3)
    worse = write_evaluation(tmp_path / "worse", 2.0, seed=2)
    other = write_evaluation(tmp_path / "other", 0.3, day=["2024-07-01"] * 2000)
    for bundle, evaluation in zip(bundles, (good, worse, other), strict=True):
        registry.register(bundle, evaluation, "")
    first, second, third = registry.read().versions.values()
    declared, shelf = FeaturesSpec.model_validate(features), shelf_of(registry)
    assert judge(first, None, declared, shelf).against == []
    (said,) = judge(second, first, declared, shelf).against
    assert said.startswith("comparison: version 2 is worse than version 1: auc -0.")
    found = judge(first, second, declared, shelf)
    assert found.against == []
    assert found.remarks[0].startswith("comparison: version 1 is better than version 2")
    (said,) = judge(third, first, declared, shelf).against
    assert "have another 'day'" in said
    shutil.rmtree(third.folder / "evaluation")
    (said,) = judge(third, first, declared, shelf).against
    assert said.startswith("comparison: ")
    less = FeaturesSpec.model_validate({name: one for name, one in features.items() if name != "traffic"})
    (said,) = judge(first, None, less, shelf).against
    assert said == "features: it looks up what is no longer declared as it was: traffic.visits_3h, traffic.visits_all"


@pytest.fixture
def command(tmp_path: Path, make_project: Callable[[Path], Any]) -> Callable[..., Result]:
    project = make_project(tmp_path)
    for file in ("problem", "features"):
        (project.conf / file / "shop.yaml").rename(project.conf / file / "sales.yaml")
    project.edit("config.yaml", "problem: shop", "problem: sales")

    def run(*words: object) -> Result:
        options = ["--conf-source", str(project.conf), f"data_dir={project.data}"]
        return CliRunner().invoke(cli, ["model", *map(str, words), *options])

    return run


def test_commands_say_what_was_done_and_what_to_do_next(command: Callable[..., Result], bundles: list[Path]) -> None:
    assert "no version of sales is registered yet" in command("list").stdout
    nothing = command("promote")
    assert (nothing.exit_code, "no version waits" in nothing.stderr) == (2, True)
    done = command("register", bundles[0], "--why", "the first")
    assert "kedro model promote 1" in done.stdout, done.output
    assert command("register", bundles[0]).stdout == "this bundle is version 1 already (challenger)\n"
    refused = command("promote", "1")  # the shop of this project declares none of its features
    assert refused.exit_code == 1
    assert "features: it looks up" in refused.stdout
    assert "--force and --why pass over it" in refused.stderr
    assert command("promote", "1", "--force").exit_code == 2, "what is passed over needs a reason"
    forced = command("promote", "1", "--force", "--why", "we know")
    assert "version 1 of sales is live; `kedro serve sales` serves it" in forced.stdout
    assert command("promote", "1").stdout == "version 1 is live already\n"
    shown = command("show", "1").stdout
    assert "the first" in shown
    assert "although features: it looks up" in shown
    assert "we know" in shown
    (listed,) = json.loads(command("list", "--json").stdout)
    assert (listed["version"], listed["stage"], listed["metrics"]["auc"]) == (1, "champion", 0.8)
    assert command("list").stdout.splitlines()[1].startswith("1        champion  sales-xgboost:v1  auc 0.8000")
    assert command("list").stdout.splitlines()[1].endswith("we know"), "the reason of what was done last"
    assert (listed["last"]["action"], listed["last"]["why"]) == ("promote", "we know")
    for words, message in (
        (("promote", "7"), "version '7'"),
        (("promote", "best"), "'best' is no number"),
        (("promote", "1", "2"), "name one, not 1 and 2"),
        (("show", "3"), "version '3'"),
        (("rollback",), "version 1 is the first that is live"),
        (("retire", "1"), "version 1 is live"),
        (("register", "nowhere"), "neither a bundle's folder nor a run's id"),
    ):
        wrong = command(*words)
        assert (wrong.exit_code, len(wrong.stderr.splitlines())) == (2, 1), wrong.output
        assert message in wrong.stderr
