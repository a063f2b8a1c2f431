"""Plans: where each file goes, and what counts as done."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from nvpcodec.bulk import manifest, plan
from nvpcodec.bulk.manifest import Entry, Manifest
from nvpcodec.bulk.plan import Plan
from tests.bulk.helpers import small_job


@pytest.mark.parametrize(
    ("name", "encoded"),
    [("a.png", "a.png.nvp"), ("a.jpg", "a.jpg.nvp"), ("x y/ü.TIF", "x y/ü.TIF.nvp")],
)
def test_names_of_encoded_files(name: str, encoded: str) -> None:
    assert plan.output_of(name, decoding=False) == encoded


@pytest.mark.parametrize(
    ("name", "decoded"),
    [
        ("a.png.nvp", "a.png"),
        ("a.PNG.NVP", "a.PNG"),
        ("a.jpg.nvp", "a.jpg.png"),
        ("a.nvp", "a.png"),
        ("x y/ü.tif.nvp", "x y/ü.tif.png"),
    ],
)
def test_names_of_decoded_files(name: str, decoded: str) -> None:
    assert plan.output_of(name, decoding=True) == decoded


@pytest.fixture
def record(tmp_path: Path) -> Iterator[Manifest]:
    with manifest.opened(tmp_path / "manifest.jsonl") as opened:
        yield opened


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


def outputs(made: Plan) -> list[str]:
    return [task.output for task in made.tasks]


def test_files_are_chosen_by_their_suffix(source: Path, tmp_path: Path, record: Manifest) -> None:
    for name in ("a.png", "a.jpg", "B.TIFF", "a.png.nvp", "notes.txt", "png"):
        (source / name).touch()
    made = plan.make(small_job(source, tmp_path / "out"), record)
    assert sorted(outputs(made)) == ["B.TIFF.nvp", "a.jpg.nvp", "a.png.nvp"]
    assert (made.others, made.done, made.refused) == (3, 0, ())
    assert outputs(plan.make(small_job(source, tmp_path / "out", decoding=True), record)) == ["a.png"]


def test_two_files_for_one_output_are_refused(source: Path, tmp_path: Path, record: Manifest) -> None:
    for name in ("a.nvp", "a.png.nvp", "b.nvp"):
        (source / name).touch()
    made = plan.make(small_job(source, tmp_path / "out", decoding=True), record)
    assert outputs(made) == ["b.png"]
    assert {entry.name for entry in made.refused} == {"a.nvp", "a.png.nvp"}
    assert {entry.error for entry in made.refused} == {
        "another file would become a.png as well; rename one of them"
    }


@pytest.fixture
def finished(source: Path, tmp_path: Path, record: Manifest) -> Entry:
    """One file that is done."""
    (source / "a.png").write_bytes(b"four")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.png.nvp").write_bytes(b"abc")
    version = str((source / "a.png").stat().st_mtime_ns)
    entry = Entry("a.png", "a.png.nvp", 4, version, 3, "", "", verified=False)
    record.last[entry.output] = entry
    record.made.add(entry.output)
    return entry


@pytest.mark.usefixtures("finished")
def test_what_is_done_is_not_done_again(source: Path, tmp_path: Path, record: Manifest) -> None:
    made = plan.make(small_job(source, tmp_path / "out"), record)
    assert (made.tasks, made.done) == ((), 1)


@pytest.mark.parametrize(
    "why", ["verify", "force", "gone", "cut", "source grew", "source touched", "failed last"]
)
def test_what_is_done_again(
    why: str, source: Path, tmp_path: Path, record: Manifest, finished: Entry
) -> None:
    job = small_job(source, tmp_path / "out")
    output = tmp_path / "out" / "a.png.nvp"
    match why:
        case "verify":
            job = replace(job, verify=True)
        case "force":
            job = replace(job, force=True)
        case "gone":
            output.unlink()
        case "cut":
            output.write_bytes(b"ab")
        case "source grew":
            (source / "a.png").write_bytes(b"five5")
            os.utime(source / "a.png", ns=(0, int(finished.input_version or 0)))
        case "source touched":
            os.utime(source / "a.png", ns=(0, 0))
        case "failed last":
            record.last[finished.output] = replace(finished, error="disk full")
    (task,) = plan.make(job, record).tasks
    assert task.replace, "what is there was made by us"


def test_what_others_made_is_not_to_be_replaced(source: Path, tmp_path: Path, record: Manifest) -> None:
    (source / "a.png").touch()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.png.nvp").touch()
    (task,) = plan.make(small_job(source, tmp_path / "out"), record).tasks
    assert not task.replace
