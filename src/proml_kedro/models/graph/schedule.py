"""Which components are fitted at the same time: those that do not need each other, within threads and memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from typing import TypeVar

from proml_kedro.hardware import use
from proml_kedro.spec.hardware import HardwareSpec

T = TypeVar("T")


@dataclass(frozen=True)
class Job:
    """A component to be fitted.

    Attributes:
        name: Of the component.
        after: Names of the components that have to be fitted before.
        hardware: The machine that it is fitted on.
        memory: Bytes that it holds at the least.
        alone: The kind of component of which one at a time is fitted; None for any number.
    """

    name: str
    after: frozenset[str]
    hardware: HardwareSpec
    memory: int
    alone: str | None

    def may_join(self, running: Collection[Job], run: HardwareSpec) -> bool:
        """Tell whether it can begin while others run.

        Threads of BLAS are the process's, so that all have equally many: results depend on that number, and nothing
        may depend on what runs beside.
        """
        together = [self, *running]
        return not running or (
            all(one.hardware.threads == self.hardware.threads for one in running)
            and sum(one.hardware.threads for one in together) <= run.threads
            and sum(one.memory for one in together) <= run.memory_bytes
            and (self.alone is None or all(one.alone != self.alone for one in running))
        )


def run_jobs(
    jobs: Sequence[Job],
    run: HardwareSpec,
    begin: Callable[[Job], Callable[[], T]],
    end: Callable[[Job, T], None],
) -> None:
    """Run jobs, each as soon as what it needs is done and there is room.

    What is raised is what the first one in order raises that fails, as if they had run one after the other.

    Args:
        jobs: In an order in which each comes after those that it needs.
        run: How many threads and how much memory there are.
        begin: Called in this thread when a job begins; returns the work.
        end: Called in this thread with what the work returned.
    """
    if not _any_together(jobs, run):
        for job in jobs:
            with use(job.hardware):
                done = begin(job)()
            end(job, done)
        return
    _run_together(jobs, run, begin, end)


def _any_together(jobs: Sequence[Job], run: HardwareSpec) -> bool:
    """Tell whether there are two that could run at the same time."""
    needs = _needs(jobs)
    pairs = ((one, other) for position, one in enumerate(jobs) for other in jobs[:position])
    return any(other.name not in needs[one.name] and one.may_join([other], run) for one, other in pairs)


def _needs(jobs: Sequence[Job]) -> Mapping[str, frozenset[str]]:
    """Everything that each job needs, and what that needs."""
    found: dict[str, frozenset[str]] = {}
    for job in jobs:
        found[job.name] = job.after.union(*(found[name] for name in job.after))
    return found


def _run_together(
    jobs: Sequence[Job],
    run: HardwareSpec,
    begin: Callable[[Job], Callable[[], T]],
    end: Callable[[Job, T], None],
) -> None:
    order = {job.name: position for position, job in enumerate(jobs)}
    waiting, running, done = list(jobs), dict[str, Job](), set[str]()
    failed: dict[int, BaseException] = {}
    ended: SimpleQueue[tuple[Job, T | None, BaseException | None]] = SimpleQueue()
    with ExitStack() as limits:
        while True:
            first = min(failed, default=len(jobs))  # in order, nothing behind a failure would have begun
            able = (job for job in waiting if order[job.name] < first and job.after <= done)
            job = next((one for one in able if one.may_join(running.values(), run)), None)
            if job is not None:
                if not running:
                    limits.close()
                    limits.enter_context(use(job.hardware))
                waiting.remove(job)
                running[job.name] = job
                # Whoever interrupts this thread does not wait for the others: they are daemons.
                Thread(target=_work, args=(job, begin(job), ended), name=job.name, daemon=True).start()
            elif running:
                job, result, error = ended.get()
                del running[job.name]
                if error is not None:
                    failed[order[job.name]] = error
                else:
                    end(job, result)  # type: ignore[arg-type]
                    done.add(job.name)
            else:
                break
    if failed:
        raise failed[min(failed)]


def _work(job: Job, work: Callable[[], T], ended: SimpleQueue[tuple[Job, T | None, BaseException | None]]) -> None:
    from threadpoolctl import threadpool_limits

    try:
        with threadpool_limits(limits=job.hardware.threads, user_api="openmp"):  # OpenMP's threads are a thread's own
            result = work()
    except BaseException as error:  # noqa: BLE001 - raised in the thread that waits
        ended.put((job, None, error))
    else:
        ended.put((job, result, None))
