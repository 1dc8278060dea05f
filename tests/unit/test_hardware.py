"""Every library takes its threads from the hardware's description."""

import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
import threadpoolctl

from proml_kedro.engine.session import connect
from proml_kedro.errors import UserError
from proml_kedro.hardware import (
    check_device,
    count_gpus,
    duckdb_settings,
    limit_environment,
    use,
    xgboost_settings,
)
from proml_kedro.models.component import FitContext
from proml_kedro.models.kinds import component_of
from proml_kedro.spec import HardwareSpec
from proml_kedro.testing import INPUTS, make_examples


@pytest.mark.parametrize("threads", [1, 3])
def test_blas_and_arrow_are_held_and_let_go(threads):
    np.ones((4, 4)) @ np.ones((4, 4))  # loads BLAS
    before = pa.cpu_count(), pa.io_thread_count(), _pools()
    with use(HardwareSpec(threads=threads)):
        assert (pa.cpu_count(), pa.io_thread_count()) == (threads, threads)
        assert set(_pools()) <= set(range(1, threads + 1))
    assert (pa.cpu_count(), pa.io_thread_count(), _pools()) == before


def _pools():
    return [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]


@pytest.mark.parametrize(
    ("threads", "memory", "least"), [(1, "0GB", "20MB"), (1, "19MB", "20MB"), (4, "0.05GB", "80MB")]
)
def test_too_little_memory_is_refused_before_anything_runs(threads, memory, least):
    with pytest.raises(ValueError, match=f"memory: must be at least {least} for {threads} threads, not {memory}"):
        HardwareSpec(threads=threads, memory=memory)
    assert HardwareSpec(threads=2, memory="0.04GB").memory_bytes == 40_000_000


COUNTED = """
import os, threading
from proml_kedro.hardware import limit_environment, use
from proml_kedro.spec import HardwareSpec
hardware = HardwareSpec(threads=1, memory="300MB")
limit_environment(hardware)
most, ended = [0], threading.Event()
def count():
    while not ended.wait(0.0005):
        most[0] = max(most[0], len(os.listdir("/proc/self/task")))
counting = threading.Thread(target=count)
counting.start()
{work}
ended.set()
counting.join()
print(most[0])
"""
TABLES = """
import numpy as np, pyarrow as pa, pyarrow.parquet as pq, tempfile
from proml_kedro.engine.session import connect
table = pa.table({"a": np.arange(1_000_000), "b": np.ones(1_000_000)})
with tempfile.TemporaryDirectory() as folder, connect(hardware) as session:
    pq.write_table(table, folder + "/a.parquet")
    pq.read_table(folder + "/a.parquet")
    session.rows(f"SELECT sum(a) FROM read_parquet('{folder}/a.parquet')")
    np.ones((300, 300)) @ np.ones((300, 300))
"""
FITS = """
from proml_kedro.models.component import FitContext
from proml_kedro.models.kinds import component_of
from proml_kedro.testing import INPUTS, make_examples
made = component_of(SPEC["kind"])
component = made(made.Spec.model_validate(SPEC), INPUTS)
with use(hardware):
    component.fit(make_examples(500), make_examples(200, seed=1), FitContext(hardware, seed=0))
    component.score(make_examples(200).columns)
"""
KINDS = [
    ({"kind": "xgboost", "inputs": ["*"], "num_boost_round": 3}, 5),
    ({"kind": "mixed", "inputs": ["*"], "fixed": ["shop.price"], "random_effects": [{"entity": "shop.city"}]}, 5),
    (
        {
            "kind": "deep",
            "inputs": ["*"],
            "graph": {"body": {"block": "mlp", "of": ["embeddings", "numbers"], "units": [8]}},
            "head": {"of": ["body"]},
            "training": {"epochs": 2},
        },
        8,
    ),
]


def most_threads(work: str) -> int:
    """The most threads of the operating system at any moment of a new process: the program, and who counts, too."""
    code = COUNTED.replace("{work}", work)
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    return int(done.stdout.splitlines()[-1])


def test_one_thread_means_one_thread_in_each_pool():
    """Of Arrow's two pools, DuckDB's, the allocator's, the program, and who counts."""
    assert 1 < most_threads(TABLES) <= 6, "thirteen, while DuckDB began eight more to read and write, if for a moment"


@pytest.mark.slow
@pytest.mark.parametrize(("spec", "most"), KINDS, ids=[one["kind"] for one, _ in KINDS])
def test_one_thread_means_one_thread_in_each_pool_of_a_fit(spec, most):
    """A network has two of TensorFlow's beside Arrow's two, the allocator's, the program, and who counts."""
    assert 1 < most_threads(f"SPEC = {spec!r}{FITS}") <= most


@pytest.mark.parametrize("threads", [1, 2])
def test_duckdb_is_held(threads):
    hardware = HardwareSpec(threads=threads, memory="300MB")
    assert duckdb_settings(hardware)["threads"] == threads
    with connect(hardware) as session:
        found = session.rows("SELECT current_setting('threads'), current_setting('memory_limit')")
    assert found[0][0] == threads
    assert found[0][1].startswith("286")  # MiB


def test_xgboost_is_held():
    assert xgboost_settings(HardwareSpec(threads=2)) == {"nthread": 2, "device": "cpu"}
    kind = component_of("xgboost")
    spec = kind.Spec.model_validate({"kind": "xgboost", "inputs": ["*"], "num_boost_round": 2})
    component = kind(spec, INPUTS)
    component.fit(make_examples(100), make_examples(50), FitContext(HardwareSpec(threads=1), seed=0))
    assert '"nthread":"1"' in component._booster.save_config().replace(" ", "")


def test_what_is_loaded_later_is_held_by_its_environment(monkeypatch):
    monkeypatch.setattr(os, "environ", dict(os.environ))
    limit_environment(HardwareSpec(threads=2))
    assert {os.environ[name] for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")} == {"2"}


@pytest.mark.slow
def test_tensorflow_is_held_and_loads_in_silence():
    code = """
from proml_kedro.models.deep.devices import limit_tensorflow
limit_tensorflow(1)
import tensorflow as tf
threads = tf.config.threading
assert (threads.get_intra_op_parallelism_threads(), threads.get_inter_op_parallelism_threads()) == (1, 1)
tf.constant(1) + 1
limit_tensorflow(3)  # too late, and no reason to fail
assert threads.get_intra_op_parallelism_threads() == 1
"""
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False, env=environment
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("device", ["gpu", "multi_gpu"])
def test_a_gpu_that_is_not_there_is_told_in_one_line(device):
    if count_gpus():
        pytest.skip("there is a GPU")
    hardware = HardwareSpec(threads=1, device=device)
    with pytest.raises(UserError, match=r"hardware\.device: no GPU is found; .* hardware\.allow_cpu=true") as caught:
        check_device(hardware)
    assert "\n" not in str(caught.value)
    check_device(HardwareSpec(device=device, allow_cpu=True))
    assert xgboost_settings(HardwareSpec(threads=1, device=device, allow_cpu=True))["device"] == "cpu"


def test_more_gpus_than_there_are(monkeypatch):
    monkeypatch.setattr("proml_kedro.hardware.count_gpus", lambda: 1)
    check_device(HardwareSpec(device="gpu"))
    with pytest.raises(UserError, match=r"hardware\.devices: 4 GPUs are asked for, and 1 found"):
        check_device(HardwareSpec(device="multi_gpu", devices=4))
