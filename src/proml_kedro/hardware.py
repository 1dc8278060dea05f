"""One description of the machine, made to hold in every library."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from proml_kedro.errors import UserError
from proml_kedro.spec.hardware import HardwareSpec

_SET_NAME = 15
"""``PR_SET_NAME`` of Linux."""

_VARIABLES = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "ARROW_IO_THREADS"),
    *("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"),
)
"""Variables of the environment that libraries read their number of threads from."""


@contextmanager
def use(hardware: HardwareSpec) -> Iterator[None]:
    """Limit BLAS, OpenMP and Arrow to the hardware's threads while the block runs."""
    import pyarrow as pa
    from threadpoolctl import threadpool_limits

    before = pa.cpu_count(), pa.io_thread_count()
    pa.set_cpu_count(hardware.threads)
    pa.set_io_thread_count(hardware.threads)
    try:
        with threadpool_limits(limits=hardware.threads):
            yield
    finally:
        pa.set_cpu_count(before[0])
        pa.set_io_thread_count(before[1])


def name_process(name: str) -> None:
    """Call this process by another name in lists of processes, where the machine has a way to; 15 letters at most."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_SET_NAME, name.encode(), 0, 0, 0)


_SHARED: list[HardwareSpec] = []


@contextmanager
def share(machine: HardwareSpec) -> Iterator[None]:
    """Say what all that is done in the block needs together, to libraries that are set up once a process.

    Args:
        machine: The most demanding device that is asked for, and the threads of such a library.
    """
    _SHARED.append(machine)
    try:
        yield
    finally:
        _SHARED.remove(machine)


def shared_machine() -> HardwareSpec | None:
    """Return what the innermost :func:`share` has said; None outside of any."""
    return _SHARED[-1] if _SHARED else None


def limit_environment(hardware: HardwareSpec) -> None:
    """Limit libraries that are loaded later, and child processes, to the hardware's threads; Arrow in any case."""
    for variable in _VARIABLES:
        os.environ[variable] = str(hardware.threads)
    if arrow := sys.modules.get("pyarrow"):
        arrow.set_cpu_count(hardware.threads)
        arrow.set_io_thread_count(hardware.threads)


def duckdb_settings(hardware: HardwareSpec) -> dict[str, Any]:
    """Return what a DuckDB connection is opened with; otherwise it has eight threads more, for reading and writing."""
    return {"threads": hardware.threads, "async_threads": hardware.threads, "memory_limit": hardware.memory}


def cpu_seconds() -> float:
    """Return the CPU seconds that this process has cost until now, with those of its children that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in usages)


def peak_memory() -> int:
    """Return the most bytes that this process has held until now."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def in_words(size: float) -> str:
    """Render an amount of bytes in its largest unit, which are those of ``hardware.memory``: thousands.

    >>> in_words(1_234_567), in_words(12)
    ('1.2 MB', '12 B')
    """
    amount, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.0f} B" if unit == "B" else f"{amount:.1f} {unit}"


def check_device(hardware: HardwareSpec, key: str = "hardware") -> None:
    """Check that the devices that are asked for exist.

    Args:
        hardware: The machine.
        key: Where it is declared.

    Raises:
        UserError: A GPU is asked for and there is none, or there are fewer than asked for.
    """
    if not hardware.wants_gpu or hardware.allow_cpu:
        return
    found, wanted = count_gpus(), hardware.devices or 1
    if not found:
        instead = "choose hardware=cpu" if key == "hardware" else "write device: cpu"
        message = f"no GPU is found; {instead}, or go on without one: {key}.allow_cpu=true"
        raise UserError.at(f"{key}.device", message)
    if found < wanted:
        raise UserError.at(f"{key}.devices", f"{wanted} GPUs are asked for, and {found} found")


def count_gpus() -> int:
    """Count the GPUs that CUDA's driver offers to this process, without a library that takes seconds to load."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int()
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def xgboost_settings(hardware: HardwareSpec) -> dict[str, Any]:
    """Return the parameters of an XGBoost booster, which takes one device."""
    on_gpu = hardware.wants_gpu and (not hardware.allow_cpu or count_gpus() > 0)
    return {"nthread": hardware.threads, "device": "cuda" if on_gpu else "cpu"}
