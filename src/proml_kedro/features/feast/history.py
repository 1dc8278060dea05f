"""Features of the past from a Feast repository, without anybody else having to know Feast."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from proml_kedro.features.online.store import NotStoredError
from proml_kedro.features.training.join import PointInTimeJoin
from proml_kedro.spec.feature_ref import FeatureRef

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from feast import FeatureStore


class FeastHistory:
    """Implementation of :class:`~proml_kedro.features.training.join.FeatureHistory` by a Feast repository.

    Args:
        repository: What :func:`~proml_kedro.features.feast.repository.open_repository` returns.
    """

    def __init__(self, repository: FeatureStore) -> None:
        self._repository = repository

    def key_types(self, view: str) -> dict[str, str]:
        """Return the key columns of a view, each ``int`` or ``str``.

        Raises:
            NotStoredError: The view is not registered.
        """
        from proml_kedro.features.feast.online_store import key_types

        with _registered():
            return key_types(self._repository.get_feature_view(view))

    def join(self, entities: pa.Table | str, features: Sequence[FeatureRef]) -> PointInTimeJoin:
        """Join features to entity rows by the repository's offline store.

        Raises:
            NotStoredError: A view is not registered.
        """
        rows: Any = entities if isinstance(entities, str) else _to_frame(entities)
        names = [one.feast for one in features]
        with _registered():
            job = self._repository.get_historical_features(rows, names, full_feature_names=True)
        join: PointInTimeJoin = job.join  # type: ignore[attr-defined]
        return join


@contextmanager
def _registered() -> Iterator[None]:
    from feast.errors import FeatureViewNotFoundException

    try:
        yield
    except FeatureViewNotFoundException as error:
        raise NotStoredError(str(error)) from error


def _to_frame(table: pa.Table) -> pd.DataFrame:
    """A table of Arrow as Feast takes entity rows; whole numbers and texts that are missing stay what they are."""
    import pandas as pd
    import pyarrow as pa

    types = {pa.int64(): pd.Int64Dtype(), pa.string(): pd.StringDtype()}
    frame: pd.DataFrame = table.to_pandas(types_mapper=types.get)
    return frame
