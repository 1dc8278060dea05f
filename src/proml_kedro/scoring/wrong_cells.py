"""Cells that are not of their type, named once the engine has failed at them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace

from proml_kedro.engine.errors import EngineError, MachineError
from proml_kedro.engine.session import Session, connect
from proml_kedro.errors import UserError
from proml_kedro.models.component import Input
from proml_kedro.scoring.plan import Plan, failing
from proml_kedro.scoring.rows import Rows
from proml_kedro.spec import HardwareSpec


@dataclass(frozen=True)
class WrongCells:
    """What looks for them.

    Attributes:
        plan: What is read of the rows.
        inputs: The inputs.
        hardware: The machine.
        rows: Opens the rows in a session anew; the session that failed may be of no more use.
        where: What the rows are called in messages.
    """

    plan: Plan
    inputs: Sequence[Input]
    hardware: HardwareSpec
    rows: Callable[[Session], AbstractContextManager[Rows]]
    where: str

    @contextmanager
    def named(self) -> Iterator[None]:
        """Turn an error of the engine in the block into mistakes of the cells that made it, where there are any.

        Raises:
            UserError: Cells are not of their type.
        """
        try:
            yield
        except MachineError:
            raise
        except EngineError as error:
            with connect(self.hardware) as session, self.rows(session) as again:
                mistakes = again.wrong_cells() or list(failing(self.plan, again.relation, self.inputs))
            if mistakes:
                raise UserError(*(replace(one, where=self.where) for one in mistakes)) from error
            raise
