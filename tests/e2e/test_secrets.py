"""No secret is in a record, a log or a message of a run, wherever it came from."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

OF_A_VARIABLE, OF_CREDENTIALS, TYPED = "Variableville", "Credentialville", "Typedville"


def test_secrets_are_nowhere(shop: Any) -> None:
    (shop.conf / "env").mkdir()
    (shop.conf / "env" / "credentials.yml").write_text(f"s3: {{secret: {OF_CREDENTIALS}, key: none}}\n")
    shop.environment |= {"SHOP_PLACE": OF_A_VARIABLE}
    whole = ("problem.description=${oc.env:SHOP_PLACE}", "--pipelines=features")
    runs = [
        shop.run(*whole),
        shop.run(*whole, f"+api_key={TYPED}"),
        shop.run(*whole, f"online_store=redis://me:{TYPED}@127.0.0.1:1/0"),
        shop.run(*whole, "problem.tables.orders.source=${oc.env:SHOP_PLACE}/none.csv"),
        shop.run(*whole, "seed=${oc.env:SHOP_PLACE}"),
        shop.run(*whole, "model.score=${oc.env:SHOP_PLACE}"),
    ]
    assert [one.returncode for one in runs] == [0, *[2] * 5], [one.stderr for one in runs]
    texts = [one.stdout + one.stderr for one in runs]
    records = sorted((shop.data / "runs").glob("*.json"))
    assert len(records) >= 2, "of a run that has failed too"
    texts += [one.read_text() for one in records]
    assert "${oc.env:SHOP_PLACE}" in "".join(texts)
    for secret in (OF_A_VARIABLE, OF_CREDENTIALS, TYPED):
        assert secret not in "".join(texts)
    assert all(json.loads(one.read_text())["command"] for one in records)
