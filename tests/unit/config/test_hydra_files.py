"""What Hydra composes when each text is parsed once: what it composes by itself, and always what the files say."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import OmegaConf

from proml_kedro.config import HydraConfigLoader
from proml_kedro.config.hydra_files import compose_files

CONF = Path(__file__).parents[3] / "conf"
MODELS = sorted(file.stem for file in (CONF / "model").glob("*.yaml"))


@pytest.mark.parametrize("model", [*MODELS[:2], *(pytest.param(one, marks=pytest.mark.slow) for one in MODELS[2:])])
def test_it_is_what_hydra_composes_by_itself(model: str) -> None:
    arguments = [f"model={model}"]
    with initialize_config_dir(str(CONF), version_base="1.3", job_name="config"):
        alone = compose("config", arguments, return_hydra_config=True)
        defaults = GlobalHydra.instance().config_loader().compute_defaults_list("config", arguments, RunMode.RUN)
    everything = [(one.package, one.config_path) for one in defaults.defaults]
    layers = [(package, file) for package, file in everything if not file.startswith("hydra/")]
    for _ in range(2):  # once parsed, once kept
        composed = compose_files(CONF, (), arguments)
        assert [(one.package, one.config_path) for one in composed.files] == layers
        choices = {group: option for group, option in alone.hydra.runtime.choices.items() if "hydra/" not in group}
        assert composed.choices == choices
        assert OmegaConf.to_container(composed.config) == _without_hydra(alone)
        composed.config.seed = -1  # changes what was composed, not what is kept


def _without_hydra(config: Any) -> Any:
    values = OmegaConf.to_container(config)
    assert isinstance(values, dict)
    del values["hydra"]
    return values


def test_files_may_speak_of_hydra(conf: Path) -> None:
    """The logging of Hydra, its folders: what is no part of a configuration here does no harm."""
    main = conf / "config.yaml"
    main.write_text(main.read_text() + "hydra: {run: {dir: elsewhere}}\n")
    deep = conf / "experiment" / "deep.yaml"
    deep.write_text(deep.read_text() + "defaults: [{override /hydra/job_logging: none}]\n")
    for overrides, depth in (([], 3), (["experiment=deep"], 9)):
        config = HydraConfigLoader(conf, None, {"overrides": overrides}).config
        assert (config["model"]["components"]["trees"]["params"]["max_depth"], "hydra" in config) == (depth, False)


def test_a_file_that_was_edited_is_read_anew_though_neither_its_size_nor_its_time_has_changed(conf: Path) -> None:
    file = conf / "model" / "forest.yaml"
    before = file.stat()
    for depth in ("3", "4", "3"):
        text = file.read_text()
        file.write_text(text.replace(f"max_depth: {7 - int(depth)}", f"max_depth: {depth}"))
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
        assert _depth(conf) == int(depth)


def test_files_of_one_text_are_files_of_their_own(conf: Path) -> None:
    (conf / "model" / "other.yaml").write_text((conf / "model" / "forest.yaml").read_text())
    loaded = HydraConfigLoader(conf, None, {"overrides": ["model=other", "model.components.trees.params.max_depth=8"]})
    assert (loaded.loaded.run.model.name, loaded.where("model.score")) == ("other", "conf/model/other.yaml:6")
    assert (_depth(conf), HydraConfigLoader(conf).loaded.run.model.name) == (3, "forest")


def _depth(conf: Path) -> Any:
    return HydraConfigLoader(conf).config["model"]["components"]["trees"]["params"]["max_depth"]
