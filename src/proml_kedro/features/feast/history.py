"""Features of the past from feature tables, without anybody else having to know Feast."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proml_kedro.features.online.store import NotStoredError
from proml_kedro.features.training.join import PointInTimeJoin
from proml_kedro.spec.feature_ref import FeatureRef
from proml_kedro.spec.features import FeaturesSpec
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.problem import ProblemSpec

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from feast import FeatureStore, FeatureView, RepoConfig


class _History(ABC):
    """History of views of Feast, joined by :mod:`proml_kedro.features.feast.offline_store` as Feast's retrieval is."""

    @property
    @abstractmethod
    def _config(self) -> RepoConfig:
        """Configuration of the repository."""

    @abstractmethod
    def _view(self, name: str) -> FeatureView:
        """Return a view.

        Raises:
            NotStoredError: There is none of this name.
        """

    def key_types(self, view: str) -> dict[str, str]:
        """Return the key columns of a view, each ``int`` or ``str``.

        Raises:
            NotStoredError: There is no such view.
        """
        from proml_kedro.features.feast.online_store import key_types

        return key_types(self._view(view))

    def join(self, entities: pa.Table | str, features: Sequence[FeatureRef]) -> PointInTimeJoin:
        """Join features to entity rows by the repository's offline store.

        Raises:
            NotStoredError: There is no such view.
        """
        from proml_kedro.features.feast.offline_store import join_views

        rows: Any = entities if isinstance(entities, str) else _to_frame(entities)
        views = [self._view(name) for name in dict.fromkeys(one.view for one in features)]
        return join_views(self._config, views, [one.feast for one in features], rows, full_names=True)[0]


class FeastHistory(_History):
    """Implementation of :class:`~proml_kedro.features.training.join.FeatureHistory` by what is registered with Feast.

    Args:
        repository: What :func:`~proml_kedro.features.feast.repository.open_repository` returns.
    """

    def __init__(self, repository: FeatureStore) -> None:
        self._repository = repository

    @property
    def _config(self) -> RepoConfig:
        return self._repository.config

    def _view(self, name: str) -> FeatureView:
        from feast.errors import FeatureViewNotFoundException

        try:
            return self._repository.get_feature_view(name)
        except FeatureViewNotFoundException as error:
            raise NotStoredError(str(error)) from error


class TablesHistory(_History):
    """Implementation of :class:`~proml_kedro.features.training.join.FeatureHistory` by the feature tables of one run.

    The registry, which other runs change, is not read.

    Args:
        problem: The problem.
        features: Its features, by which the tables were computed.
        tables: Folder of the feature tables.
        data_dir: Where results are kept.
        hardware: The machine, for joins.

    Raises:
        UserError: A feature table is missing.
    """

    def __init__(
        self, problem: ProblemSpec, features: FeaturesSpec, tables: Path, data_dir: Path, hardware: HardwareSpec
    ) -> None:
        from feast import FeatureView

        from proml_kedro.features.feast.repository import feast_objects, repository_config

        objects = feast_objects(problem, features, tables)
        self._views = {one.name: one for one in objects if isinstance(one, FeatureView)}
        self._repository_config = repository_config(problem, data_dir, hardware)

    @property
    def _config(self) -> RepoConfig:
        return self._repository_config

    def _view(self, name: str) -> FeatureView:
        if name not in self._views:
            raise NotStoredError(f"there is no feature view '{name}'")
        return self._views[name]


def _to_frame(table: pa.Table) -> pd.DataFrame:
    """A table of Arrow as Feast takes entity rows; whole numbers and texts that are missing stay what they are."""
    import pandas as pd
    import pyarrow as pa

    types = {pa.int64(): pd.Int64Dtype(), pa.string(): pd.StringDtype()}
    frame: pd.DataFrame = table.to_pandas(types_mapper=types.get)
    return frame
