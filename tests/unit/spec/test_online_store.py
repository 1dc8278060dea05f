"""Where online values are kept, as it may be written."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from proml_kedro.spec.run import RunSpec
from small import make_config


@pytest.mark.parametrize("place", ["sqlite", "redis://127.0.0.1:6379/0", "rediss://me@redis.example.com:6380/3"])
def test_good_places(place: str) -> None:
    assert RunSpec.model_validate({**make_config(), "online_store": place}).online_store == place


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("reddis://127.0.0.1", "'reddis' is no online store; write sqlite or redis://HOST:PORT/0"),
        ("sqllite", "'sqllite' is no online store"),
        ("redis:///0", "'redis' is no online store"),
        ("redis://me:hunter2@127.0.0.1:6379/0", "set PROML_REDIS_PASSWORD in the environment"),
    ],
)
def test_others_are_refused_and_a_password_is_not_shown(place: str, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        RunSpec.model_validate({**make_config(), "online_store": place})
    (error,) = caught.value.errors()
    assert message in error["msg"]
    assert "hunter2" not in error["msg"]
