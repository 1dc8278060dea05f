"""The hardware's threads, devices and precision, applied to TensorFlow and Keras."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import Any

from proml_kedro.errors import UserError
from proml_kedro.hardware import shared_machine
from proml_kedro.spec.hardware import HardwareSpec

logger = logging.getLogger(__name__)


def limit_tensorflow(threads: int, hardware: HardwareSpec | None = None) -> None:
    """Limit TensorFlow to threads and a device, and Keras to TensorFlow; before either is used.

    This works once a process: later calls change nothing. So what the components of a graph need together comes first.

    Args:
        threads: Number of threads of each operation, and of operations at once.
        hardware: On which devices it trains; the processor when left out.
    """
    machine = shared_machine() or hardware or HardwareSpec(threads=threads)
    os.environ["KERAS_BACKEND"] = "tensorflow"  # a user's keras.json may name another one
    with _quiet_import("tensorflow"):
        import tensorflow as tf
    try:
        _choose_devices(machine)
        tf.config.experimental.enable_op_determinism()  # one seed, one model, also with several threads
        tf.config.threading.set_intra_op_parallelism_threads(machine.threads)
        tf.config.threading.set_inter_op_parallelism_threads(machine.threads)
    except RuntimeError:
        logger.debug("TensorFlow runs already; it keeps the devices and threads it has")


def _choose_devices(hardware: HardwareSpec) -> None:
    """Make only the wanted GPUs visible to TensorFlow."""
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
    """Return the ``tf.distribute.Strategy`` to train with.

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
        found = (gpus or tf.config.list_logical_devices("CPU"))[: hardware.devices]
        return _mirrored(tuple(one.name for one in found))
    return tf.distribute.get_strategy()


def devices_of(model: Any, strategy: Any) -> str:
    """Name the devices that hold the weights of a model, as TensorFlow says: ``GPU:0``."""
    import tensorflow as tf

    several = strategy.num_replicas_in_sync > 1
    names = strategy.extended.worker_devices if several else [tf.convert_to_tensor(model.weights[0]).device]
    return ", ".join(name.rpartition("device:")[2] for name in names)


def placed(hardware: HardwareSpec) -> AbstractContextManager[Any]:
    """Return a scope in which a component of the processor leaves alone the GPUs that others of its graph have."""
    import tensorflow as tf

    others = not hardware.wants_gpu and tf.config.list_logical_devices("GPU")
    return tf.device("/CPU:0") if others else nullcontext()


@cache  # TensorFlow mixes up the messages of the devices of two strategies in one process
def _mirrored(devices: tuple[str, ...]) -> Any:
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(devices)


@contextmanager
def training_precision(hardware: HardwareSpec) -> Iterator[None]:
    """Let Keras layers that the block builds compute in bfloat16, if the hardware asks for that."""
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
    """Silence what TensorFlow's native code prints about the machine when it is loaded.

    It writes past Python to standard error; errors are exceptions and are not silenced.
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
