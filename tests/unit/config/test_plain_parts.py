"""Large mappings go through Hydra as one word: what is composed is the same as when each value goes through it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proml_kedro.config import HydraConfigLoader, hydra_files, plain_parts
from proml_kedro.errors import UserError

MANY = "".join(f"    c{one}: {{dtype: float, description: 'one, of {one}'}}\n" for one in range(12))
WIDE = f"wide:\n  source: request\n  features:\n{MANY}"

SAID_ELSEWHERE: dict[str, dict[str, str]] = {
    "by the main file": {"config": "features: {wide: {features: {c1: {dtype: int}}}}"},
    "above it": {"config": "features: {wide: {features: null}}"},
    "by a new key": {"config": "features: {wide: {features: {'c.1': {dtype: int}}}}"},
    "by an experiment": {"experiment/deep": "# @package _global_\nfeatures: {wide: {features: {c1: {dtype: str}}}}\n"},
    "by a file for this place": {"experiment/deep": "# @package features.wide.features\nc1: {dtype: str}\n"},
    "by a file for a place below": {"experiment/deep": "# @package features.wide.features.c1\ndtype: str\n"},
    "by a name": {"config": "seed: ${len:${features.wide.features}}"},
    "by its value": {"problem/shop": "description: ${features.wide.features.c1.dtype}"},
    "from beside it": {
        "features/shop": "other: {source: request, features: {x: {dtype: '${...wide.features.c1.dtype}'}}}"
    },
    "by a part of a name": {"problem/shop": "description: ${features.wide.features.${evaluation.which}.dtype}"},
    "by a function": {"problem/shop": "description: '${oc.select:features.wide.features.c1.dtype}'"},
    "by a function of names": {"problem/shop": "description: '${oc.dict.keys:features.wide.features}'"},
    "inside of it": {"features/shop": "    more: {dtype: '${.c1}'}"},
}
"""What makes a difference to a large mapping, and what files it stands in, at their end."""

OVERRIDES = [
    [],
    ["features.wide.features.c1.dtype=int"],
    ["features.wide={source: request, features: {y: {dtype: float}}}"],
    ["~features.wide.features.c1"],
    ["+features.wide.features.c9999.dtype=int"],
    ["features.wide.features=null"],
    ["problem.description=${features.wide.features.c3.dtype}"],
    ["seed=3"],
]


def fast(cases: list[Any], number: int) -> list[Any]:
    """The first so many cases as fast tests, the others as slow ones."""
    return [*cases[:number], *(pytest.param(one, marks=pytest.mark.slow) for one in cases[number:])]


@pytest.fixture(autouse=True)
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve keys are many here."""
    monkeypatch.setattr(plain_parts, "LEAST_KEYS", 12)
    hydra_files._parse.cache_clear()


@pytest.fixture
def composed(conf: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Any, Any]]:
    """Values and mistakes of a configuration, with words for large parts and without."""

    def once(overrides: list[str]) -> Any:
        loader = HydraConfigLoader(conf, None, {"overrides": overrides})
        try:
            return loader.loaded.composition.written(), loader.config, loader.loaded.run.model_dump(mode="json")
        except UserError as error:
            return str(error)

    def both(*overrides: str) -> tuple[Any, Any]:
        own = once(list(overrides))
        with monkeypatch.context() as patch:
            patch.setattr(plain_parts, "LEAST_KEYS", 10**9)
            hydra_files._parse.cache_clear()
            whole = once(list(overrides))
        hydra_files._parse.cache_clear()
        return own, whole

    return both


@pytest.mark.parametrize("overrides", fast(OVERRIDES, 3), ids=str)
def test_an_override_says_something_of_it(conf: Path, composed: Any, overrides: list[str]) -> None:
    (conf / "features" / "shop.yaml").write_text(WIDE)
    own, whole = composed(*overrides)
    assert own == whole


@pytest.mark.parametrize("how", fast([*SAID_ELSEWHERE], 3))
def test_another_file_says_something_of_it(conf: Path, composed: Any, how: str) -> None:
    files = SAID_ELSEWHERE[how]
    (conf / "features" / "shop.yaml").write_text(WIDE)
    for name, text in files.items():
        file = conf / f"{name}.yaml"
        file.write_text(text if name.startswith("experiment") else f"{file.read_text()}\n{text}\n")
    own, whole = composed(*(["experiment=deep"] if "experiment/deep" in files else []))
    assert own == whole


def test_it_does_not_go_through_omegaconf_when_nobody_speaks_of_it(conf: Path) -> None:
    (conf / "features" / "shop.yaml").write_text(WIDE)
    loaded = HydraConfigLoader(conf).loaded
    assert [*loaded.composition.parts] == [("features", "wide", "features")]
    assert isinstance(loaded.composition.config.features.wide.features, str)
    assert loaded.values["features"]["wide"]["features"]["c7"] == {"dtype": "float", "description": "one, of 7"}
    loaded.values["features"]["wide"]["features"]["c7"]["dtype"] = "int"  # belongs to this composition alone
    assert HydraConfigLoader(conf).loaded.run.features.views["wide"].features["c7"].dtype == "float"


def test_mistakes_and_secrets_inside_of_it_are_found_with_their_lines(conf: Path) -> None:
    wrong = WIDE.replace("c7: {dtype: float", "c7: {dtyp: float").replace("one, of 9'", "postgresql://me:pw@host/x'")
    (conf / "features" / "shop.yaml").write_text(wrong)
    with pytest.raises(UserError) as caught:
        _ = HydraConfigLoader(conf).config
    said = str(caught.value)
    assert "conf/features/shop.yaml:11: features.wide.features.c7.dtyp: unknown key" in said
    assert "conf/features/shop.yaml:13: features.wide.features.c9.description: a password" in said


@pytest.mark.parametrize(
    "text",
    [
        "a: 1_000\nb: 1e3\nc: 010\nd: 0x1F\ne: 1:30\nf: 12:30:45\ng: .5\nh: -.inf\ni: 1.\nj: 1e-3",
        "a: 2024-01-01\nb: 2024-01-01 10:00:00\nc: yes\nd: No\ne: ~\nf: 'yes'\ng: on\nh: null\ni:",
        "a: &x {b: 1}\nc: *x\nd: {<<: *x, e: 2}",
        "a: |\n  one\n  two\nb: >\n  three\n  four\nc: \"\\u00e9\\x41\"\nd: 'it''s'",
        "é: ü\n日本: ☃\n? complex\n: value\n1: a\ntrue: b\n1.5: c",
        "a: !!str 5\nb: !!float 3\nc: !!int '7'\nd: [1, [2, {e: 3}]]",
        "# only a comment\n",
        "",
        "--- {a: 1}\n...",
    ],
)
def test_yaml_is_read_as_omegaconf_reads_it(text: str) -> None:
    from omegaconf import OmegaConf

    parsed = hydra_files._parse(text, "parsed-whole")
    assert OmegaConf.to_container(parsed.config) == OmegaConf.to_container(
        OmegaConf.create(text) if text.strip(" #\n") else OmegaConf.create()
    )
    if hydra_files._FastLoader is not None:
        import yaml

        assert repr(yaml.load(text, Loader=hydra_files._FastLoader)) == repr(
            yaml.load(text, Loader=hydra_files.get_yaml_loader())
        )
