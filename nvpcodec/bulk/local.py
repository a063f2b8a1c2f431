"""Tasks in processes of this machine: each loads the model once, takes one task after the other.

A process that dies (killed, out of memory) is replaced, and its task tried again. A job that dies takes its
processes with it: their pipes end, and they finish the file that they are at, or not.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections import Counter, deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import FrameType

from nvpcodec.bulk.manifest import Entry
from nvpcodec.bulk.plan import Job, Task, failure
from nvpcodec.errors import NvpError

#: So often a task is begun before it is given up: it may be what kills the processes.
ATTEMPTS = 2
#: So many processes may die while they start before the job is given up.
FAILED_STARTS = 3
#: Libraries read these when they are loaded.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_PATIENCE_SECONDS = 10.0


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(tasks: Sequence[Task], job: Job, jobs: int) -> Generator[Entry, None, None]:
    """The entry of each task, as they are done, by `jobs` processes. Close it early to stop them.

    Raises
    ------
    ModelError, DeviceError
        The model or the device cannot be used.
    NvpError
        Processes die while they start.
    """
    crew = _Crew(tasks, job, jobs)
    try:
        yield from crew.entries()
    finally:
        crew.stop()


@dataclass
class _Worker:
    """A process, the pipe to it, and what it is at: nothing before it is `ready`."""

    process: SpawnProcess
    pipe: Connection
    ready: bool = False
    task: Task | None = None


class _Crew:
    def __init__(self, tasks: Sequence[Task], job: Job, jobs: int) -> None:
        self._job = job
        self._queue = deque(tasks)
        self._threads = max(1, cores() // jobs)
        self._attempts: Counter[str] = Counter()
        self._failed_starts = 0
        self._workers: list[_Worker] = []
        self._size = min(jobs, len(tasks))

    def entries(self) -> Iterator[Entry]:
        """Each entry when it arrives, until no task is left."""
        for _ in range(self._size):
            self._start()
        while self._queue or any(worker.task for worker in self._workers):
            for pipe in wait([worker.pipe for worker in self._workers]):
                worker = next(one for one in self._workers if one.pipe is pipe)
                entry = self._hear(worker)
                self._hand_out()
                if entry is not None:
                    yield entry

    def _hear(self, worker: _Worker) -> Entry | None:
        """What a worker has to say: an entry, that it is ready, why it can do nothing; or that it is dead."""
        try:
            said = worker.pipe.recv()
        except (EOFError, OSError):
            return self._replace(worker)
        if isinstance(said, NvpError):
            raise said
        worker.ready = True
        worker.task = None
        self._failed_starts = 0
        return said if isinstance(said, Entry) else None

    def _hand_out(self) -> None:
        """A task for each worker that has none. If it is dead, the next wait finds that."""
        for worker in self._workers:
            if worker.ready and worker.task is None and self._queue:
                worker.task = self._queue.popleft()
                self._attempts[worker.task.output] += 1
                with suppress(OSError):
                    worker.pipe.send(worker.task)

    def _replace(self, worker: _Worker) -> Entry | None:
        """Another for a dead worker; its task goes back, or is given up."""
        self._workers.remove(worker)
        worker.pipe.close()
        worker.process.join()
        if not worker.ready:
            self._failed_starts += 1
            if self._failed_starts >= FAILED_STARTS:
                raise NvpError(
                    f"worker processes {_end_of(worker.process)} while they start; use fewer --jobs"
                )
        given_up = None
        if worker.task is not None and self._attempts[worker.task.output] >= ATTEMPTS:
            end = _end_of(worker.process)
            given_up = failure(
                worker.task, f"{ATTEMPTS} worker processes {end} at it; is there enough memory?"
            )
        elif worker.task is not None:
            self._queue.appendleft(worker.task)
        if self._queue:
            self._start()
        return given_up

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, self._job, self._threads), daemon=True)
        with theirs, _without_interrupts():
            process.start()
        self._workers.append(_Worker(process, ours))

    def stop(self) -> None:
        """End all processes; what they are at is not finished, and leaves nothing behind."""
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join(_PATIENCE_SECONDS)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.pipe.close()
        self._workers.clear()


def _end_of(process: SpawnProcess) -> str:
    code = process.exitcode or 0
    return f"were killed (signal {-code})" if code < 0 else f"ended (status {code})"


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """A process that starts here never sees a Ctrl-C: it is this one's to stop it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(pipe: Connection, job: Job, threads: int) -> None:
    """What a process does: take a task, send its entry, until the pipe ends or it is terminated."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # libraries may lift the mask that it started with
    signal.signal(signal.SIGTERM, _leave)
    for variable in _THREAD_VARIABLES:
        os.environ.setdefault(variable, str(threads))
    with suppress(EOFError, OSError):
        try:
            from nvpcodec.bulk import work

            work.prepare(job)
        except NvpError as error:
            pipe.send(error)
            return
        except Exception as error:  # a broken installation, most likely
            pipe.send(NvpError(f"a worker cannot start: {type(error).__name__}: {error}"))
            return
        pipe.send(None)
        while True:
            pipe.send(work.convert(pipe.recv(), job))


def _leave(_signal: int, _frame: FrameType | None) -> None:
    """As an exception, so that a half-written file is removed on the way out; silently, whatever a library
    that was interrupted makes of the exception.
    """
    sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - the process ends with it
    sys.exit()
