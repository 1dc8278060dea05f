from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from starlette.testclient import TestClient

from proml_kedro.evaluation.result import Difference, Evaluation
from proml_kedro.marketplace.entry import FeatureUsage, list_features
from proml_kedro.marketplace.index import Market
from proml_kedro.results import ColumnDrift, DriftResult, Places, RankingFacts
from proml_kedro.workspace.app import make_app
from proml_kedro.workspace.server import hosts_of
from proml_kedro.workspace.snapshot import LiveSnapshot, Snapshot
from shop import FEATURES, HARDWARE, Shop

PORT = 4242
ROWS = 400

EVALUATION = Evaluation(
    rows=1000,
    task="binary",
    label_mean=0.25,
    positive_rate=0.25,
    candidate={"auc": 0.8, "logloss": 0.5},
    baseline={"auc": 0.7, "logloss": float("nan")},
    differences={"auc": Difference(0.1, 0.05, 0.15, 0.02, 0.01)},
    cluster_by="day",
    clusters=30,
    confidence=0.95,
    ranking=RankingFacts("visit", 100, 12, "visit"),
)
DRIFT = DriftResult(
    verdict="warn",
    reference_rows=900,
    current_rows=100,
    flagged_share=0.5,
    notices=("weekday was not checked",),
    columns=(
        ColumnDrift("price.price", "warn", ("nulls",), "nulls 0.0% → 12.7%", 0.1, 0.2, 0.5, (0.0, 0.127), 1.0, 0.0),
        ColumnDrift("score", "ok"),
    ),
)


class Site:
    """The shop with results of a model, and its page."""

    def __init__(self, shop: Shop, folder: Path) -> None:
        self.shop = shop
        self.data = folder / "data"
        self.places = Places(str(self.data), "shop", "trees")
        self.data.mkdir()
        (self.data / "shop").mkdir()
        (self.data / "shop" / "feature_tables").symlink_to(shop.views)
        self.market_file = folder / "market.sqlite"
        facts = FeatureUsage(models={"trees": ["price.price", "spending.amount_2h"]}, importance={"price.price": 0.6})
        where = "conf/features/shop.yaml:{}".format
        Market.build(self.market_file, list_features(shop.problem, shop.features, facts, where)).close()

    def result(self, name: str, content: Any) -> Path:
        """Write a file of the model `trees`: text as it is, anything else as JSON."""
        file = self.data / "shop" / "trees" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content if isinstance(content, str) else json.dumps(content))
        return file

    def training_set(self, columns: dict[str, Any]) -> Path:
        file = self.result("training_set/training_set.parquet", "")
        pq.write_table(pa.table(columns), file)
        return file

    def content(self) -> Snapshot:
        return Snapshot.of(Market(self.market_file), self.places, HARDWARE, lambda problem: {"shop": FEATURES}[problem])

    def stamp(self) -> str:
        return "1"

    def load(self) -> Snapshot:
        return self.content()

    @property
    def features(self) -> int:
        """How many are declared."""
        return len(self.shop.features.columns())

    def client(self, **options: Any) -> TestClient:
        return TestClient(make_app(LiveSnapshot(self), hosts_of(PORT)), base_url=f"http://127.0.0.1:{PORT}", **options)

    def ask(self, what: str, **params: Any) -> Any:
        answer = self.client().get(f"/api/{what}", params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture
def bare(shop: Shop, tmp_path: Path) -> Site:
    """Before any model was run."""
    return Site(shop, tmp_path)


@pytest.fixture
def site(bare: Site) -> Site:
    """After a run."""
    metrics = {**EVALUATION.as_dict(), "candidate_name": "trees", "baseline_name": "logistic"}
    bare.result("evaluation/metrics.json", metrics)
    bare.result("evaluation/importance.json", {"price.price": 0.6, "spending.amount_2h": 0.4})
    bare.result("evaluation/report.md", "# trees on the test period\n")
    bare.result("drift/drift.json", asdict(DRIFT))
    bare.result("drift/drift.html", "<!doctype html><script>document.title = 'Drift'</script>")
    bare.result("consistency/consistency.json", {"features": 3, "present": 240, "mismatches": 2, "comparisons": []})
    split = {"rows": 300, "label_mean": 0.2, "from": "2024-03-01T00:00:00+00:00", "to": "2024-03-20T00:00:00+00:00"}
    bare.result("training_set/training_set.json", {"rows": ROWS, "dropped": 0, "splits": {"train": split}})
    generator = np.random.default_rng(2)
    amount = generator.normal(10, 3, ROWS)
    bare.training_set(
        {
            "spending.amount_2h": pa.array(amount, mask=np.arange(ROWS) < 40),
            "spending.amount_all": pa.array(-2 * amount + generator.normal(0, 0.1, ROWS)),
            "price.price": pa.array(generator.normal(5, 1, ROWS)),
            "price.label": pa.array(generator.choice(["A", "B", None], ROWS).tolist(), pa.string()),
            "spending.visits_2h": pa.array(generator.poisson(3, ROWS)),
        }
    )
    return bare


@pytest.fixture
def entry(site: Site) -> Callable[[str], Any]:
    content = site.content()
    return lambda name: content.market.get(name)[0]
