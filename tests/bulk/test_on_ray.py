"""Bulk jobs on a real Ray cluster of this machine: a head that codes nothing, and workers that get killed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
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
    lines,
    small_job,
    started,
    wait_for,
)

COUNT = 40
pytestmark = pytest.mark.filterwarnings("default")  # Ray and what it imports may warn as they like


@contextmanager
def cluster_of(workers: int) -> Iterator[tuple[Any, list[Any]]]:
    """A cluster and its workers, each a machine of one core as far as Ray can tell."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        # Ray's workers are nice, by 15: beside other tests on all cores they would get next to nothing.
        patch.setenv("RAY_worker_niceness", "0")
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
    with (
        cluster_of(2) as (cluster, (_, lost)),
        started(source, target, "--verify", f"--ray={cluster.address}") as process,
    ):
        wait_for(lambda: len(lines(manifest)) >= COUNT // 5 or process.poll() is not None)
        before = len(lines(manifest))
        cluster.remove_node(lost, allow_graceful=False)  # SIGKILL to all of that machine's processes
        assert before < total, "the kill came halfway"
        out, err = process.communicate(timeout=300)
    assert process.returncode == 1
    assert not out or "(raylet)" in out, "Ray may print that a machine is lost, whatever it was told"
    assert err.splitlines()[-1] == f"nvpcodec: error: 2 of {total} files failed; {manifest} says why"
    entries = lines(manifest)
    assert len(entries) == total, "one line a file"
    assert {entry.output for entry in entries if entry.error} == BROKEN
    check_manifest(target, entries)
    assert len(check_outputs(source, target)) == total - len(BROKEN)


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
