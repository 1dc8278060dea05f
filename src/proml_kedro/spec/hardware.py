"""``conf/hardware/*.yaml``: the machine to run on, said once for every library."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PositiveInt, field_validator, model_validator

from proml_kedro.spec.base import Spec

_LEAST = 20_000_000
"""Bytes of each thread below which DuckDB finishes not even a table of a few thousand rows (2.0: measured)."""


def usable_cpus() -> int:
    """Processors this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _threads(value: Any) -> Any:
    # One processor is left to the system: on a busy two-core machine two threads were three times slower than one.
    return max(1, usable_cpus() - 1) if value == "auto" else value


def _memory(value: Any) -> Any:
    if isinstance(value, str) and not re.fullmatch(r"\d+(\.\d+)?\s*[MG]B", value):
        raise ValueError(f"cannot read '{value}' as an amount of memory; write 800MB or 4GB")
    return value


class EngineSpec(Spec):
    """What computes feature tables and joins in time, in place of DuckDB.

    Attributes:
        kind: ``sail``, which speaks Spark's protocol and runs inside of the run, without Java; or ``spark``, a server
            of Spark Connect. ``SPARK_REMOTE`` of the environment takes the place of either, unless a ``url`` is given.
        url: Where the server is, such as ``sc://host:15002/;use_ssl=true``. A token comes from the environment:
            ``SPARK_CONNECT_AUTHENTICATE_TOKEN``.
    """

    kind: Literal["sail", "spark"] = "sail"
    url: str | None = None

    @field_validator("url")
    @classmethod
    def _known_form(cls, value: str | None) -> str | None:
        if value is not None and not re.match(r"sc://[^/;\s]+", value):
            raise ValueError("must be of the form sc://host:15002")
        if value is not None and re.search(r";\s*(token|user_id)\s*=", value):
            raise ValueError("must hold no token; put it into SPARK_CONNECT_AUTHENTICATE_TOKEN of the environment")
        return value

    @model_validator(mode="after")
    def _sail_has_no_address(self) -> Self:
        if self.kind == "sail" and self.url is not None:
            raise ValueError("url: is for kind: spark; sail runs inside of the run")
        return self


Device = Literal["cpu", "gpu", "multi_gpu"]

DEVICES: tuple[Device, ...] = ("cpu", "gpu", "multi_gpu")
"""From the least to the most."""


class ComponentHardwareSpec(Spec):
    """Where one component is fitted; what is left out is as ``hardware`` of the run says.

    Attributes:
        device: On the processor, on one GPU, or on several. Trees take one GPU, networks several, other kinds none.
        devices: How many GPUs; of networks.
        allow_cpu: Go on without, where a GPU is asked for and there is none.
        mixed_precision: Whether a network computes in bfloat16 while it is trained.
        threads: Threads of the fit, no more than the run has; all networks of a model have the same. Components that do
            not need each other and have equally many are fitted at the same time while their threads and memory are
            within the run's; of networks, and of trees, one at a time.
    """

    device: Device | None = None
    devices: PositiveInt | None = None
    allow_cpu: bool | None = None
    mixed_precision: bool | None = None
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None


class HardwareSpec(Spec):
    """The machine.

    Attributes:
        engine: What computes feature tables and joins in time; DuckDB when left out.
        device: Where models are trained: on the processor, on one GPU, or on several, each taking a share of every
            batch of a deep component.
        devices: How many GPUs; all that there are when left out.
        allow_cpu: Go on without, where a GPU is asked for and there is none.
        memory_growth: Whether a deep component takes a GPU's memory as it needs it, rather than all at once.
        mixed_precision: Whether deep components compute in bfloat16 while they are trained; weights stay in float32.
        threads: Threads for each library that computes, reads or writes; ``auto`` is one fewer than the processors at
            hand.
        memory: How much a run may hold beside its imports and 300 MB: joins and aggregates use the disk beyond it, rows
            are read in parts, and a model that needs more is refused before it is trained. At least 20MB for each
            thread.
        precision: Floating point type of the numbers that models are given; XGBoost takes float32 in any case.
    """

    engine: EngineSpec | None = None
    device: Device = "cpu"
    devices: PositiveInt | None = None
    allow_cpu: bool = False
    memory_growth: bool = True
    mixed_precision: bool = False
    threads: Annotated[int, BeforeValidator(_threads), Field(ge=1, le=1024)] = "auto"  # type: ignore[assignment]
    memory: Annotated[str, BeforeValidator(_memory)] = "2GB"
    precision: Literal["float32", "float64"] = "float32"

    @property
    def memory_bytes(self) -> int:
        """Amount of :attr:`memory` in bytes."""
        amount, unit = self.memory[:-2], self.memory[-2:]
        return int(float(amount) * {"MB": 1_000_000, "GB": 1_000_000_000}[unit])

    @model_validator(mode="after")
    def _enough_memory(self) -> Self:
        if self.memory_bytes < _LEAST * self.threads:
            least = _LEAST * self.threads // 1_000_000
            raise ValueError(f"memory: must be at least {least}MB for {self.threads} threads, not {self.memory}")
        return self

    @property
    def wants_gpu(self) -> bool:
        """Whether models are to be trained on GPUs."""
        return self.device != "cpu"

    def of_component(self, wanted: ComponentHardwareSpec | None, devices: Sequence[Device]) -> HardwareSpec:
        """Return the machine as one component sees it.

        Args:
            wanted: What the component says.
            devices: Where its kind can be fitted, the largest last; one that does not know the run's takes that one.
        """
        said = wanted.model_dump(exclude_none=True) if wanted else {}
        if said.get("device", self.device) not in devices:
            said["device"] = devices[-1]
        return self.model_copy(update=said)

    def joined(self, others: Iterable[HardwareSpec]) -> HardwareSpec:
        """Return the machine that this and others need together, in one process.

        Args:
            others: What components need.
        """
        all_of_them = [self, *others]
        device = max((one.device for one in all_of_them), key=DEVICES.index)
        counts = [one.devices for one in all_of_them if one.wants_gpu]
        devices = None if None in counts or not counts else max(count for count in counts if count)
        allow = all(one.allow_cpu for one in all_of_them if one.wants_gpu)
        return self.model_copy(update={"device": device, "devices": devices, "allow_cpu": allow})
