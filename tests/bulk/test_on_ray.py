"""Bulk jobs on a real Ray cluster of this machine: a head that codes nothing, and workers that get killed."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nvpcodec.bulk import on_ray
from nvpcodec.bulk.on_ray import Actors
from nvpcodec.bulk.plan import Task
from nvpcodec.errors import InputError
from nvpcodec.options import Options
from tests.bulk.helpers import (
    BROKEN,
    ROOT,
    awkward_tree,
    check_manifest,
    check_outputs,
    leftovers,
    lines,
    small_job,
    start,
    wait_for,
    write_image,
)
from tests.helpers import noise

COUNT = 40
pytestmark = pytest.mark.filterwarnings("default")  # Ray and what it imports may warn as they like


@contextmanager
def cluster_of(workers: int) -> Iterator[tuple[Any, list[Any]]]:
    """A cluster and its workers, each a machine of one core as far as Ray can tell."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        try:
            yield cluster, [cluster.add_node(num_cpus=1) for _ in range(workers)]
        finally:
            cluster.shutdown()  # type: ignore[no-untyped-call]


@pytest.mark.ray
def test_a_lost_worker_loses_nothing_and_nothing_comes_twice(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    total = awkward_tree(source, COUNT)
    manifest = target / "manifest.jsonl"
    with cluster_of(2) as (cluster, (_, lost)):
        process = start(source, target, "--verify", f"--ray={cluster.address}")
        wait_for(lambda: len(lines(manifest)) >= COUNT // 5 or process.poll() is not None)
        before = len(lines(manifest))
        cluster.remove_node(lost, allow_graceful=False)  # SIGKILL to all of that machine's processes
        assert before < total, "the kill came halfway"
        out, err = process.communicate(timeout=300)
    assert (process.returncode, out) == (1, "")
    assert err.splitlines()[-1] == f"nvpcodec: error: 2 of {total} files failed; {manifest} says why"
    entries = lines(manifest)
    assert len(entries) == total, "one line a file"
    assert {entry.output for entry in entries if entry.error} == BROKEN
    check_manifest(target, entries)
    assert len(check_outputs(source, target)) == total - len(BROKEN)


@pytest.mark.ray
@pytest.mark.skipif("NVPCODEC_SLOW_TESTS" not in os.environ, reason="set NVPCODEC_SLOW_TESTS=1: minutes")
def test_a_file_that_kills_its_actors_is_given_up(tmp_path: Path) -> None:
    """It is a pipe that never brings an image; whoever reads it is killed."""
    for index in range(3):
        write_image(tmp_path / "source" / f"{index}.png", noise(index))
    os.mkfifo(tmp_path / "source" / "deadly.png")
    names = ["0.png", "deadly.png", "1.png", "2.png"]
    tasks = [Task(name, f"{name}.nvp", None, None, replace=False) for name in names]
    over = threading.Event()
    with cluster_of(1) as (cluster, _):
        killer = threading.Thread(target=kill_readers, args=(tmp_path / "source" / "deadly.png", over))
        killer.start()
        try:
            job = small_job(tmp_path / "source", tmp_path / "target")
            entries = {entry.name: entry for entry in on_ray.run(tasks, job, 1, cluster.address)}
        finally:
            over.set()
            killer.join()
    assert set(entries) == set(names)
    assert "its workers died again and again" in str(entries["deadly.png"].error)
    assert [entries[f"{index}.png"].error for index in range(3)] == [None] * 3
    assert leftovers(tmp_path) == []


def kill_readers(pipe: Path, over: threading.Event) -> None:
    """SIGKILL to each process that has opened the pipe to read."""
    while not over.wait(0.05):
        try:
            stream = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # nobody reads
            continue
        for reader in readers(pipe):
            os.kill(reader, signal.SIGKILL)
        os.close(stream)


def readers(pipe: Path) -> list[int]:
    """Ids of the other processes that have the pipe open."""
    found = []
    for folder in Path("/proc").glob("[0-9]*/fd"):
        with suppress(OSError):
            if str(pipe) in (os.readlink(link) for link in folder.iterdir()):
                found.append(int(folder.parent.name))
    return [process for process in found if process != os.getpid()]


@pytest.mark.parametrize(
    ("resources", "device", "jobs", "actors"),
    [
        ({"CPU": 8.0}, "auto", None, Actors(8, 1, 0)),
        ({"CPU": 8.0}, "auto", 3, Actors(3, 1, 0)),
        ({"CPU": 8.0}, "auto", 30, Actors(8, 1, 0)),
        ({"CPU": 64.0, "GPU": 4.0}, "auto", None, Actors(4, 0, 1)),
        ({"CPU": 64.0, "GPU": 4.0}, "cuda", 2, Actors(2, 0, 1)),
        ({"CPU": 64.0, "GPU": 4.0}, "cpu", None, Actors(64, 1, 0)),
        ({}, "auto", None, Actors(1, 1, 0)),
    ],
)
def test_actors(resources: dict[str, float], device: str, jobs: int | None, actors: Actors) -> None:
    job = replace(small_job("in", "out"), options=Options(device=device))
    assert on_ray.actors_for(resources, job, jobs) == actors


def test_no_tasks_need_no_cluster() -> None:
    assert list(on_ray.run([], small_job("in", "out"), None, "nowhere:1")) == []


def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    task = Task("a.png", "a.png.nvp", None, None, replace=False)
    with pytest.raises(InputError, match=r"pip install 'nvpcodec\[ray\]'"):
        list(on_ray.run([task], small_job("in", "out"), None, ""))
