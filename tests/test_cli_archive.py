"""pack, unpack and ls as a person or a script meets them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from nvpcodec import Archive, archive_index, container, imagefile, pack, png
from nvpcodec.archive_index import CHAIN, HEAD_BYTES, Block, Head, Member
from nvpcodec.pixels import Density, Image, Kind, Metadata, Text
from tests.helpers import EVERY_KIND, gradient, noise
from tests.models import small_model_path
from tests.test_cli import Runner, run
from tests.test_layers import HEAVY, run_fresh

__all__ = ["run"]  # a fixture

METADATA = Metadata(icc=b"profile", density=Density(1, 2, 0), text=(Text("a", "é"),))
MODEL = ("--model", str(small_model_path()))


@pytest.fixture
def folder(run: Runner) -> dict[str, Image]:
    """A folder of small images, by their names; the current directory is the one that it is in."""
    images = {
        "one.png": Image(noise(1, Kind.GREY).samples, Kind.GREY, metadata=METADATA),
        "sub/two.PNG": noise(2),
        "sub/deep/three.png": noise(3, Kind.PALETTE),
    }
    for name, image in images.items():
        path = Path("in", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png.write(image))
    return images


def unpacked(path: str | Path) -> Image:
    return imagefile.read(Path(path).read_bytes(), max_pixels=10**6).image


def test_a_folder_there_and_back(run: Runner, folder: dict[str, Image]) -> None:
    Path("in/notes.txt").write_text("no image")
    result = run("pack", *MODEL, "in", "a.nvpa")
    assert (result.status, result.out) == (0, b"")
    sources = sum(Path("in", name).stat().st_size for name in folder)
    assert result.err.startswith(f"3 images -> a.nvpa: {sources} -> {Path('a.nvpa').stat().st_size} bytes, ")
    result = run("unpack", *MODEL, "a.nvpa")
    assert result.status == 0
    assert result.err.startswith("a.nvpa: 3 of 3 images, ")
    files = sorted(str(path.relative_to("a")) for path in Path("a").rglob("*") if path.is_file())
    assert files == sorted(folder)
    for name, image in folder.items():
        assert unpacked(Path("a", name)).equals(image)


@pytest.mark.parametrize(("kind", "dtype"), EVERY_KIND)
def test_every_kind_there_and_back(run: Runner, kind: Kind, dtype: type[np.unsignedinteger]) -> None:
    image = gradient(kind, dtype)
    image = Image(image.samples, kind, image.palette, metadata=METADATA)
    Path("x.png").write_bytes(png.write(image))
    assert run("pack", "-q", *MODEL, "x.png", "a.nvpa") == (0, b"", "")
    assert run("unpack", "-q", *MODEL, "a.nvpa", "out") == (0, b"", "")
    assert unpacked("out/x.png").equals(image)


def test_some_images_only(run: Runner, folder: dict[str, Image]) -> None:
    assert run("pack", *MODEL, "in", "a.nvpa").status == 0
    assert run("unpack", *MODEL, "a.nvpa", "out", "sub/two.PNG").status == 0
    assert [path for path in Path("out").rglob("*") if path.is_file()] == [Path("out/sub/two.PNG")]
    message = run.fails("unpack", "a.nvpa", "out", "one.png", "none.png", status=2)
    assert "no image 'none.png'" in message


def test_names_get_the_suffix_of_png(run: Runner) -> None:
    pack("a.nvpa", {"plain": np.zeros((2, 2), np.uint8), "b.jpg": np.ones((2, 2), np.uint8)})
    assert run("unpack", "a.nvpa").status == 0
    assert sorted(path.name for path in Path("a").iterdir()) == ["b.jpg.png", "plain.png"]
    pack("c.nvpa", {"x": np.zeros((2, 2), np.uint8), "x.png": np.ones((2, 2), np.uint8)})
    assert "one file" in run.fails("unpack", "c.nvpa", status=2)
    assert run("unpack", "c.nvpa", "c", "x").status == 0


def test_appending(run: Runner, folder: dict[str, Image]) -> None:
    Path("other.png").write_bytes(png.write(noise(9)))
    assert run("pack", *MODEL, "--append", "in/one.png", "a.nvpa").status == 0
    assert run("pack", *MODEL, "--append", "other.png", "in/sub", "a.nvpa").status == 0
    assert set(Archive("a.nvpa")) == {"one.png", "other.png", "two.PNG", "deep/three.png"}
    assert "already" in run.fails("pack", *MODEL, "--append", "other.png", "a.nvpa", status=2)
    assert "choose one" in run.fails("pack", "--append", "-f", "other.png", "a.nvpa", status=2)


def test_listing(run: Runner, folder: dict[str, Image]) -> None:
    assert run("pack", *MODEL, "in", "a.nvpa").status == 0
    lines = run("ls", "a.nvpa").out.decode().splitlines()
    assert [line.split()[-1] for line in lines[:-1]] == list(Archive("a.nvpa"))
    assert lines[-1].split() == [str(Path("a.nvpa").stat().st_size), "in", "all:", "3", "images"]
    described = json.loads(run("ls", "--json", "a.nvpa").out)
    assert described["file_bytes"] == Path("a.nvpa").stat().st_size
    found = {image.pop("name"): image for image in described["images"]}
    assert set(found) == set(folder)
    stored = found["one.png"].pop("stored_bytes")
    assert 0 < stored < described["file_bytes"]
    assert found["one.png"] == {
        "width": 34,
        "height": 21,
        "kind": "grey",
        "channels": 1,
        "bit_depth": 8,
        "sharing": 1,
    }


def test_listing_loads_nothing_heavy(tmp_path: Path) -> None:
    pack(tmp_path / "a.nvpa", {"a": np.zeros((2, 2), np.uint8)})
    loaded = run_fresh("from nvpcodec.cli import main; main()", "ls", str(tmp_path / "a.nvpa"))
    assert set(loaded) <= {"numpy"}  # the image record needs it
    for command in ("pack", "unpack", "ls"):
        assert run_fresh("from nvpcodec.cli import main; main()", command, "--help") == []
    assert "torch" in HEAVY


def test_notes_are_told_once(run: Runner) -> None:
    for name in "ab":
        PillowImage.new("RGB", (8, 8), "red").save(f"{name}.jpg")
    result = run("pack", "a.jpg", "b.jpg", "x.nvpa")
    assert result.err.count("note: 2 of 2: the pixels of the JPEG are kept") == 1


def test_targets_are_left_alone(run: Runner, folder: dict[str, Image]) -> None:
    Path("a.nvpa").write_bytes(b"mine")
    assert "exists already" in run.fails("pack", "in", "a.nvpa", status=2)
    assert "begin" in run.fails("pack", "--append", "in", "a.nvpa", status=1)
    assert run("pack", *MODEL, "-f", "in", "a.nvpa").status == 0
    Path("a/sub").mkdir(parents=True)
    Path("a/sub/two.PNG").write_bytes(b"mine")
    assert "exists already" in run.fails("unpack", *MODEL, "a.nvpa", status=2)
    assert run("unpack", *MODEL, "-f", "a.nvpa").status == 0
    assert unpacked("a/sub/two.PNG").equals(folder["sub/two.PNG"])


def test_command_lines_that_cannot_be(run: Runner, folder: dict[str, Image]) -> None:
    Path("empty").mkdir()
    Path("bad.png").write_bytes(b"\x89PNG\r\n\x1a\n cut")
    Path("a.nvp").write_bytes(container.MAGIC)
    for arguments, message in (
        (("pack", "in/one.png", "in/sub/two.PNG"), ".nvpa"),
        (("pack", "a.nvpa"), "Missing argument"),
        (("pack", "none", "a.nvpa"), "does not exist"),
        (("pack", "empty", "a.nvpa"), "no image file"),
        (("pack", "in/one.png", "in", "a.nvpa"), "already"),
        (("unpack", "none.nvpa"), "does not exist"),
        (("ls", "none.nvpa"), "does not exist"),
    ):
        assert message in run.fails(*arguments, status=2)
    assert "bad.png: " in run.fails("pack", *MODEL, "in", "bad.png", "a.nvpa", status=1)
    assert "a.nvp: this is a single .nvp image" in run.fails("ls", "a.nvp", status=1)
    assert "a.nvp: this is a single .nvp image" in run.fails("unpack", "a.nvp", "out", status=1)
    assert "in/one.png: this is not an .nvpa archive" in run.fails("ls", "in/one.png", status=1)


@pytest.mark.parametrize("name", ["../evil.png", "/tmp/evil.png", "a/../../evil.png", "..", ""])
def test_names_that_lead_elsewhere_are_refused(run: Runner, name: str) -> None:
    """Such an archive is one that no writer makes; nothing of it is unpacked."""
    content = b"\0\0" + container.checksum(b"\0").to_bytes(4, "little") + b"\x08\0"
    block = Block(
        CHAIN, Kind.GREY, 8, HEAD_BYTES, len(content), container.checksum(content), (Member(name, 1, 1),)
    )
    index = archive_index.index_to_bytes([block])
    head = Head(block.end, len(index), container.checksum(index))
    Path("a.nvpa").write_bytes(archive_index.head_to_bytes(head) + content + index)
    assert "names an image" in run.fails("unpack", "-f", "a.nvpa", "out", status=1)
    assert "names an image" in run.fails("ls", "a.nvpa", status=1)


def test_a_damaged_archive_is_named(run: Runner, folder: dict[str, Image]) -> None:
    assert run("pack", *MODEL, "in", "a.nvpa").status == 0
    data = Path("a.nvpa").read_bytes()
    Path("a.nvpa").write_bytes(data[:-1])
    assert "a.nvpa: the archive was cut" in run.fails("unpack", *MODEL, "a.nvpa", "out", status=1)
    Path("a.nvpa").write_bytes(data[:40] + bytes((data[40] ^ 1,)) + data[41:])
    assert "was changed" in run("unpack", *MODEL, "a.nvpa", "out").err
