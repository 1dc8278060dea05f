"""What a kind of online store brings: the form in which YAML names it, its checks and its code."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from proml_kedro.features.online.store import OnlineStore


class OnlineStoreKind(ABC):
    """A kind of online store, an entry of :data:`proml_kedro.extensions.online_stores`.

    An entry's name is what stands in ``online_store:`` before ``://``, or all of it. Its module is imported whenever a
    configuration is checked, so heavy libraries are imported in :meth:`open`.

    Attributes:
        form: How the setting is written, for messages: ``redis://HOST:PORT/0``.
        password_variable: Environment variable that a password is taken from, as none may stand in a configuration;
            empty when the store needs none.
        in_data_dir: Whether stores lie in the data folder, so that a service looks for one there.
    """

    form: ClassVar[str]
    password_variable: ClassVar[str] = ""
    in_data_dir: ClassVar[bool] = False

    @abstractmethod
    def check(self, setting: str) -> None:
        """See that a setting can be meant. Nothing is opened or reached.

        Args:
            setting: What ``online_store:`` says.

        Raises:
            ValueError: It cannot; the message says what to write instead.
        """

    def place(self, setting: str, project: str, data_dir: Path) -> str:
        """Return where a problem's store is: what :meth:`open` takes, and what Feast's configuration holds.

        It begins with the entry's name and ``://``, so that the kind is found again.

        Args:
            setting: What ``online_store:`` says.
            project: The problem's name.
            data_dir: Where results are kept.
        """
        return setting

    def is_at(self, place: str, project: str) -> bool:
        """Return whether a data folder has a store at this place; asked of kinds with ``in_data_dir`` alone."""
        return self.open(place, project).exists()

    @abstractmethod
    def open(self, place: str, project: str) -> OnlineStore:
        """Open a store. One that does not exist yet is made with the first write.

        Args:
            place: What :meth:`place` returned.
            project: The problem's name. Stores of several problems may share a place.
        """
