"""One file from source to place: every kind, both ways, and what may be there already."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nvpcodec import codec, imagefile, png
from nvpcodec.bulk import work
from nvpcodec.bulk.plan import Job, Task
from nvpcodec.errors import DeviceError, ModelError
from nvpcodec.options import Options
from nvpcodec.pixels import Density, Image, Kind, Metadata, Text
from tests.bulk.helpers import small_job, write_image, write_jpeg
from tests.helpers import EVERY_KIND, gradient, noise
from tests.models import small_options

TASK = Task("a.png", "a.png.nvp", None, "7", replace=False)
BACK = Task("a.png.nvp", "a.png", None, "8", replace=False)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    (tmp_path / "source").mkdir()
    return small_job(tmp_path / "source", tmp_path / "out", verify=True)


def source_of(job: Job) -> Path:
    return Path(job.source, "a.png")


def output_of(job: Job) -> Path:
    return Path(job.target, "a.png.nvp")


@pytest.mark.parametrize(("kind", "dtype"), EVERY_KIND)
def test_there_and_back(job: Job, tmp_path: Path, kind: Kind, dtype: type[np.unsignedinteger]) -> None:
    metadata = Metadata(icc=b"profile", density=Density(3, 4), text=(Text("a", "é"),))
    original = write_image(source_of(job), replace(gradient(kind, dtype), metadata=metadata))
    image = imagefile.read(original.read_bytes(), max_pixels=10**6).image
    entry = work.convert(TASK, job)
    assert entry.error is None
    assert entry.verified
    coded = output_of(job).read_bytes()
    assert codec.decode_image(coded, job.options).equals(image)
    assert (entry.input_bytes, entry.output_bytes) == (original.stat().st_size, len(coded))
    assert entry.sha256 == hashlib.sha256(coded).hexdigest()
    assert entry.pixels == f"{codec.pixel_checksum(image.samples):08x}"
    assert (entry.name, entry.output, entry.input_version) == ("a.png", "a.png.nvp", "7")

    back = work.convert(BACK, small_job(job.target, tmp_path / "back", decoding=True, verify=True))
    assert (back.error, back.pixels, back.verified) == (None, entry.pixels, True)
    assert imagefile.read((tmp_path / "back/a.png").read_bytes(), max_pixels=10**6).image.equals(image)


def test_what_is_not_kept_is_noted(job: Job) -> None:
    write_jpeg(Path(job.source, "a.jpg"))
    entry = work.convert(Task("a.jpg", "a.jpg.nvp", None, None, replace=False), job)
    assert entry.notes == ("the pixels of the JPEG are kept, not the JPEG file",)


def test_without_verify_nothing_counts_as_verified(job: Job) -> None:
    write_image(source_of(job), noise(1))
    assert not work.convert(TASK, replace(job, verify=False)).verified


def test_the_same_image_that_is_there_is_kept(job: Job) -> None:
    """Whoever made it, with whatever model: it holds the image."""
    write_image(source_of(job), gradient())
    output_of(job).parent.mkdir()
    output_of(job).write_bytes(codec.encode_image(gradient(), Options(model="realnvp")))
    os.utime(output_of(job), ns=(5, 5))
    entry = work.convert(TASK, replace(job, verify=False))
    assert (entry.error, entry.verified) == (None, True)
    assert entry.output_bytes == output_of(job).stat().st_size
    assert output_of(job).stat().st_mtime_ns == 5


@pytest.mark.parametrize("there", [b"no image", codec.encode_image(noise(3, Kind.BILEVEL), Options())])
def test_anything_else_that_is_there_is_left_alone(job: Job, there: bytes) -> None:
    write_image(source_of(job), gradient())
    output_of(job).parent.mkdir()
    output_of(job).write_bytes(there)
    entry = work.convert(TASK, job)
    assert entry.error == "a.png.nvp exists and is no copy of it; remove it, or use --force"
    assert output_of(job).read_bytes() == there
    for ours, forced in ((replace(TASK, replace=True), job), (TASK, replace(job, force=True))):
        task = replace(ours, replace=True)
        output_of(job).write_bytes(there)
        assert work.convert(task, forced).error is None
        assert codec.decode_image(output_of(job).read_bytes(), job.options).equals(gradient())


def test_a_wrong_output_is_never_written(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image(source_of(job), gradient())
    other = codec.encode_image(noise(1), small_options())

    def wrong(_image: Image, _options: Options) -> bytes:
        return other

    monkeypatch.setattr(work, "_NVP", replace(work._NVP, write=wrong))
    entry = work.convert(TASK, job)
    assert entry.error is not None
    assert entry.error.startswith("the output holds another image; nothing was written")
    assert not output_of(job).exists()


def test_what_is_wrong_with_a_file_is_in_its_entry(job: Job) -> None:
    source_of(job).write_bytes(png.write(gradient())[:100])
    entry = work.convert(replace(TASK, input_bytes=100), job)
    assert (entry.error, entry.input_bytes) == ("the PNG is truncated; get a complete copy", 100)
    assert (entry.output_bytes, entry.sha256, entry.pixels) == (None, None, None)
    source_of(job).unlink()
    source_of(job).symlink_to(source_of(job))
    assert "too many levels of symbolic links" in str(work.convert(TASK, job).error)
    assert not output_of(job).exists()


def test_bugs_and_panics_do_not_stop_the_others(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    class Panic(BaseException):
        """As compiled extensions raise it."""

    def panic(_image: Image, _options: Options) -> bytes:
        raise Panic("at\nthe disco")

    write_image(source_of(job), gradient())
    monkeypatch.setattr(work, "_NVP", replace(work._NVP, write=panic))
    assert work.convert(TASK, job).error == "unexpected Panic: at the disco; this is a bug, please report it"


def test_a_folder_that_cannot_be_made(job: Job) -> None:
    write_image(source_of(job), gradient())
    Path(job.target).write_text("a file where the folder should be")
    assert work.convert(TASK, job).error == f"{job.target} cannot be made: file exists"


def test_preparing_says_what_stops_all(job: Job) -> None:
    work.prepare(job)
    with pytest.raises(ModelError, match="there is no model 'none'"):
        work.prepare(replace(job, options=replace(job.options, model="none")))


@pytest.mark.skipif("__import__('torch').cuda.is_available()", reason="there is one")
@pytest.mark.parametrize("decoding", [False, True])
def test_preparing_without_the_device(job: Job, decoding: bool) -> None:
    with pytest.raises(DeviceError):
        work.prepare(replace(job, decoding=decoding, options=replace(job.options, device="cuda")))
