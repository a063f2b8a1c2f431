"""URLs as input and output: the memory store, file://, http:// and a real S3 server that the tests start."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import zarr
from moto.server import ThreadedMotoServer
from zarr.storage import FsspecStore

import nvpcodec
from nvpcodec import codec, container, imagefile, png, storage, urls
from nvpcodec.fileinfo import HEAD_BYTES
from nvpcodec.integrations.zarr import NvpCodec
from nvpcodec.pixels import Image, Kind, Metadata
from tests.helpers import gradient, noise
from tests.test_cli import Result, Runner

ROOT = Path(__file__).resolve().parent.parent
GREY = noise(1, Kind.GREY).samples[..., 0]
#: Too long for the head that ``info`` fetches at first.
WIDE = noise(2, Kind.GREY, np.uint16, 200, 200).samples[..., 0]
BUCKET = "pictures"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """An S3 server on a port of its own, with an empty bucket; the environment points to it."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    started = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    started.start()
    host, port = started.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", endpoint)
        patch.setenv("AWS_ACCESS_KEY_ID", "tester")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("NO_PROXY", host)
        fsspec.filesystem("s3").mkdir(BUCKET)
        yield endpoint
    started.stop()


@pytest.fixture(params=["memory", "s3", "file"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty folder in each of the stores."""
    if request.param == "file":
        return f"file://{tmp_path}"
    if request.param == "memory":
        return f"memory://{tmp_path.name}"
    request.getfixturevalue("server")
    return f"s3://{BUCKET}/{tmp_path.name}"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Runner:
    monkeypatch.chdir(tmp_path)
    return Runner(capfdbinary, monkeypatch)


def put(url: str, data: bytes) -> None:
    """Store bytes without our own code."""
    with fsspec.open(url, "wb") as stream:
        stream.write(data)


def get(url: str) -> bytes:
    """Fetch bytes without our own code."""
    with fsspec.open(url, "rb") as stream:
        return bytes(stream.read())


def names(folder: str) -> list[str]:
    """The names in a folder."""
    store, path = fsspec.core.url_to_fs(folder)
    store.invalidate_cache()
    return sorted(Path(name).name for name in store.find(path))


# --- what is a URL -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "place", ["s3://b/a.nvp", "file:///a", "zip::s3://b/a.zip", "S3://b/a", "a+b.c-1://x"]
)
def test_urls(place: str) -> None:
    assert urls.is_url(place)


@pytest.mark.parametrize(
    "place", ["a.nvp", "/s3:/b", "C:\\a.nvp", "a::b", "://a", "a b://c", "./s3://b", "-"]
)
def test_paths(place: str) -> None:
    assert not urls.is_url(place)
    assert not urls.is_url(Path(place))


def test_passwords_are_not_shown() -> None:
    assert urls.shown("sftp://me:pass:word@host/a@b") == "sftp://me:***@host/a@b"
    assert urls.shown("s3://bucket/a:b@c") == "s3://bucket/a:b@c"
    with pytest.raises(nvpcodec.InputError) as caught:
        nvpcodec.read("ftp://me:password@127.0.0.1:9/a.nvp")
    assert "password" not in str(caught.value)


# --- arrays ------------------------------------------------------------------------------------------------


def test_there_and_back(folder: str) -> None:
    url = f"{folder}/deep/a.nvp" if not folder.startswith("file") else f"{folder}/a.nvp"
    nvpcodec.write(url, GREY)
    assert get(url) == nvpcodec.encode(GREY)
    assert np.array_equal(nvpcodec.read(url), GREY)
    assert nvpcodec.info(url) == nvpcodec.info(get(url))


def test_objects_are_replaced_on_demand_only(folder: str) -> None:
    url = f"{folder}/a.nvp"
    put(url, b"old")
    with pytest.raises(nvpcodec.OutputExistsError, match="exists already"):
        nvpcodec.write(url, GREY)
    with pytest.raises(nvpcodec.UnsupportedImageError):
        nvpcodec.write(url, GREY.astype(float), overwrite=True)
    assert get(url) == b"old"
    nvpcodec.write(url, GREY, overwrite=True)
    assert np.array_equal(nvpcodec.read(url), GREY)
    assert names(folder) == ["a.nvp"]


def test_an_object_that_appears_while_we_encode_is_not_replaced(folder: str) -> None:
    url = f"{folder}/a.nvp"
    storage.check_target(url, overwrite=False)
    put(url, b"the other's")
    with pytest.raises(nvpcodec.OutputExistsError):
        storage.write(url, b"ours", overwrite=False)
    assert get(url) == b"the other's"


def test_stores_that_cannot_create_are_asked_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Older stores know no mode, and some S3 servers no condition."""
    from fsspec.implementations.memory import MemoryFileSystem

    put_whole = MemoryFileSystem.pipe_file

    def without_mode(self: Any, path: str, value: bytes) -> None:
        put_whole(self, path, value)

    def unimplemented(self: Any, path: str, value: bytes, mode: str = "overwrite") -> None:
        if mode == "create":
            raise OSError(38, "not implemented")
        put_whole(self, path, value)

    for number, pipe_file in enumerate((without_mode, unimplemented)):
        monkeypatch.setattr(MemoryFileSystem, "pipe_file", pipe_file)
        url = f"memory://old-stores/{number}.nvp"
        storage.write(url, b"one", overwrite=False)
        with pytest.raises(nvpcodec.OutputExistsError):
            storage.write(url, b"two", overwrite=False)
        assert get(url) == b"one"


def test_what_is_not_there_or_no_file(folder: str) -> None:
    for call in (nvpcodec.read, nvpcodec.info):
        with pytest.raises(nvpcodec.InputError, match="does not exist"):
            call(f"{folder}/none.nvp")
    for name, content in {"text": b"text", "empty": b"", "cut": nvpcodec.encode(GREY)[:-1]}.items():
        put(f"{folder}/{name}.nvp", content)
        for call in (nvpcodec.read, nvpcodec.info):
            with pytest.raises(nvpcodec.FormatError):
                call(f"{folder}/{name}.nvp")
    with pytest.raises(nvpcodec.OutputError, match="directory"):
        nvpcodec.write(folder, GREY)


def test_a_bucket_that_is_not_there(server: str) -> None:
    with pytest.raises(nvpcodec.OutputError, match=r"s3://nowhere/a\.nvp cannot be written: .*bucket"):
        nvpcodec.write("s3://nowhere/a.nvp", GREY)
    with pytest.raises(nvpcodec.OutputError, match="cannot be written"):
        nvpcodec.write("s3://nowhere/a.nvp", GREY, overwrite=True)
    with pytest.raises(nvpcodec.InputError, match="does not exist"):
        nvpcodec.read("s3://nowhere/a.nvp")


def test_http_is_read(server: str) -> None:
    data = nvpcodec.encode(WIDE)
    put(f"s3://{BUCKET}/http/a.nvp", data)
    fsspec.filesystem("s3").chmod(f"{BUCKET}/http/a.nvp", "public-read")
    assert np.array_equal(nvpcodec.read(f"{server}/{BUCKET}/http/a.nvp"), WIDE)
    assert nvpcodec.info(f"{server}/{BUCKET}/http/a.nvp") == nvpcodec.info(data)
    with pytest.raises(nvpcodec.InputError, match="cannot be read"):
        nvpcodec.read("http://127.0.0.1:9/a.nvp")


def test_a_file_url_is_written_as_files_are(tmp_path: Path) -> None:
    path = tmp_path / "a.nvp"
    path.write_bytes(b"old")
    path.chmod(0o640)
    link = tmp_path / "link.nvp"
    link.symlink_to(path)
    nvpcodec.write(f"file://{link}", GREY, overwrite=True)
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640
    assert np.array_equal(nvpcodec.read(path), GREY)
    with pytest.raises(nvpcodec.OutputError, match="no directory"):
        nvpcodec.write(f"file://{tmp_path}/none/a.nvp", GREY)


def test_unknown_schemes_and_missing_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(nvpcodec.InputError, match=r"not known: abacus; use s3://"):
        nvpcodec.read("abacus://a.nvp")
    with pytest.raises(nvpcodec.InputError, match=r"abfs://a/b.nvp needs another package: .*adlfs"):
        nvpcodec.write("abfs://a/b.nvp", GREY)
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(nvpcodec.InputError, match=r"pip install 'nvpcodec\[fsspec\]'"):
        nvpcodec.read("s3://bucket/a.nvp")


def test_s3_without_s3fs() -> None:
    program = """
import sys
sys.modules["s3fs"] = None
import nvpcodec
try:
    nvpcodec.read("s3://bucket/a.nvp")
except nvpcodec.InputError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "s3://bucket/a.nvp needs another package: pip install 'nvpcodec[s3]'\n"


def test_a_zarr_array_in_s3(server: str) -> None:
    url = f"s3://{BUCKET}/a.zarr"
    stack = np.stack([GREY, GREY[::-1]])
    zarr.create_array(
        FsspecStore.from_url(url), data=stack, chunks=(1, 10, 12), serializer=NvpCodec(), compressors=None
    )
    again = zarr.open_array(FsspecStore.from_url(url), mode="r")
    assert np.array_equal(again[:, 5:15], stack[:, 5:15])


# --- info --------------------------------------------------------------------------------------------------


def test_info_fetches_the_head_only(server: str, caplog: pytest.LogCaptureFixture) -> None:
    url = f"s3://{BUCKET}/info/wide.nvp"
    data = nvpcodec.encode(WIDE)
    assert len(data) > HEAD_BYTES
    put(url, data)
    with caplog.at_level(logging.INFO, "werkzeug"):
        assert nvpcodec.info(url) == nvpcodec.info(data)
    fetches = [record.getMessage() for record in caplog.records if "GET" in record.getMessage()]
    assert len(fetches) == 1
    assert " 206 " in fetches[0], "a part, not the whole"


def test_info_fetches_more_where_it_must(folder: str) -> None:
    icc = noise(3, height=1, width=HEAD_BYTES).samples.tobytes()
    with_profile = codec.encode_image(
        Image(gradient().samples, Kind.RGB, metadata=Metadata(icc=icc)), nvpcodec.Options()
    )
    side = 150
    many_regions = container.write(
        container.Container(
            kind=container.GREY,
            bit_depth=8,
            width=side,
            height=side,
            region_height=1,
            region_width=1,
            model_id=None,
            side_data=b"",
            regions=(container.RegionPart(container.MODE_STORED, b"\x18\x00"),) * side**2,
            pixel_checksum=container.checksum(bytes(side**2)),
        )
    )
    for number, data in enumerate((with_profile, many_regions)):
        put(f"{folder}/{number}.nvp", data)
        assert nvpcodec.info(f"{folder}/{number}.nvp") == nvpcodec.info(data)


def test_info_refuses_what_its_head_tells() -> None:
    data = nvpcodec.encode(WIDE)
    assert len(data) > HEAD_BYTES + 1
    bad = {
        "cut.nvp": data[:-1],
        "long.nvp": data + b"\0",
        "head.nvp": data[:9] + bytes((data[9] ^ 1,)) + data[10:],
        "other.nvp": b"P5" + data,
    }
    for name, content in bad.items():
        put(f"memory://bad/{name}", content)
        with pytest.raises(nvpcodec.FormatError) as refused:
            nvpcodec.info(content)
        with pytest.raises(type(refused.value)):
            nvpcodec.info(f"memory://bad/{name}")


# --- command line ------------------------------------------------------------------------------------------


def test_commands_take_urls(run: Runner, folder: str) -> None:
    image = gradient()
    put(f"{folder}/a.png", png.write(image))
    assert run("encode", f"{folder}/a.png").status == 0
    assert get(f"{folder}/a.nvp") == codec.encode_image(image, nvpcodec.Options())
    assert f"{folder}/a.nvp: 34x21 rgb" in run("info", f"{folder}/a.nvp").out.decode()
    assert run("decode", f"{folder}/a.nvp", "b.png").status == 0
    assert imagefile.read(Path("b.png").read_bytes(), max_pixels=10**6).image.equals(image)
    before = get(f"{folder}/a.nvp")
    assert "exists already" in run.fails("encode", "b.png", f"{folder}/a.nvp", status=2)
    assert get(f"{folder}/a.nvp") == before
    assert run("decode", "-f", f"{folder}/a.nvp", f"{folder}/a.png").status == 0
    assert names(folder) == sorted(("a.nvp", "a.png", *(["b.png"] if folder.startswith("file") else [])))


def test_bad_urls_are_one_line(run: Runner) -> None:
    for command, *target in (("encode", "-"), ("decode", "-"), ("info",)):
        assert "does not exist" in run.fails(command, "memory://none/a.nvp", *target, status=2)
        assert "abacus" in run.fails(command, "abacus://a.nvp", *target, status=1)
    put("memory://line/a.png", b"text")
    assert "memory://line/a.png: " in run.fails("encode", "memory://line/a.png", status=1)
    assert run.fails("info", "memory://line/a.png", status=1).count("memory://line/a.png") == 1
    assert "suffix" in run.fails("encode", "memory://line/a.png", "memory://line/a.jpg", status=2)
    assert "name OUT" in run.fails("encode", "http://host/a.png?key=1", status=2)


def test_the_input_itself_is_no_output(run: Runner, tmp_path: Path) -> None:
    path = tmp_path / "same"
    path.write_bytes(png.write(gradient()))
    assert "input itself" in run.fails("encode", "-f", "same", f"file://{path}", status=2)
    put("memory://same/same", b"text")
    assert "input itself" in run.fails("encode", "-f", "memory://same/same", "memory://same/same", status=2)


def test_s3_end_to_end(server: str, tmp_path: Path) -> None:
    """Each command in a process of its own, which finds the server by its environment."""

    def nvp(*arguments: str) -> Result:
        done = subprocess.run(
            [sys.executable, "-m", "nvpcodec", *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            cwd=tmp_path,
            capture_output=True,
            timeout=120,
        )
        return Result(done.returncode, done.stdout, done.stderr.decode())

    image = noise(4, height=180, width=180)
    (tmp_path / "a.png").write_bytes(png.write(image))
    url = f"s3://{BUCKET}/cli/a.nvp"
    encoded = nvp("encode", "a.png", url)
    assert encoded.status == 0
    assert encoded.err.startswith(f"a.png -> {url}: ")
    assert encoded.err.count("\n") == 1
    assert get(url) == codec.encode_image(image, nvpcodec.Options())
    described = nvp("info", "--json", url)
    assert (described.status, described.err) == (0, "")
    assert json.loads(described.out)["file_bytes"] == len(get(url))
    assert nvp("decode", "-q", url) == (0, b"", "")
    assert imagefile.read(get(f"s3://{BUCKET}/cli/a.png"), max_pixels=10**6).image.equals(image)
    refused = nvp("encode", "a.png", url)
    assert (refused.status, refused.err.count("\n")) == (2, 1)
    assert "exists already" in refused.err
