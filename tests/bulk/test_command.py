"""``nvpcodec bulk`` as it is used: interrupted, killed, run again, on trees of all sorts."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from nvpcodec import cli, imagefile
from nvpcodec.bulk.manifest import Entry
from nvpcodec.options import DEFAULT_MAX_PIXELS
from tests.bulk.helpers import (
    BROKEN,
    awkward_tree,
    check_manifest,
    check_outputs,
    leftovers,
    lines,
    started,
    wait_for,
    write_image,
)
from tests.helpers import gradient, noise
from tests.models import small_model_path

COUNT = 24


def group_is_gone(process: subprocess.Popen[str]) -> bool:
    """Whether neither the job nor any of its workers is there."""
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return True
    return False


def kill_halfway(source: Path, target: Path) -> dict[str, Entry]:
    """Kill a job and its workers after some files; what the manifest says is finished then."""
    with started(source, target, "--jobs", "2", "--verify") as process:
        wait_for(lambda: len(lines(target / "manifest.jsonl")) >= COUNT // 4 or process.poll() is not None)
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    wait_for(lambda: group_is_gone(process))
    return {entry.output: entry for entry in lines(target / "manifest.jsonl") if entry.error is None}


def test_killed_and_run_again(tmp_path: Path) -> None:
    source, target = tmp_path / "source tree", tmp_path / "target"
    total = awkward_tree(source, COUNT)
    finished = kill_halfway(source, target)
    assert 1 < len(finished) < total - len(BROKEN), "the kill came halfway"
    assert finished.keys() <= check_outputs(source, target), "what is there is whole"
    times = {name: (target / name).stat().st_mtime_ns for name in finished}

    # What a kill at other moments leaves: an output without its line, half a line, half a file.
    manifest = target / "manifest.jsonl"
    *kept, last = manifest.read_bytes().splitlines(keepends=True)
    manifest.write_bytes(b"".join(kept) + last[:20])
    (target / ".0123456789abcdef.nvpcodec-part").write_bytes(b"half")

    with started(source, target, "--jobs", "2", "--verify") as process:
        out, err = process.communicate(timeout=300)
    assert (process.returncode, out) == (1, "")
    note, summary, error = err.splitlines()
    assert note.endswith(": the pixels of the JPEG are kept, not the JPEG file")
    assert "2 failed, 1 of other kinds left out; " in summary
    assert error == f"nvpcodec: error: 2 of {total} files failed; {manifest} says why"

    entries = lines(manifest)
    check_manifest(target, entries)
    assert len(check_outputs(source, target)) == total - len(BROKEN)
    assert {entry.output for entry in entries if entry.error} == BROKEN
    assert all(entry.verified for entry in entries if not entry.error)
    assert {name: (target / name).stat().st_mtime_ns for name in finished} == times, "finished files are kept"
    assert leftovers(target) == []


def test_interrupted_by_ctrl_c(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    awkward_tree(source, COUNT)
    with started(source, target, "--jobs", "2") as process:
        wait_for(lambda: len(lines(target / "manifest.jsonl")) >= 6 or process.poll() is not None)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal sends it: to the job and its workers
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err.strip()) == (130, "", "nvpcodec: error: interrupted")
    wait_for(lambda: group_is_gone(process))
    assert leftovers(target) == []
    names = check_outputs(source, target)
    assert 1 < len(names) < COUNT
    assert {entry.output for entry in lines(target / "manifest.jsonl") if not entry.error} <= names


def test_there_and_back_with_a_bar_on_a_terminal(tmp_path: Path) -> None:
    source, target, back = tmp_path / "source", tmp_path / "target", tmp_path / "back"
    write_image(source / "a.png", gradient())
    write_image(source / "deep/er/b.png", noise(1))
    ours, theirs = os.openpty()
    with started(source, target, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        while chunk := read_terminal(ours):
            shown += chunk
        assert process.wait() == 0
    assert b"0/2" in shown
    assert b"2/2" in shown
    assert b"2 done, 0 had been done, 0 failed; " in shown

    with started(target, back, "--decode", "--quiet", "--manifest", tmp_path / "list.jsonl") as process:
        assert (*process.communicate(timeout=300), process.returncode) == ("", "", 0)
    assert sorted(path.relative_to(back).as_posix() for path in back.rglob("*.*")) == [
        "a.png",
        "deep/er/b.png",
    ]
    for name, image in (("a.png", gradient()), ("deep/er/b.png", noise(1))):
        data = (back / name).read_bytes()
        assert imagefile.read(data, max_pixels=DEFAULT_MAX_PIXELS).image.equals(image)
    done = {entry.name for entry in lines(tmp_path / "list.jsonl")}  # in any order: there are two workers
    assert done == {"a.png.nvp", "deep/er/b.png.nvp"}


def read_terminal(descriptor: int) -> bytes:
    """What has been written to the terminal; nothing after its end."""
    try:
        return os.read(descriptor, 4096)
    except OSError:
        return b""


def run(capfd: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    status = cli.run(["bulk", *map(str, arguments), "--model", str(small_model_path())])
    return (status, *capfd.readouterr())


def test_a_dry_run_changes_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_image(tmp_path / "in/a b.png", gradient())
    status, out, err = run(capfd, tmp_path / "in", tmp_path / "out", "--dry-run")
    assert (status, out, err) == (0, "a b.png -> a b.png.nvp\n", "")
    assert not (tmp_path / "out").exists()


def test_nothing_to_do_starts_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    status, out, err = run(capfd, tmp_path / "in", tmp_path / "out")
    assert (status, out) == (0, "")
    assert "0 done, 0 had been done, 0 failed; 0 -> 0 bytes" in err


def test_two_sources_of_one_output(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.nvp", "a.png.nvp"):
        (tmp_path / "in" / name).touch()
    status, _, err = run(capfd, tmp_path / "in", tmp_path / "out", "--decode", "--quiet")
    assert (status, err.count("\n")) == (1, 1)
    assert "2 of 2 files failed" in err
    assert len(lines(tmp_path / "out/manifest.jsonl")) == 2


def test_a_target_that_cannot_be_written(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_image(tmp_path / "in/a.png", gradient())
    status, out, err = run(capfd, tmp_path / "in", "/proc/nvpcodec/out")
    assert (status, out) == (1, "")
    assert err == "nvpcodec: error: /proc/nvpcodec/out cannot be made: no such file or directory\n"


def test_a_source_that_is_not_there(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capfd, tmp_path / "in", tmp_path / "out")
    assert (status, out) == (2, "")
    assert err.startswith(f"nvpcodec: error: there is no folder {tmp_path / 'in'}")
    assert not (tmp_path / "out").exists()


def test_a_store_as_target_needs_a_place_for_the_manifest(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    status, _, err = run(capfd, tmp_path / "in", "memory://out")
    assert status == 2
    assert "say where the manifest should be (--manifest FILE)" in err
    status, _, _ = run(capfd, tmp_path / "in", "memory://out", "--manifest", tmp_path / "m.jsonl")
    assert status == 0
