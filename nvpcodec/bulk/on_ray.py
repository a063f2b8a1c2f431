"""The same tasks by Ray Data: actors on the machines of a cluster, each of which loads the model once.

Ray restarts actors that die, but is not asked to repeat their tasks: it would do so for ever with a file
that kills its actor, and would wait for a lost machine with the tasks that had been sent there. Tasks that
brought no entry are given out again instead, in another pass. Doing a task twice is harmless: an output has
one name, is put there whole, and is known again by what is in it.

SRC, DST and a weights file must be the same on all machines, and nvpcodec must be installed there.
"""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, dataclass, replace
from typing import Any

from nvpcodec.bulk.manifest import Entry
from nvpcodec.bulk.plan import Job, Task, failure
from nvpcodec.errors import InputError, NvpError

#: Tasks are given to actors in blocks: this many for each actor, if blocks do not become too long for that.
_BLOCKS_AN_ACTOR = 16
_LONGEST_BLOCK = 16
#: So many passes in a row may bring nothing before what is left is given up.
_VAIN_PASSES = 2
_FIELD = "json"


@dataclass(frozen=True, slots=True)
class Actors:
    """How many actors at most, and what of a machine each takes."""

    count: int
    cpus: int
    gpus: int


def actors_for(resources: dict[str, float], job: Job, jobs: int | None) -> Actors:
    """One a GPU if there are any and they may be used, else one a core."""
    gpus = 0 if job.options.device == "cpu" else int(resources.get("GPU", 0))
    most = gpus or max(1, int(resources.get("CPU", 0)))
    return Actors(min(jobs or most, most), 0 if gpus else 1, 1 if gpus else 0)


class Converter:
    """What an actor is."""

    def __init__(self, job: Job) -> None:
        from nvpcodec.bulk import work

        self._job = job
        self._convert = work.convert
        work.prepare(job)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """A task in, its entry out; as JSON, since Arrow has no lone surrogates."""
        return {_FIELD: self._convert(Task(**json.loads(row[_FIELD])), self._job).to_json()}


def run(tasks: Sequence[Task], job: Job, jobs: int | None, address: str) -> Generator[Entry, None, None]:
    """The entry of each task, as they are done, by `jobs` actors at most.

    `address` is that of a cluster; empty for the one that Ray finds, or else starts on this machine.

    Raises
    ------
    InputError
        Ray is not installed, or there is no cluster at that address.
    NvpError
        The cluster cannot do it.
    """
    if not tasks:
        return
    job = replace(job, options=replace(job.options, model=_model_everywhere(job.options.model)))
    with _connected(address):
        left = {task.output: task for task in tasks}
        vain, longest = 0, _LONGEST_BLOCK
        while left and vain < _VAIN_PASSES:
            before = len(left)
            try:
                yield from _pass(left, job, jobs, longest)
                trouble = None
            except _ray_errors() as error:
                trouble = error
            vain = vain + 1 if len(left) == before else 0
            longest = 1
        if left and trouble is not None:
            raise NvpError(f"the Ray cluster cannot do it: {_last_line(trouble)}")
        for task in left.values():
            yield failure(task, "its workers died again and again; is there enough memory?")


def _pass(left: dict[str, Task], job: Job, jobs: int | None, longest: int) -> Iterator[Entry]:
    """Entries of tasks that are left, each of which is then left no more."""
    import ray
    import ray.data
    from ray.util.annotations import RayDeprecationWarning

    actors = actors_for(ray.cluster_resources(), job, jobs)  # type: ignore[no-untyped-call]
    count = -(-len(left) // min(longest, -(-len(left) // (_BLOCKS_AN_ACTOR * actors.count))))
    items = [{_FIELD: json.dumps(asdict(task))} for task in left.values()]
    pool = ray.data.ActorPoolStrategy(
        min_size=1, max_size=actors.count, initial_size=actors.count, max_tasks_in_flight_per_actor=2
    )
    with warnings.catch_warnings():
        # Ray will have other names for the last two; pyproject.toml excludes those versions.
        warnings.simplefilter("ignore", RayDeprecationWarning)
        dataset = ray.data.from_items(items, override_num_blocks=count).map(
            Converter,  # type: ignore[arg-type]  # a class, of which each actor makes one
            fn_constructor_args=(job,),
            compute=pool,
            num_cpus=actors.cpus,
            num_gpus=actors.gpus,
            max_restarts=-1,
            max_task_retries=0,
        )
    for row in dataset.iter_rows():
        entry = Entry.from_json(row[_FIELD])
        if left.pop(entry.output, None) is not None:
            yield entry


@contextmanager
def _connected(address: str) -> Iterator[None]:
    """Ray, quiet, for as long as it is needed."""
    # A cluster that is started here tells nobody about it.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise InputError("--ray needs Ray: pip install 'nvpcodec[ray]'") from error
    try:
        ray.init(address=address or None, log_to_driver=False, logging_level=logging.CRITICAL)
    except (ConnectionError, RuntimeError, ValueError) as error:
        where = f"at {address} " if address else ""
        raise InputError(f"Ray {where}cannot be reached: {_last_line(error)}") from error
    try:
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        context.max_errored_blocks = -1  # what a dead actor leaves undone is done in another pass
        # A thread of Ray's tells stdout of each process that died: it is our business, and no output.
        with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
            yield
    finally:
        ray.shutdown()


def _ray_errors() -> tuple[type[Exception], ...]:
    from ray.exceptions import RayError

    return (RayError,)


def _model_everywhere(model: str) -> str:
    """A weights file by its absolute path: actors run in other folders."""
    from nvpcodec import zoo

    return model if model in zoo.CURRENT else os.path.abspath(model)


def _last_line(error: Exception) -> str:
    """What went wrong, without the stacks of other processes that Ray puts before it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
