"""The command line as a person or a script meets it: results, one-line errors, statuses, untouched files."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image as PillowImage

from nvpcodec import cli, codec, imagefile, png
from nvpcodec.options import Options
from nvpcodec.pixels import Density, Image, Kind, Metadata, Text
from tests.helpers import EVERY_KIND, PALETTE, foreign_png, gradient, noise, with_chunks

GREY = noise(1, Kind.GREY)
METADATA = Metadata(
    icc=b"profile", exif=b"MM\0*\0\0\0\x08\0\0", xmp=b"<x/>", density=Density(1, 2, 0), text=(Text("a", "é"),)
)


class Result(NamedTuple):
    """What a command line did."""

    status: int
    out: bytes
    err: str


class Runner:
    """Runs command lines within a directory of their own."""

    def __init__(self, capture: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capture = capture
        self._monkeypatch = monkeypatch

    def __call__(self, *arguments: str, stdin: bytes = b"") -> Result:
        self._monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(stdin)))
        status = cli.run(arguments)
        out, err = self._capture.readouterr()
        return Result(status, out, err.decode())

    def fails(self, *arguments: str, status: int, stdin: bytes = b"") -> str:
        """The error line of a command line that must fail and leave every file as it was."""
        before = snapshot()
        result = self(*arguments, stdin=stdin)
        assert (result.status, result.out) == (status, b"")
        assert result.err.startswith("nvpcodec: error: ")
        assert result.err.count("\n") == 1, "one line"
        assert snapshot() == before
        return result.err


def snapshot() -> dict[str, bytes]:
    """Every file below the current directory."""
    paths = [path for path in Path().rglob("*") if path.is_file()]
    return {str(path): path.read_bytes() for path in paths}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Runner:
    monkeypatch.chdir(tmp_path)
    return Runner(capfdbinary, monkeypatch)


def nvp_of(image: Image) -> bytes:
    return codec.encode_image(image, Options())


# --- encode and decode -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "dtype"), EVERY_KIND)
def test_png_there_and_back(run: Runner, kind: Kind, dtype: type[np.unsignedinteger]) -> None:
    plain = gradient(kind, dtype)
    image = Image(plain.samples, kind, plain.palette, metadata=METADATA)
    Path("a.png").write_bytes(png.write(image))
    assert run("encode", "a.png").status == 0
    assert run("decode", "a.nvp", "b.png").status == 0
    assert imagefile.read(Path("b.png").read_bytes(), max_pixels=10**6).image.equals(image)
    assert sorted(os.listdir()) == ["a.nvp", "a.png", "b.png"]


def test_transparency_there_and_back(run: Runner) -> None:
    image = Image(gradient(Kind.PALETTE).samples, Kind.PALETTE, PALETTE, b"\0\x80")
    keyed = Image(GREY.samples, Kind.GREY, transparency=b"\0\7")
    for number, each in enumerate((image, keyed)):
        Path(f"{number}.png").write_bytes(png.write(each))
        assert run("encode", f"{number}.png").status == 0
        assert run("decode", "-f", f"{number}.nvp").status == 0
        assert imagefile.read(Path(f"{number}.png").read_bytes(), max_pixels=10**6).image.equals(each)


def test_pipes(run: Runner) -> None:
    data = foreign_png(GREY)
    coded = run("encode", "-", stdin=data)
    assert coded.status == 0
    decoded = run("decode", "-", "-", stdin=coded.out)
    assert imagefile.read(decoded.out, max_pixels=10**6).image.equals(GREY)
    assert "stdin -> stdout" in decoded.err
    assert os.listdir() == []
    assert run("encode", "-", "a.nvp", stdin=data).status == 0
    assert Path("a.nvp").read_bytes() == coded.out


def test_the_summary_says_what_was_done(run: Runner) -> None:
    Path("a.png").write_bytes(foreign_png(GREY))
    result = run("encode", "a.png")
    sizes = f"{Path('a.png').stat().st_size} -> {Path('a.nvp').stat().st_size} bytes"
    assert result.out == b""
    assert result.err.startswith(f"a.png -> a.nvp: {sizes} (")
    assert "bits/dim" in result.err
    assert result.err.endswith(" s\n")
    assert run("decode", "a.nvp", "b.png").err.startswith("a.nvp -> b.png: ")


def test_quiet_is_silent(run: Runner) -> None:
    Path("a.png").write_bytes(with_chunks(foreign_png(GREY), ("tIME", bytes(7))))
    assert run("encode", "-q", "a.png") == (0, b"", "")
    assert run("decode", "--quiet", "a.nvp", "b.png") == (0, b"", "")


def test_what_is_not_kept_is_noted(run: Runner) -> None:
    Path("a.png").write_bytes(with_chunks(foreign_png(GREY), ("tIME", bytes(7))))
    assert "nvpcodec: note: a.png: chunks that are not kept: tIME\n" in run("encode", "a.png").err


def test_verify_passes_and_fails(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("a.png").write_bytes(foreign_png(GREY))
    assert run("encode", "--verify", "a.png").status == 0
    monkeypatch.setattr(codec, "decode_image", lambda data, options: noise(2, Kind.GREY))
    assert "another image" in run.fails("encode", "--verify", "a.png", "b.nvp", status=1)


def test_force_replaces(run: Runner) -> None:
    Path("a.png").write_bytes(foreign_png(GREY))
    Path("a.nvp").write_bytes(b"old")
    assert "exists already" in run.fails("encode", "a.png", status=2)
    assert run("encode", "--force", "a.png").status == 0
    assert Path("a.nvp").read_bytes() == nvp_of(GREY)
    assert "exists already" in run.fails("decode", "a.nvp", status=2)
    assert run("decode", "-f", "a.nvp").status == 0


# --- refused -----------------------------------------------------------------------------------------------

BAD_IMAGES = {
    "empty.png": b"",
    "text.png": b"this is no image",
    "cut.png": foreign_png(GREY)[:-30],
    "cut.jpg": b"\xff\xd8\xff\xe0\0\x10JFIF\0",
    "done.nvp": b"\x8eNVP\1",
}


@pytest.mark.parametrize("name", BAD_IMAGES)
def test_bad_images_are_refused(run: Runner, name: str) -> None:
    Path(name).write_bytes(BAD_IMAGES[name])
    Path("old.nvp").write_bytes(b"old")
    assert name in run.fails("encode", "-f", name, "old.nvp", status=1)
    assert "stdin" in run.fails("encode", "-", status=1, stdin=BAD_IMAGES[name])


def test_animations_are_refused(run: Runner) -> None:
    frames = [PillowImage.new("L", (8, 8), value) for value in (0, 255)]
    frames[0].save("a.png", save_all=True, append_images=frames[1:])
    assert "animation" in run.fails("encode", "a.png", status=1)


def test_large_images_are_refused(run: Runner) -> None:
    Path("a.png").write_bytes(foreign_png(GREY))
    Path("b.nvp").write_bytes(nvp_of(GREY))
    assert "--max-pixels" in run.fails("encode", "--max-pixels", "9", "a.png", status=1)
    assert "b.nvp: " in run.fails("decode", "--max-pixels", "9", "b.nvp", status=1)


def test_every_changed_byte_and_every_cut_is_refused(run: Runner) -> None:
    data = nvp_of(noise(3, height=3, width=4))
    damaged = [data[:cut] for cut in range(len(data))]
    damaged += [data[:at] + bytes((data[at] ^ 0x10,)) + data[at + 1 :] for at in range(len(data))]
    for bad in damaged:
        for command in ("decode", "info"):
            result = run(command, "-", stdin=bad)
            assert (result.status, result.out) == (1, b"")
            assert result.err.startswith("nvpcodec: error: stdin: ")
            assert result.err.count("\n") == 1


@pytest.mark.parametrize("command", ["encode", "decode", "info"])
def test_inputs_that_are_no_file_are_refused(run: Runner, command: str) -> None:
    Path("folder").mkdir()
    assert "'none.png' does not exist" in run.fails(command, "none.png", status=2)
    assert "'folder' is a directory" in run.fails(command, "folder", status=2)


def test_outputs_that_cannot_be_are_refused(run: Runner) -> None:
    Path("a.png").write_bytes(foreign_png(GREY))
    Path("b.nvp").write_bytes(nvp_of(GREY))
    Path("folder").mkdir()
    assert "directory" in run.fails("encode", "a.png", "folder", status=1)
    assert "no directory" in run.fails("encode", "a.png", "none/a.nvp", status=1)
    assert "no directory" in run.fails("encode", "a.png", "a.png/a.nvp", status=1)
    assert "cannot be written" in run.fails("encode", "a.png", "x" * 300 + ".nvp", status=1)
    assert "suffix" in run.fails("encode", "-f", "a.png", "b.jpg", status=2)
    assert "suffix" in run.fails("decode", "b.nvp", "b.webp", status=2)
    Path("same").write_bytes(foreign_png(GREY))
    assert "input itself" in run.fails("encode", "-f", "same", "same", status=2)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_device_is_one_line(run: Runner) -> None:
    Path("b.nvp").write_bytes(nvp_of(GREY))
    assert "no space left" in run.fails("decode", "b.nvp", "/dev/full", status=1).lower()


@pytest.mark.parametrize(
    "arguments",
    [
        ["frobnicate"],
        ["encode"],
        ["encode", "--frob", "-"],
        ["encode", "--device", "abacus", "-"],
        ["encode", "--max-pixels", "0", "-"],
        ["encode", "--max-pixels", "many", "-"],
        ["decode", "-", "a", "b"],
        ["info"],
        ["train"],
        ["train", "fast"],
    ],
)
def test_usage_errors(run: Runner, arguments: list[str]) -> None:
    assert "--help)" in run.fails(*arguments, status=2)


def test_the_device_variable_is_checked(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NVPCODEC_DEVICE", "abacus")
    assert "abacus" in run.fails("encode", "-", status=2)


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (MemoryError(), 1, "not enough memory"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (ZeroDivisionError("division\nby zero"), 1, "unexpected ZeroDivisionError: division by zero"),
        (type("PanicException", (BaseException,), {})("range"), 1, "unexpected PanicException: range"),
    ],
)
def test_surprises_are_one_line(
    run: Runner, monkeypatch: pytest.MonkeyPatch, error: BaseException, status: int, message: str
) -> None:
    def fail(*_: Any) -> None:
        raise error

    Path("a.png").write_bytes(foreign_png(GREY))
    monkeypatch.setattr(codec, "encode_image", fail)
    result = run("encode", "a.png")
    assert (result.status, result.out) == (status, b"")
    assert result.err.strip().startswith(f"nvpcodec: error: {message}")
    assert len(result.err.strip().splitlines()) == 1
    assert os.listdir() == ["a.png"]


def test_debug_shows_where(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cli.DEBUG_VARIABLE, "1")
    monkeypatch.setattr(codec, "encode_image", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run("encode", "-", stdin=foreign_png(GREY))


# --- info, help, version -----------------------------------------------------------------------------------


def test_info_lists_every_byte(run: Runner) -> None:
    image = Image(gradient().samples, Kind.RGB, metadata=METADATA)
    Path("a.nvp").write_bytes(nvp_of(image))
    result = run("info", "a.nvp")
    assert (result.status, result.err) == (0, "")
    lines = result.out.decode().splitlines()
    assert lines[0].startswith("a.nvp: 34x21 rgb, 3 x 8 bits a pixel, ")
    counts = {words[1]: int(words[0]) for line in lines if (words := line.split())[0].isdigit()}
    parts = ("header", "side", "regions:", "checksums")
    assert counts["bytes"] == Path("a.nvp").stat().st_size == sum(counts[part] for part in parts)
    assert "icc 7, exif 10, xmp 4, density 9, text" in result.out.decode()


def test_info_as_json(run: Runner) -> None:
    data = nvp_of(GREY)
    result = run("info", "--json", "-", stdin=data)
    described = json.loads(result.out)
    assert (described["width"], described["height"], described["kind"]) == (34, 21, "grey")
    assert described["file_bytes"] == len(data)
    assert described["regions"][0]["payload_bytes"] > 0


@pytest.mark.parametrize("command", ["encode", "decode", "info", "train"])
def test_help_has_an_example(run: Runner, command: str) -> None:
    result = run(command, "--help")
    assert result.status == 0
    assert f"nvpcodec {command} " in result.out.decode().split("Options:")[0].split("\n", 1)[1]


def test_the_bare_command_helps(run: Runner) -> None:
    assert run() == run("--help")
    assert b"Exit status" in run().out


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, {"GOMP_SPINCOUNT": "10000"}),
        ({"GOMP_SPINCOUNT": "5"}, {"GOMP_SPINCOUNT": "5"}),
        ({"OMP_WAIT_POLICY": "active"}, {"OMP_WAIT_POLICY": "active"}),
    ],
)
def test_threads_soon_sleep_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, told: dict[str, str], expected: dict[str, str]
) -> None:
    environment = {name: value for name, value in os.environ.items() if "SPINCOUNT" not in name}
    environment.pop("OMP_WAIT_POLICY", None)
    monkeypatch.setattr(os, "environ", environment | told)
    monkeypatch.setattr(sys, "argv", ["nvpcodec", "--version"])
    with pytest.raises(SystemExit):
        cli.main()
    assert {name: os.environ[name] for name in expected} == expected
    assert {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys() == expected.keys()


def test_version(run: Runner) -> None:
    assert run("--version").out.startswith(b"nvpcodec, version ")


def test_progress_is_for_terminals(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from nvpcodec.cli.common import progress_line

    progress_line(quiet=False)(1, 3)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    for done in (1, 2):
        progress_line(quiet=False)(done, 2)
    progress_line(quiet=False)(1, 1)
    progress_line(quiet=True)(1, 2)
    told = capsys.readouterr().err
    assert "1 of 2 regions" in told
    assert told.endswith("\x1b[K")
