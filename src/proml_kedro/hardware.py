"""One description of the machine, made to hold in every library."""

from __future__ import annotations

import ctypes
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from proml_kedro.errors import UserError
from proml_kedro.spec.hardware import HardwareSpec

logger = logging.getLogger(__name__)


@contextmanager
def use(hardware: HardwareSpec) -> Iterator[None]:
    """Hold BLAS, OpenMP and Arrow to the hardware's threads while the block runs."""
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


def limit_environment(hardware: HardwareSpec) -> None:
    """Hold libraries that are loaded later, and child processes, to the hardware's threads."""
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
        os.environ[variable] = str(hardware.threads)


def duckdb_settings(hardware: HardwareSpec) -> dict[str, Any]:
    """Settings of a DuckDB connection."""
    return {"threads": hardware.threads, "memory_limit": hardware.memory, "TimeZone": "UTC"}


def check_device(hardware: HardwareSpec) -> None:
    """See that what is asked for is there.

    Raises:
        UserError: A GPU is asked for and there is none, or there are fewer than asked for.
    """
    if not hardware.wants_gpu or hardware.allow_cpu:
        return
    found, wanted = count_gpus(), hardware.devices or 1
    if not found:
        message = "no GPU is found; choose hardware=cpu, or go on without one: hardware.allow_cpu=true"
        raise UserError.at("hardware.device", message)
    if found < wanted:
        raise UserError.at("hardware.devices", f"{wanted} GPUs are asked for, and {found} found")


def count_gpus() -> int:
    """GPUs that CUDA's driver offers to this process; without any library that takes seconds to load."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int()
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def xgboost_settings(hardware: HardwareSpec) -> dict[str, Any]:
    """Parameters of an XGBoost booster, which takes one device."""
    on_gpu = hardware.wants_gpu and (not hardware.allow_cpu or count_gpus() > 0)
    return {"nthread": hardware.threads, "device": "cuda" if on_gpu else "cpu"}


def limit_tensorflow(threads: int, hardware: HardwareSpec | None = None) -> None:
    """Hold TensorFlow to so many threads and to a device, and Keras to TensorFlow; before either is used.

    TensorFlow can be told once a process: later calls change nothing.

    Args:
        threads: For each of its operations, and of operations at once.
        hardware: Says on which devices it trains; the processor when left out.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"  # a user's keras.json may name another one
    with _quiet_import("tensorflow"):
        import tensorflow as tf
    try:
        _choose_devices(hardware or HardwareSpec())
        tf.config.experimental.enable_op_determinism()  # one seed, one model, also with several threads
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError:
        logger.debug("TensorFlow runs already; it keeps the devices and threads it has")


def _choose_devices(hardware: HardwareSpec) -> None:
    """Show TensorFlow the GPUs that it is to use, and no other."""
    import tensorflow as tf

    found = tf.config.list_physical_devices("GPU") if hardware.wants_gpu else []
    wanted = found[: hardware.devices if hardware.device == "multi_gpu" else 1]
    tf.config.set_visible_devices(wanted, "GPU")  # otherwise it takes all memory of any that is there
    for one in wanted:
        tf.config.experimental.set_memory_growth(one, hardware.memory_growth)
    if hardware.device == "multi_gpu" and not wanted:
        parts = [tf.config.LogicalDeviceConfiguration()] * (hardware.devices or 2)
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], parts)


def tensorflow_strategy(hardware: HardwareSpec) -> Any:
    """The ``tf.distribute.Strategy`` to train with.

    Without a GPU, where that is allowed, several devices are parts of the processor: slower than one, but the same
    computation as on several GPUs.

    Raises:
        UserError: A GPU is asked for and TensorFlow finds none.
    """
    import tensorflow as tf

    gpus = tf.config.list_logical_devices("GPU") if hardware.wants_gpu else []
    if hardware.wants_gpu and not gpus and not hardware.allow_cpu:
        message = "TensorFlow finds no GPU; it needs CUDA's libraries (pip install 'tensorflow[and-cuda]'), or go on "
        raise UserError.at("hardware.device", f"{message}without one: hardware.allow_cpu=true")
    if hardware.wants_gpu and not gpus:
        logger.warning("there is no GPU; training goes on without one")
    if hardware.device == "multi_gpu":
        return _mirrored(tuple(one.name for one in gpus or tf.config.list_logical_devices("CPU")))
    return tf.distribute.get_strategy()


@cache  # TensorFlow mixes up what the devices of two strategies of one process say to each other
def _mirrored(devices: tuple[str, ...]) -> Any:
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(devices)


@contextmanager
def training_precision(hardware: HardwareSpec) -> Iterator[None]:
    """Let Keras layers that are made meanwhile compute in bfloat16, if that is asked for."""
    import keras

    before = keras.config.dtype_policy()
    if hardware.mixed_precision:
        keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


@contextmanager
def _quiet_import(package: str) -> Iterator[None]:
    """Keep the remarks to itself that TensorFlow's native code makes about the machine when it is loaded.

    They go past Python to standard error; what goes wrong is an exception and is still seen.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if package in sys.modules:
        yield
        return
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
