"""The laws of the open registries, to be proved by whoever writes an extension.

In a test of your own::

    def test_my_kind(tmp_path):
        check_component({"kind": "my_kind", "depth": 3}, tmp_path)

    def test_gini():
        check_metric("gini")

    def test_my_block():
        check_block({"block": "gate"})
"""

from proml_kedro.testing.aggregates import check_aggregate
from proml_kedro.testing.anomaly_detectors import check_anomaly_detector
from proml_kedro.testing.blocks import BLOCK_INPUTS, check_block
from proml_kedro.testing.components import INPUTS, TEXTS, VECTOR, check_component, make_examples
from proml_kedro.testing.drift_checks import check_drift_check
from proml_kedro.testing.heads import check_head
from proml_kedro.testing.metrics import check_metric, check_ranking_metric
from proml_kedro.testing.online_stores import check_online_store, check_two_writers
from proml_kedro.testing.producers import PRODUCER_INPUTS, check_producer
from proml_kedro.testing.splits import check_split
from proml_kedro.testing.table_readers import check_table_reader

__all__ = [
    "BLOCK_INPUTS",
    "INPUTS",
    "PRODUCER_INPUTS",
    "TEXTS",
    "VECTOR",
    "check_aggregate",
    "check_anomaly_detector",
    "check_block",
    "check_component",
    "check_drift_check",
    "check_head",
    "check_metric",
    "check_online_store",
    "check_producer",
    "check_ranking_metric",
    "check_split",
    "check_table_reader",
    "check_two_writers",
    "make_examples",
]
