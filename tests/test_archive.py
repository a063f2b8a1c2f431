"""Archives as a program uses them: by name, added to, killed half-way, changed, told lies."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import nvpcodec
from nvpcodec import Archive, archive, archive_index, archive_writer, chains, container, files, pack
from nvpcodec.archive_index import CHAIN, FILE, HEAD_BYTES, Block, Head, Member
from nvpcodec.errors import (
    DamagedFileError,
    FormatError,
    ImageTooLargeError,
    InputError,
    NvpError,
    OutputError,
    OutputExistsError,
    UnsupportedImageError,
)
from nvpcodec.options import Options
from nvpcodec.pixels import Image, Kind, Metadata
from tests.helpers import EVERY_KIND, flat, gradient, noise
from tests.models import small_options

ROOT = Path(__file__).resolve().parent.parent
CPU = small_options()


def grey(seed: int, height: int = 5, width: int = 6) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width)).astype(np.uint8)


def contents(path: Path) -> dict[str, npt.NDArray[np.generic]]:
    with Archive(path, options=CPU) as opened:
        return {name: np.asarray(opened[name]) for name in opened}


def assert_holds(path: Path, images: dict[str, npt.NDArray[np.uint8]]) -> None:
    found = contents(path)
    assert set(found) == set(images)
    for name, image in images.items():
        assert np.array_equal(found[name], image)


FIRST = {f"old/{seed}": grey(seed) for seed in range(3)}
SECOND = {f"new/{seed}": grey(seed, 7, 4) for seed in range(10, 13)}


# --- there and back -----------------------------------------------------------------------------------------


def test_every_kind_comes_back(tmp_path: Path) -> None:
    """Two of each, small ones and one with much beside its samples; in the order of the index."""
    images = {
        f"{maker.__name__}/{kind.name}-{dtype.__name__}": maker(kind, dtype)
        for kind, dtype in EVERY_KIND
        for maker in (gradient, lambda kind, dtype: noise(3, kind, dtype))
    }
    images["laden"] = replace(flat(), metadata=Metadata(icc=np.random.default_rng(1).bytes(20000)))
    pack(tmp_path / "a.nvpa", images, options=CPU)
    with Archive(tmp_path / "a.nvpa", options=CPU) as opened:
        assert sorted(opened) == sorted(images)
        assert len(opened) == len(images)
        for name in opened.names:
            assert opened.image(name).equals(images[name])
        assert opened.info("laden").sharing == 1
        assert opened.info("gradient/BILEVEL-uint8").sharing == 2


def test_arrays_come_back_as_they_went_in(tmp_path: Path) -> None:
    arrays = {
        "grey": grey(1),
        "large": grey(2, 260, 300),
        "bool": grey(3) > 99,
        "wide": grey(4).astype(np.uint16) * 257,
        "rgba": np.stack([grey(seed) for seed in range(4)], 2),
    }
    pack(tmp_path / "a.nvpa", arrays.items(), options=CPU)
    with Archive(tmp_path / "a.nvpa", options=CPU) as opened:
        for name, array in arrays.items():
            assert opened[name].dtype == array.dtype
            assert np.array_equal(opened.read(name), array)
        info = opened.info("large")
        assert info == archive.MemberInfo("large", 300, 260, "grey", 1, 8, info.stored_bytes, 1)
        assert opened.info("wide").bit_depth == 16


def test_bytes_and_open_files_are_read_too(tmp_path: Path) -> None:
    pack(tmp_path / "a.nvpa", FIRST, options=CPU)
    data = (tmp_path / "a.nvpa").read_bytes()
    for source in (data, io.BytesIO(data), str(tmp_path / "a.nvpa")):
        assert np.array_equal(Archive(source)["old/1"], FIRST["old/1"])


def test_urls_are_written_and_read() -> None:
    pytest.importorskip("fsspec")
    url = "memory://test-archive/a.nvpa"
    pack(url, FIRST, options=CPU)
    assert np.array_equal(Archive(url)["old/2"], FIRST["old/2"])
    with pytest.raises(OutputExistsError):
        pack(url, FIRST, options=CPU)
    with pytest.raises(InputError, match="appended"):
        pack(url, SECOND, options=CPU, append=True)
    pack(url, SECOND, options=CPU, overwrite=True)
    assert set(Archive(url)) == set(SECOND)


def test_an_archive_may_be_empty(tmp_path: Path) -> None:
    pack(tmp_path / "a.nvpa", {})
    assert contents(tmp_path / "a.nvpa") == {}


def sharing(path: Path) -> list[int]:
    with Archive(path, options=CPU) as opened:
        return [opened.info(name).sharing for name in opened]


def test_chains_are_bounded(tmp_path: Path) -> None:
    most = archive_writer.CHAIN_IMAGES
    pack(tmp_path / "a.nvpa", {str(n): grey(n, 2, 2) for n in range(most + 3)}, options=CPU)
    assert sharing(tmp_path / "a.nvpa") == [most] * most + [3] * 3
    halves = {str(n): grey(n, 2**15 // 300, 300) for n in range(3)}
    pack(tmp_path / "b.nvpa", halves, options=CPU)
    assert sharing(tmp_path / "b.nvpa") == [2, 2, 1]
    pack(tmp_path / "c.nvpa", {"tall": grey(1, 2**14, 2), "wide": grey(2, 2, 2**14)}, options=CPU)
    assert sharing(tmp_path / "c.nvpa") == [1, 1]
    tall = {str(n): grey(n, archive_writer.CHAIN_ROWS // 2, 2) for n in range(3)}
    pack(tmp_path / "d.nvpa", tall | {"taller": grey(9, 2**16, 1)}, options=CPU)
    assert sharing(tmp_path / "d.nvpa") == [2, 2, 1, 1]


def test_the_archive_is_a_mapping(tmp_path: Path) -> None:
    pack(tmp_path / "a.nvpa", FIRST, options=CPU)
    with Archive(tmp_path / "a.nvpa") as opened:
        assert "old/1" in opened
        assert "old" not in opened
        assert opened.get("old") is None
        with pytest.raises(KeyError):
            opened["old"]
        assert {opened: 1}[opened] == 1
        with Archive(tmp_path / "a.nvpa") as other:
            assert opened != other
        for ask in (opened.read, opened.image, opened.info):
            with pytest.raises(InputError, match="no image 'old'"):
                ask("old")


def test_what_is_read_belongs_to_the_reader(tmp_path: Path) -> None:
    pack(tmp_path / "a.nvpa", FIRST, options=CPU)
    with Archive(tmp_path / "a.nvpa") as opened:
        opened["old/0"][:] = 0
        assert np.array_equal(opened["old/0"], FIRST["old/0"])


def test_nothing_is_read_from_a_closed_archive(tmp_path: Path) -> None:
    pack(tmp_path / "a.nvpa", FIRST, options=CPU)
    with Archive(tmp_path / "a.nvpa") as opened:
        pass
    with pytest.raises(InputError):
        opened.read("old/0")


# --- random access ------------------------------------------------------------------------------------------


class Watched(io.BytesIO):
    """Counts the bytes that are read of it."""

    count = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.count += len(data)
        return data


def test_one_image_costs_the_bytes_and_the_decoding_of_its_chain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = {str(n): grey(n, 6, 6) for n in range(3 * archive_writer.CHAIN_IMAGES)}
    pack(tmp_path / "a.nvpa", images, options=CPU)
    calls: list[int] = []
    decode = chains.decode

    def counted(
        data: bytes, kind: Kind, depth: int, sizes: list[tuple[int, int]], options: Options
    ) -> list[Image]:
        calls.append(len(sizes))
        return decode(data, kind, depth, sizes, options)

    monkeypatch.setattr(chains, "decode", counted)
    stream = Watched((tmp_path / "a.nvpa").read_bytes())
    opened = Archive(stream)
    head = archive_index.head_from_bytes(stream.getvalue()[:HEAD_BYTES], 10**9)
    assert stream.count == HEAD_BYTES + head.index_bytes
    stream.count = 0
    name = str(archive_writer.CHAIN_IMAGES + 5)
    assert np.array_equal(opened[name], images[name])
    assert stream.count == opened.info(name).stored_bytes
    assert calls == [archive_writer.CHAIN_IMAGES]
    for each in opened:
        assert np.array_equal(opened[each], images[each])
    assert len(calls) == 4, "in order, each chain once more"


def test_threads_share_an_archive(tmp_path: Path) -> None:
    images = FIRST | SECOND | {"large": grey(1, 260, 260)}
    pack(tmp_path / "a.nvpa", images, options=CPU)
    wrong: list[str] = []
    with Archive(tmp_path / "a.nvpa", options=CPU) as opened:

        def read_all(names: list[str]) -> None:
            wrong.extend(name for name in names if not np.array_equal(opened[name], images[name]))

        orders = [list(images)[k:] + list(images)[:k] for k in range(4)]
        threads = [threading.Thread(target=read_all, args=(order,)) for order in orders]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


# --- adding -------------------------------------------------------------------------------------------------


def test_what_is_added_is_there_and_nothing_moves(tmp_path: Path) -> None:
    path = tmp_path / "a.nvpa"
    pack(path, FIRST, options=CPU, append=True)
    before = path.read_bytes()
    pack(path, SECOND, options=CPU, append=True)
    assert_holds(path, FIRST | SECOND)
    assert path.read_bytes()[HEAD_BYTES : len(before)] == before[HEAD_BYTES:]
    pack(path, {"large": grey(9, 260, 260)}, options=CPU, append=True)
    assert_holds(path, FIRST | SECOND | {"large": grey(9, 260, 260)})


def test_a_reader_that_was_open_before_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "a.nvpa"
    pack(path, FIRST, options=CPU)
    with Archive(path) as opened:
        pack(path, SECOND, options=CPU, append=True)
        assert set(opened) == set(FIRST)
        assert np.array_equal(opened["old/2"], FIRST["old/2"])


def test_until_the_head_is_new_the_archive_is_the_old_one(tmp_path: Path) -> None:
    """Every state that a kill can leave: the old head, and any part of what is written behind."""
    path = tmp_path / "a.nvpa"
    pack(path, FIRST, options=CPU)
    before = path.read_bytes()
    pack(path, SECOND, options=CPU, append=True)
    after = path.read_bytes()
    for length in range(len(before), len(after) + 1):
        state = before[:HEAD_BYTES] + after[HEAD_BYTES:length]
        opened = Archive(state)
        assert set(opened) == set(FIRST)
        assert opened.file_bytes == len(before)
    path.write_bytes(before[:HEAD_BYTES] + after[HEAD_BYTES:-3])
    assert_holds(path, FIRST)
    pack(path, SECOND, options=CPU, append=True)
    assert path.read_bytes() == after, "what was left over is gone"


KILLED = """
import os, signal, sys
import numpy as np
from nvpcodec import pack
def images():
    yield "large", np.arange(260 * 260, dtype=np.uint16).reshape(260, 260)
    yield "small", np.zeros((3, 3), np.uint8)
    sys.stdout.write("written"); sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)
pack(sys.argv[1], images(), append=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
def test_a_kill_leaves_the_archive_and_the_next_one_can_add(tmp_path: Path) -> None:
    path = tmp_path / "a.nvpa"
    pack(path, FIRST, options=CPU)
    before = path.read_bytes()
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "written"), done.stderr
    assert path.read_bytes()[: len(before)] == before
    assert os.listdir(tmp_path) == ["a.nvpa"]
    assert_holds(path, FIRST)
    pack(path, SECOND, options=CPU, append=True)
    assert_holds(path, FIRST | SECOND)


def test_what_fails_leaves_the_archive_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.nvpa"
    pack(path, FIRST, options=CPU)
    before = path.read_bytes()
    faults: list[tuple[str, npt.ArrayLike, type[NvpError]]] = [
        ("large", grey(1), OutputExistsError),
        ("../x", grey(1), InputError),
        ("large/x", grey(1), InputError),
        ("x", np.zeros((2, 2), np.float32), UnsupportedImageError),
    ]
    for name, image, error in faults:
        for append in (True, False):
            images: list[tuple[str, npt.ArrayLike]] = [("large", grey(1, 260, 260)), (name, image)]
            with pytest.raises(error):
                pack(path, images, options=CPU, append=append, overwrite=not append)
            assert path.read_bytes() == before
    with pytest.raises(OutputExistsError, match="old/1"):
        pack(path, [("large", grey(1, 260, 260)), ("old/1", grey(1))], options=CPU, append=True)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.nvpa"]


def test_one_program_adds_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "a.nvpa"
    pack(path, FIRST, options=CPU)
    with files.changing(path), pytest.raises(OutputError, match="another program"):
        pack(path, SECOND, options=CPU, append=True)
    pack(path, SECOND, options=CPU, append=True)


def test_targets_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.nvpa"
    path.write_bytes(b"mine")
    with pytest.raises(OutputExistsError):
        pack(path, FIRST)
    with pytest.raises(FormatError):
        pack(path, FIRST, append=True)
    assert path.read_bytes() == b"mine"
    with pytest.raises(OutputError):
        pack(tmp_path / "none" / "a.nvpa", FIRST)
    with pytest.raises(InputError):
        Archive(tmp_path / "none.nvpa")
    with pytest.raises(InputError):
        pack(tmp_path, FIRST, append=True)


# --- refusals -----------------------------------------------------------------------------------------------


def read_all(data: bytes) -> None:
    opened = Archive(data, options=CPU)
    for name in opened:
        opened.read(name)


def test_every_changed_byte_and_every_cut_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.nvpa"
    laden = replace(flat(), metadata=Metadata(icc=np.random.default_rng(1).bytes(17000)))
    pack(path, FIRST | {"laden": laden}, options=CPU)
    data = path.read_bytes()
    read_all(data)
    ends = [*range(400), *range(400, len(data) - 300, 101), *range(len(data) - 300, len(data))]
    for position in ends:
        for mask in (0xFF, 1 << position % 8):
            changed = bytearray(data)
            changed[position] ^= mask
            with pytest.raises(FormatError):
                read_all(bytes(changed))
        with pytest.raises(FormatError):
            Archive(data[:position])
    read_all(data + b"left over")


def archive_of(*blocks: tuple[Block, bytes]) -> bytes:
    """An archive whose blocks hold these bytes, whatever its index says of them; all checksums are right."""
    data, listed = bytes(HEAD_BYTES), []
    for block, content in blocks:
        placed = replace(block, start=len(data), length=len(content), checksum=container.checksum(content))
        listed.append(placed)
        data += content
    index = archive_index.index_to_bytes(listed)
    head = Head(len(data), len(index), container.checksum(index))
    return archive_index.head_to_bytes(head) + data[HEAD_BYTES:] + index


def block(block_type: int, *members: Member, kind: Kind = Kind.GREY, depth: int = 8) -> Block:
    return Block(block_type, kind, depth, 0, 0, 0, members)


def test_a_file_of_another_size_or_form_is_refused() -> None:
    content = nvpcodec.encode(grey(1), options=CPU)
    read_all(archive_of((block(FILE, Member("a", 6, 5)), content)))
    for lying in (
        block(FILE, Member("a", 5, 6)),
        block(FILE, Member("a", 6, 6)),
        block(FILE, Member("a", 6, 5), kind=Kind.PALETTE),
        block(FILE, Member("a", 6, 5), depth=16),
    ):
        with pytest.raises(DamagedFileError, match="another image"):
            read_all(archive_of((lying, content)))
    with pytest.raises(FormatError):
        read_all(archive_of((block(CHAIN, Member("a", 6, 5)), content)))


def test_large_claims_are_refused_before_memory_is_taken() -> None:
    side = 2**31 - 1
    for members in ([Member("a", side, side)], [Member("a", 1, 2**14), Member("b", 2**14, 1)]):
        data = archive_of((block(CHAIN, *members), b"\0" * 20))
        opened = Archive(data, options=Options(max_pixels=10**6))
        assert opened.info("a").height == members[0].height
        with pytest.raises(ImageTooLargeError, match="share its chain"):
            opened.read("a")


def test_images_beyond_the_limit_are_not_packed(tmp_path: Path) -> None:
    with pytest.raises(ImageTooLargeError):
        pack(tmp_path / "a.nvpa", {"a": grey(1)}, options=Options(max_pixels=29))
    assert os.listdir(tmp_path) == []


# --- what it is good for ------------------------------------------------------------------------------------


def test_crops_of_photographs_are_smaller_in_an_archive(tmp_path: Path) -> None:
    """By two hundredths: each saves a header, checksums and initial bits, and pays for its name."""
    from PIL import Image as PillowImage

    crops = {}
    for photograph in ("chelsea", "coffee"):
        with PillowImage.open(ROOT / "demo" / f"{photograph}.png") as opened:
            whole = np.asarray(opened.convert("RGB"))
        for n in range(8):
            crops[f"{photograph}-{n}.png"] = whole[40 + 25 * n :, 30 * n + 80 :][:32, :32]
    chosen = Options(device="cpu")
    path = tmp_path / "a.nvpa"
    pack(path, crops, options=chosen)
    alone = sum(len(nvpcodec.encode(crop, options=chosen)) for crop in crops.values())
    assert path.stat().st_size < 0.98 * alone
    with Archive(path, options=chosen) as opened:
        for name in opened:
            assert np.array_equal(opened[name], crops[name])


def test_opening_and_listing_load_nothing_heavy(tmp_path: Path) -> None:
    pack(tmp_path / "a.nvpa", FIRST, options=CPU)
    program = (
        "import sys, nvpcodec\n"
        "opened = nvpcodec.Archive(sys.argv[1])\n"
        "assert [opened.info(name).width for name in opened] == [6, 6, 6]\n"
        "assert 'torch' not in sys.modules and 'nvpcodec.codec' not in sys.modules\n"
    )
    subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "a.nvpa")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=120,
    )
