"""The process of a challenger: it scores what a worker passes on, so that the champion does not wait for it.

Run by :mod:`proml_kedro.serving.http.challenger` with one argument, its settings as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from proml_kedro.errors import UserError
from proml_kedro.locks import Claims
from proml_kedro.result_folder import claim_around
from proml_kedro.serving.frames import frame, read_frame
from proml_kedro.serving.http.challenger import Settings
from proml_kedro.serving.http.direct import Answer, Answers, Asked
from proml_kedro.spec import PredictionLogSpec, ServingSpec


def main(arguments: Sequence[str]) -> None:
    """Score until the worker is gone; what is wrong with the bundle is said in one line, with exit code 2."""
    try:
        _score(Settings(**json.loads(arguments[0])))
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)


def _score(settings: Settings) -> None:
    from proml_kedro.serving.http.application import Options, Service
    from proml_kedro.serving.prediction_log import open_log
    from proml_kedro.serving.scorer import BundleScorer

    claims = Claims()  # nobody frees the bundle meanwhile
    scorer = BundleScorer(claim_around(Path(settings.bundle), claims))
    spec = ServingSpec.model_validate(settings.serving)
    predictions = PredictionLogSpec(folder=settings.log) if settings.log else spec.predictions
    log = open_log(predictions, scorer.bundle, settings.is_shadow) if predictions else None
    service = Service(scorer, spec, Options(online=settings.online, log=log))
    if settings.is_shadow:
        os.nice(10)
    try:
        asyncio.run(_answer(socket.socket(fileno=settings.socket), service.answers()))
    finally:
        if log is not None:
            log.close()


async def _answer(connection: socket.socket, answers: Mapping[str, Answers]) -> None:
    """Answer one frame after the other."""
    reader, writer = await asyncio.open_connection(sock=connection)
    writer.write(frame({"ready": True}))
    while True:
        try:
            head, body = await read_frame(reader)
            said = await _said(head, body, answers)
            writer.write(frame({"number": head["number"], "status": said.status}, orjson.dumps(said.content)))
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return


async def _said(head: Mapping[str, Any], body: bytes, answers: Mapping[str, Answers]) -> Answer:
    if time.monotonic() > head["until"]:  # nobody waits for it any more
        return Answer({}, 504)
    moment = datetime.fromisoformat(head["received_at"])
    return await answers[head["route"]](Asked(body, head["request_id"], moment, head["rows"]))


if __name__ == "__main__":
    main(sys.argv[1:])
