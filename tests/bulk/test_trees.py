"""Trees: what is found in folders and stores, and what is not entered."""

from __future__ import annotations

import os
from pathlib import Path

import fsspec
import pytest

from nvpcodec.bulk import trees
from nvpcodec.errors import InputError, OutputError
from tests.bulk.helpers import awkward_tree


def test_files_of_folders(tmp_path: Path) -> None:
    awkward_tree(tmp_path, 1)
    found = {one.name: one for one in trees.files_below(str(tmp_path))}
    assert set(found) == {
        "noise000.png",
        "twin.png",
        "twin.jpg",
        "with blanks/größe ½ 写真.PNG",
        os.fsdecode(b"no-utf8-\xff.png"),
        "broken.png",
        "circle.png",
        "readme.txt",
    }, "neither pipes nor what linked folders hold"
    assert found["broken.png"].bytes == 100
    assert found["broken.png"].version == str((tmp_path / "broken.png").stat().st_mtime_ns)
    assert found["circle.png"].bytes is None, "reading will say what is wrong"
    for name in found:
        assert os.path.lexists(trees.place_of(str(tmp_path), name))


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to root")
def test_a_closed_folder_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    (found,) = trees.files_below(str(tmp_path))
    assert (found.name, found.problem) == ("closed", "the folder cannot be read: permission denied")


def test_objects_of_a_store() -> None:
    store = fsspec.filesystem("memory")
    store.pipe({"/trees/a.png": b"12", "/trees/sub/b c.png": b"345", "/trees-too/d.png": b"6"})
    root = trees.root_of("memory://trees/")
    assert {one.name: one.bytes for one in trees.files_below(root)} == {"a.png": 2, "sub/b c.png": 3}
    assert trees.sizes(root, ["sub/b c.png", "missing"]) == {"sub/b c.png": 3}
    assert trees.place_of(root, "sub/b c.png") == "memory://trees/sub/b c.png"
    assert list(trees.files_below("memory://nothing/here")) == []


def test_sizes_of_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12")
    assert trees.sizes(str(tmp_path), ["a", "missing", "a/below"]) == {"a": 2}


def test_roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert trees.root_of("sub/") == str(tmp_path / "sub")
    assert trees.root_of(f"file://{tmp_path}/sub") == str(tmp_path / "sub")
    with pytest.raises(InputError, match="names cannot be added"):
        trees.root_of("simplecache::memory://a")


def test_folders_are_made_or_not(tmp_path: Path) -> None:
    trees.make_folder_of(str(tmp_path / "a" / "b" / "c.nvp"))
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file/sub cannot be made: not a directory"):
        trees.make_folder_of(str(tmp_path / "file" / "sub" / "c.nvp"))


def test_half_written_files_are_found_and_removed(tmp_path: Path) -> None:
    part = tmp_path / "sub" / ".0123.nvpcodec-part"
    part.parent.mkdir()
    part.touch()
    (tmp_path / "sub" / "whole.nvp").touch()
    found = trees.unfinished(str(tmp_path), ["sub/a.nvp", "sub/b.nvp", "missing/c.nvp"])
    assert found == [str(part)]
    trees.remove([*found, str(tmp_path / "missing")])
    assert os.listdir(tmp_path / "sub") == ["whole.nvp"]
