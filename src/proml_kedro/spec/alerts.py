"""``anomalies.alerts`` of ``conf/monitoring/*.yaml``: who is told of anomalies, and how often."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from proml_kedro.spec.base import Name, PositiveDuration, Spec

_NEEDED = {"webhook": (), "file": ("path",), "email": ("to", "sender", "host")}
_OWN = {"webhook": ("url",), "file": ("path",), "email": ("to", "sender", "host", "port", "security")}


class ReceiverSpec(Spec):
    """A receiver of alerts.

    Attributes:
        kind: `webhook` (JSON by POST), `file` (a line of JSON each), or `email`.
        url: Of a webhook; where it is a secret, let `credentials` hold it as `url`.
        path: Of a file, from the project's folder.
        to: Addresses of an e-mail.
        sender: Address that it is from.
        host: Its server for outgoing mail.
        port: Of that server; 587 with `starttls`, 465 with `tls`, 25 without.
        security: How the connection is encrypted.
        credentials: Name in `credentials.yml`: of a webhook with `token` or `url`, of a server with `username` and
            `password`.
    """

    kind: Literal["webhook", "file", "email"]
    url: Annotated[str, Field(pattern=r"^https?://[^/@\s]+(/\S*)?$")] | None = None
    path: str | None = None
    to: list[Annotated[str, Field(pattern=r"^[^@\s,;<>]+@[^@\s,;<>]+$")]] = []
    sender: Annotated[str, Field(pattern=r"^[^@\s,;<>]+@[^@\s,;<>]+$")] | None = None
    host: str | None = None
    port: Annotated[int, Field(ge=1, le=65_535)] | None = None
    security: Literal["starttls", "tls", "none"] | None = None
    credentials: Name | None = None

    @model_validator(mode="after")
    def _has_what_its_kind_takes(self) -> Self:
        for name in _NEEDED[self.kind]:
            if not getattr(self, name):
                raise ValueError(f"{name} is missing for kind: {self.kind}")
        others = {name for names in _OWN.values() for name in names} - set(_OWN[self.kind])
        for name in sorted(others & self.model_fields_set):
            raise ValueError(f"{name} says nothing for kind: {self.kind}; leave it out")
        if self.kind == "webhook" and self.url is None and self.credentials is None:
            raise ValueError("url is missing; write it, or credentials that hold a url")
        if self.kind == "file" and self.credentials:
            raise ValueError("credentials say nothing for kind: file; leave them out")
        if self.security == "none" and self.credentials:
            raise ValueError("security: none would send a password in the clear; write starttls or tls")
        return self


class AlertsSpec(Spec):
    """Alerts of anomalies.

    Attributes:
        receivers: Who is told, by a name of your own.
        quiet: After a message about a figure, nothing more about it within this time.
        since: Anomalies are told that end within this time before now.
        min_strength: Anomalies of less strength are not told.
        link: Address that messages lead to, such as that of the page.
    """

    receivers: dict[Name, ReceiverSpec] = {}
    quiet: PositiveDuration = timedelta(days=1)
    since: PositiveDuration = timedelta(days=3)
    min_strength: Annotated[float, Field(ge=1)] = 1.0
    link: Annotated[str, Field(pattern=r"^https?://\S+$")] | None = None
