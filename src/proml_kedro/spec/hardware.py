"""``conf/hardware/*.yaml``: the machine to run on, said once for every library."""

from __future__ import annotations

import os
import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from proml_kedro.spec.base import Spec


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


class HardwareSpec(Spec):
    """The machine.

    Attributes:
        device: Where models are trained.
        threads: Threads for each library that computes; ``auto`` is one fewer than the processors at hand.
        memory: Upper bound for joins and aggregates; beyond it they use the disk.
        precision: Floating point type of the numbers that models are given; XGBoost takes float32 in any case.
    """

    device: Literal["cpu"] = "cpu"
    threads: Annotated[int, BeforeValidator(_threads), Field(ge=1, le=1024)] = "auto"  # type: ignore[assignment]
    memory: Annotated[str, BeforeValidator(_memory)] = "2GB"
    precision: Literal["float32", "float64"] = "float32"
