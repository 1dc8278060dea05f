"""One description of the machine, made to hold in every library."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

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


def xgboost_settings(hardware: HardwareSpec) -> dict[str, Any]:
    """Parameters of an XGBoost booster."""
    return {"nthread": hardware.threads, "device": hardware.device}


def limit_tensorflow(threads: int) -> None:
    """Hold TensorFlow to the CPU and so many threads, and Keras to TensorFlow; to be called before either is used.

    TensorFlow can be told once a process: later calls change nothing.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"  # a user's keras.json may name another one
    with _quiet_import("tensorflow"):
        import tensorflow as tf
    try:
        tf.config.set_visible_devices([], "GPU")  # otherwise it takes all memory of any that is there
        tf.config.experimental.enable_op_determinism()  # one seed, one model, also with several threads
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError:
        logger.debug("TensorFlow runs already; it keeps the threads it has")


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
