"""``conf/serving/*.yaml``: the service that a bundle is packaged into."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from proml_kedro.errors import Mistake, unknown
from proml_kedro.spec.base import PositiveDuration, Spec


class PredictionLogSpec(Spec):
    """The log of what was asked and answered, as Parquet files. It holds data about whoever the rows are about.

    Attributes:
        folder: Where the files go; a path that is not absolute begins where the server is started.
        every: How long rows may wait for their Parquet file.
        keep: After which files are removed; null to keep them all.
    """

    folder: str
    every: PositiveDuration = timedelta(seconds=10)
    keep: PositiveDuration | None = timedelta(days=30)


class ChallengerSpec(Spec):
    """A second model beside the one that is served, the champion: to be compared with it on what is really asked for.

    Attributes:
        bundle: Its folder; a path that is not absolute begins where the server is started.
        mode: ``shadow``: it scores what the champion has answered, and nobody gets its answers. ``canary``: it answers,
            for a share of the entities.
        share: Of the entities that it scores. An entity is always scored by it or never, as long as it is the same
            bundle.
        by: The key that tells entities apart; the first one of the examples when left out.
        timeout_ms: Milliseconds after which the champion answers in the place of a canary.
    """

    bundle: str
    mode: Literal["shadow", "canary"] = "shadow"
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    by: str | None = None
    timeout_ms: Annotated[int, Field(ge=1, le=60_000)] = 1000

    @model_validator(mode="after")
    def _canary_has_a_share(self) -> Self:
        if self.mode == "canary" and "share" not in self.model_fields_set:
            raise ValueError("a canary answers a share of the entities: say which, such as `share: 0.05`")
        return self


def _http(url: str) -> str:
    """Check that a URL is HTTP's, with a host and a port, and nothing else."""
    try:
        parts = urlsplit(url)
        is_one = parts.scheme == "http" and bool(parts.hostname) and bool(parts.port)
    except ValueError:
        is_one = False
    if not is_one or parts.path not in ("", "/") or parts.query or parts.fragment or parts.username is not None:
        raise ValueError("write a host and a port, such as http://127.0.0.1:3101")
    return url.rstrip("/")


class PlaceSpec(Spec):
    """A part of the scoring that a process or host of its own does.

    Attributes:
        url: Where it answers: ``http://HOST:PORT``.
        components: Components of the model that are scored there.
        features: Whether features are looked up there.
        on_failure: What a request gets where the place does not answer: ``error`` is a 503. With ``fallback``
            components say what they say of a row of which nothing is known, and features are missing.
        timeout_ms: Milliseconds after which it does not answer.
    """

    url: Annotated[str, AfterValidator(_http)]
    components: list[str] = []
    features: bool = False
    on_failure: Literal["fallback", "error"] = "error"
    timeout_ms: Annotated[int, Field(ge=1, le=60_000)] = 500

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if not self.components and not self.features:
            raise ValueError("say what is done there: `components: [NAME]` or `features: true`")
        return self


def check_places(places: Mapping[str, PlaceSpec], components: Mapping[str, object]) -> Iterator[Mistake]:
    """Check what is done at which place: each part of a model at one place at most.

    Args:
        places: By name.
        components: The model's, by name.
    """
    taken: dict[str, str] = {}
    for name, place in places.items():
        for one in [*place.components, *(["the look-up of features"] if place.features else [])]:
            if one in place.components and one not in components:
                yield Mistake(f"serving.places.{name}.components", unknown("component", one, components))
            elif one in taken:
                yield Mistake(f"serving.places.{name}", f"{one} is done at '{taken[one]}' too; leave one of them out")
            taken[one] = name
    urls: dict[str, str] = {}
    for name, place in places.items():
        if place.url in urls:
            yield Mistake(f"serving.places.{name}.url", f"'{urls[place.url]}' is there; one port is for one place")
        urls[place.url] = name


class ServingSpec(Spec):
    """The scoring service.

    Attributes:
        max_rows: Most rows one request may hold.
        max_explained_rows: Most rows one request for explanations may hold: each costs as much as many scores.
        max_body_bytes: Largest request body that is read.
        workers: Processes; each scores with one thread.
        standby: Whether as many processes stand by as serve, with their libraries loaded, so that a change of the model
            takes about a second. Each needs as much memory as a worker.
        timeout: After which a request is given up.
        golden_rows: Test rows stored with their scores, to prove every copy of the model against.
        online: Whether features are looked up by key; the store is then part of readiness where a model needs it.
        log: A file to which every row that features were looked up for is added, with keys, moment and those features;
            nothing is written when left out. It holds data about whoever the keys are about.
        predictions: Log of every row that was asked for, with its score, features and what the components say.
        challenger: A second model beside the one that is served; null for none. It is no part of a bundle or Bento.
        places: Parts of the scoring that processes or hosts of their own do, by name. They are no part of a bundle.
        verify_key: File of a public key of Ed25519, in PEM: bundles are served only if their ``SHA256SUMS`` is signed
            by it, in ``SHA256SUMS.sig``. A path that is not absolute begins where the server is started. It is no part
            of a bundle, which must not say itself whom to trust.
        tolerance: Largest difference of a golden row's score, as a share of it where that is more than 1; of a number
            as a share of how far the golden rows' numbers lie apart.
    """

    max_rows: Annotated[int, Field(ge=1, le=100_000)] = 1000
    max_explained_rows: Annotated[int, Field(ge=1, le=1000)] = 50
    max_body_bytes: Annotated[int, Field(ge=1024)] = 1 << 20
    workers: Annotated[int, Field(ge=1, le=256)] = 1
    standby: bool = True
    timeout: PositiveDuration = timedelta(seconds=30)
    golden_rows: Annotated[int, Field(ge=1, le=10_000)] = 64
    online: bool = True
    log: str | None = None
    predictions: PredictionLogSpec | None = None
    challenger: ChallengerSpec | None = None
    places: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,40}$")], PlaceSpec] = {}
    verify_key: str | None = None
    tolerance: Annotated[float, Field(gt=0, lt=0.1)] = 1e-6
