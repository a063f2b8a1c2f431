"""Processes of this machine: real ones, some of them really killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from nvpcodec.bulk import local
from nvpcodec.bulk.manifest import Entry
from nvpcodec.bulk.plan import Task
from nvpcodec.errors import ModelError, NvpError
from nvpcodec.options import Options
from tests.bulk.helpers import check_outputs, small_job, write_image
from tests.helpers import noise

COUNT = 4


def task_for(name: str) -> Task:
    return Task(name, f"{name}.nvp", None, None, replace=False)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for index in range(COUNT):
        write_image(tmp_path / "source" / f"{index}.png", noise(index))
    return tmp_path / "source"


@pytest.fixture(autouse=True)
def _no_process_is_left() -> Iterator[None]:
    yield
    assert multiprocessing.active_children() == []


def kill_at_work(pipe: Path, times: int) -> threading.Thread:
    """Kills the one worker, so many times, as soon as it has begun to read the image that never comes."""

    def kill() -> None:
        for _ in range(times):
            stream = os.open(pipe, os.O_WRONLY)  # waits for a reader
            (worker,) = multiprocessing.active_children()
            pipe.unlink()
            os.mkfifo(pipe)  # the next worker's own: nobody takes the dying one for its reader
            worker.kill()
            os.close(stream)

    thread = threading.Thread(target=kill)
    thread.start()
    return thread


def die(*_: object) -> None:
    """What a worker does that is killed before it is ready."""
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker_is_replaced_and_its_file_tried_again(source: Path, tmp_path: Path) -> None:
    """The first image is a pipe at first; when the worker that waits there has been killed, it is a file."""
    pipe = source / "slow.png"
    os.mkfifo(pipe)

    def kill() -> None:
        stream = os.open(pipe, os.O_WRONLY)
        (worker,) = multiprocessing.active_children()
        write_image(source / "quick.png", noise(9)).replace(pipe)
        worker.kill()
        os.close(stream)

    thread = threading.Thread(target=kill)
    thread.start()
    tasks = [task_for(name) for name in ("slow.png", *(f"{index}.png" for index in range(COUNT)))]
    entries = list(local.run(tasks, small_job(source, tmp_path / "out"), 1))
    thread.join()
    assert sorted(entry.name for entry in entries) == sorted(task.name for task in tasks)
    assert [entry.error for entry in entries] == [None] * len(tasks)
    assert len(check_outputs(source, tmp_path / "out")) == len(tasks)


def test_a_file_that_kills_its_workers_is_given_up(source: Path, tmp_path: Path) -> None:
    os.mkfifo(source / "deadly.png")
    thread = kill_at_work(source / "deadly.png", local.ATTEMPTS)
    tasks = [task_for(name) for name in ("0.png", "deadly.png", "1.png")]
    entries = {entry.name: entry for entry in local.run(tasks, small_job(source, tmp_path / "out"), 1)}
    thread.join()
    assert entries["deadly.png"].error == (
        "2 worker processes were killed (signal 9) at it; is there enough memory?"
    )
    assert [entries[name].error for name in ("0.png", "1.png")] == [None, None]


def test_workers_that_die_at_their_start_stop_the_job(
    monkeypatch: pytest.MonkeyPatch, source: Path, tmp_path: Path
) -> None:
    """Whatever kills them, a job must not go on starting them for ever."""
    monkeypatch.setattr(local, "_work", die)
    with pytest.raises(NvpError, match=r"killed .signal 9. while they start; use fewer --jobs"):
        list(local.run([task_for("0.png")], small_job(source, tmp_path / "out"), 1))


def test_a_model_that_cannot_be_used_stops_the_job(source: Path, tmp_path: Path) -> None:
    job = replace(small_job(source, tmp_path / "out"), options=Options(model=str(source / "0.png")))
    with pytest.raises(ModelError, match=r"0\.png"):
        list(local.run([task_for("0.png")], job, 1))


def test_closing_early_stops_at_once_and_leaves_nothing_half_written(source: Path, tmp_path: Path) -> None:
    os.mkfifo(source / "slow.png")
    job = small_job(source, tmp_path / "out")
    with closing(local.run([task_for(name) for name in ("0.png", "slow.png", "1.png")], job, 1)) as running:
        assert next(running).name == "0.png"
        stream = os.open(source / "slow.png", os.O_WRONLY)  # the worker is at it
    os.close(stream)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["0.png.nvp"]


def test_interrupts_are_blocked_while_a_worker_starts() -> None:
    with local._without_interrupts():
        assert signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_no_tasks(source: Path, tmp_path: Path) -> None:
    nothing: list[Entry] = list(local.run([], small_job(source, tmp_path / "out"), 3))
    assert nothing == []


def test_cores() -> None:
    assert local.cores() == len(os.sched_getaffinity(0))
