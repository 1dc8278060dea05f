"""What components say of the machine, held against their kinds and the run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from proml_kedro.errors import Mistake
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.model import ComponentSpec, ModelSpec


def check_hardware(run: HardwareSpec, models: Mapping[str, ModelSpec | None]) -> Iterator[Mistake]:
    """Find settings of components that would not be honoured.

    Args:
        run: The machine.
        models: Those that are fitted in the run, by their places in the configuration.
    """
    networks: dict[int, str] = {}
    for key, model in models.items():
        for name, spec in model.components.items() if model else ():
            here = f"{key}.components.{name}.hardware"
            yield from (Mistake(f"{here}{one.key}", one.message) for one in _check_one(spec, run))
            if spec.learns and spec.hardware_keys >= {"mixed_precision"}:
                networks.setdefault(spec.hardware_of(run).threads, f"{here}.threads")
    if len(networks) > 1:
        counts = " and ".join(map(str, networks))
        message = f"networks of a run have {counts} threads; TensorFlow has one number a process: write the same"
        yield Mistake(list(networks.values())[-1], message)


def _check_one(spec: ComponentSpec, run: HardwareSpec) -> Iterator[Mistake]:
    if spec.hardware is None:
        return
    if not spec.learns:
        yield Mistake("", f"kind '{spec.kind}' is not fitted: it learns nothing; leave hardware out")
        return
    said = spec.hardware.model_dump(exclude_none=True)
    for name in sorted(said.keys() - spec.hardware_keys):
        able = ", ".join(sorted(spec.hardware_keys))
        yield Mistake(f".{name}", f"kind '{spec.kind}' does not use it; it knows {able}")
    if said.get("device", "cpu") not in spec.devices:
        able = " or ".join(spec.devices)
        yield Mistake(".device", f"kind '{spec.kind}' cannot be fitted on '{said['device']}'; write {able}")
    if said.get("threads", 1) > run.threads:
        message = f"{said['threads']} threads, and the run has {run.threads}; write fewer, or hardware.threads="
        yield Mistake(".threads", f"{message}{said['threads']}")
