"""The manifest: what was written is read again; a torn end is cut off; one job at a time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nvpcodec.bulk import manifest
from nvpcodec.bulk.manifest import Entry
from nvpcodec.errors import InputError, OutputError

GOOD = Entry("a.png", "a.png.nvp", 10, "7", 5, "ab", "cd", True, 0.25, ("a note",))
BAD = Entry("sub/\udcff ½.png", "sub/\udcff ½.png.nvp", None, None, error="it is no image")


def test_lines_come_back(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    with manifest.opened(path) as record:
        assert (record.last, record.made) == ({}, set())
        record.add(GOOD)
        record.add(BAD)
    with manifest.opened(path) as record:
        assert record.last == {GOOD.output: GOOD, BAD.output: BAD}
        assert record.made == {GOOD.output}


def test_it_is_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    with manifest.opened(path) as record:
        record.add(GOOD)
    (line,) = path.read_text("ascii").splitlines()
    assert json.loads(line) == {
        "name": "a.png",
        "output": "a.png.nvp",
        "input_bytes": 10,
        "input_version": "7",
        "output_bytes": 5,
        "sha256": "ab",
        "pixels": "cd",
        "verified": True,
        "seconds": 0.25,
        "notes": ["a note"],
        "error": None,
    }


def test_the_last_line_holds_and_a_success_is_not_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    failed = Entry("a.png", "a.png.nvp", 11, "8", error="it is no image")
    with manifest.opened(path) as record:
        record.add(GOOD)
        record.add(failed)
    with manifest.opened(path) as record:
        assert record.last == {"a.png.nvp": failed}
        assert record.made == {"a.png.nvp"}


@pytest.mark.parametrize("end", [1, 30, -1])
def test_half_a_line_is_cut_off(tmp_path: Path, end: int) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text(GOOD.to_json() + "\n" + BAD.to_json()[:end])
    with manifest.opened(path) as record:
        assert list(record.last) == [GOOD.output]
        record.add(BAD)
    with manifest.opened(path) as record:
        assert list(record.last) == [GOOD.output, BAD.output]


def test_one_job_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    with (
        manifest.opened(path),
        pytest.raises(OutputError, match="written by another job"),
        manifest.opened(path),
    ):
        pass
    with manifest.opened(path):
        pass


@pytest.mark.parametrize("line", [b"{}", b"[]", b"nothing", b"\xff", b'{"notes": 1}'])
def test_other_files_are_refused_and_left_alone(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "m.jsonl"
    path.write_bytes(GOOD.to_json().encode() + b"\n" + line + b"\n")
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"line 2 of .* is none of a manifest"), manifest.opened(path):
        pass
    assert path.read_bytes() == before


def test_to_look_at_it_nothing_is_made(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    with manifest.read_only(path) as record:
        assert record.last == {}
    assert not path.exists()


def test_where_it_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"), manifest.opened(tmp_path):
        pass
