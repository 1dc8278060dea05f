"""Ways to a receiver: a webhook, a file, an e-mail. Each ends within seconds, and says in one line why it failed."""

from __future__ import annotations

import json
import os
import smtplib
import ssl
import threading
from collections.abc import Mapping
from email.message import EmailMessage
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from proml_kedro.errors import UserError
from proml_kedro.health.alerts.message import Message
from proml_kedro.spec.alerts import ReceiverSpec
from proml_kedro.spec.credentials import Credentials

TIMEOUT_S = 10.0
"""Seconds that a receiver may take for each of its answers."""
PATIENCE_S = 30.0
"""Seconds that it may take in all: one that sends a byte now and then never takes long for any."""
_PORTS = {"starttls": 587, "tls": 465, "none": 25}


class NotDeliveredError(Exception):
    """A message that did not arrive; ``str()`` of it says why, without any secret."""


def deliver(spec: ReceiverSpec, message: Message, base: Path, credentials: Credentials) -> None:
    """Send a message.

    Args:
        spec: The receiver.
        message: The message.
        base: What paths are relative to.
        credentials: Secrets by name.

    Raises:
        NotDeliveredError: It could not be sent, was not taken, or nobody knows within 30 seconds.
    """
    outcome: list[NotDeliveredError | None] = []

    def run() -> None:
        try:
            _send(spec, message, base, credentials)
        except NotDeliveredError as error:
            outcome.append(error)
        else:
            outcome.append(None)

    sending = threading.Thread(target=run, daemon=True)
    sending.start()
    sending.join(PATIENCE_S)
    if not outcome:
        took = f"it takes more than {PATIENCE_S:g} seconds" if sending.is_alive() else "it failed, as is said above"
        raise NotDeliveredError(took)
    if outcome[0] is not None:
        raise outcome[0]


def _send(spec: ReceiverSpec, message: Message, base: Path, credentials: Credentials) -> None:
    """Send a message by its receiver's way, and put in words why it fails."""
    try:
        secrets = credentials(spec.credentials) if spec.credentials else {}
        if spec.kind == "file":
            _append(base / str(spec.path), message)
        elif spec.kind == "email":
            _mail(spec, message, secrets)
        else:
            _post(spec, message, secrets)
    except smtplib.SMTPException as error:
        raise NotDeliveredError(f"the mail server refuses: {type(error).__name__}") from None
    except (OSError, HTTPException, ValueError) as error:
        # The message of such an error may hold the address, which may be a secret.
        words = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        raise NotDeliveredError(f"it cannot be reached: {words}") from None
    except UserError as error:
        raise NotDeliveredError(str(error)) from None


def _append(file: Path, message: Message) -> None:
    """Append one line, which is on the disk when this returns."""
    file.parent.mkdir(parents=True, exist_ok=True)
    line = (json.dumps(message.as_dict()) + "\n").encode()
    with file.open("ab") as stream:
        stream.write(line)
        stream.flush()
        os.fsync(stream.fileno())


def _post(spec: ReceiverSpec, message: Message, secrets: Mapping[str, Any]) -> None:
    """Post, and follow nobody elsewhere: the token would be sent along, and the message would not."""
    url = urlsplit(str(spec.url or secrets.get("url", "")))
    kinds = {"http": HTTPConnection, "https": HTTPSConnection}
    if url.scheme not in kinds or not url.hostname:
        raise NotDeliveredError(f"credentials '{spec.credentials}' hold no url that begins with http")
    headers = {"content-type": "application/json"}
    if "token" in secrets:
        headers["authorization"] = f"Bearer {secrets['token']}"
    connection = kinds[url.scheme](url.hostname, url.port, timeout=TIMEOUT_S)
    try:
        where = f"{url.path or '/'}{f'?{url.query}' if url.query else ''}"
        connection.request("POST", where, json.dumps(message.as_dict()).encode(), headers)
        status = connection.getresponse().status
    finally:
        connection.close()
    if not 200 <= status < 300:
        raise NotDeliveredError(f"it answers {status}")


def _mail(spec: ReceiverSpec, message: Message, secrets: Mapping[str, Any]) -> None:
    mail = EmailMessage()
    mail["Subject"] = " ".join(message.subject.split())
    mail["From"], mail["To"] = spec.sender, ", ".join(spec.to)
    mail.set_content(message.text)
    security = spec.security or "starttls"
    host, port = str(spec.host), spec.port or _PORTS[security]
    context = ssl.create_default_context()
    if security == "tls":
        server: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=TIMEOUT_S, context=context)
    else:
        server = smtplib.SMTP(host, port, timeout=TIMEOUT_S)
    with server:
        if security == "starttls":
            server.starttls(context=context)
        if secrets:
            server.login(str(secrets.get("username", "")), str(secrets.get("password", "")))
        refused = server.send_message(mail)
    if refused:
        raise NotDeliveredError(f"the mail server refuses {len(refused)} of {len(spec.to)} addresses")
