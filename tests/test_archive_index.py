"""Head and index of archives: what is written is read, and what no writer makes is refused."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace

import pytest

from nvpcodec import archive_index, container
from nvpcodec.archive_index import CHAIN, FILE, HEAD_BYTES, MAX_INDEX_BYTES, Block, Head, Member, Names
from nvpcodec.errors import (
    DamagedFileError,
    FormatError,
    UnsupportedImageError,
    UnsupportedVersionError,
)
from tests.hostile.makers import crc, varint

GREY_8 = container.GREY | 1 << 3
BLOCKS = (
    Block(CHAIN, container.RGB, 8, 25, 100, 1, (Member("a", 3, 4), Member("b/c.png", 300, 1))),
    Block(FILE, container.GREY, 16, 125, 7, 2**32 - 1, (Member("ä/ö", 70000, 2),)),
    Block(CHAIN, container.BILEVEL, 1, 200, 0, 0, (Member("d", 1, 1),)),
)


def head_for(index: bytes, start: int = 200) -> Head:
    return Head(start, len(index), container.checksum(index))


def deflated(table: bytes, claimed: int | None = None) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return varint(len(table) if claimed is None else claimed) + packer.compress(table) + packer.flush()


def block(
    names: tuple[bytes, ...] = (b"a",),
    *,
    block_type: int = CHAIN,
    form: int = GREY_8,
    gap: int = 0,
    length: int = 9,
    size: bytes = b"\x01\x01",
    count: int | None = None,
) -> bytes:
    """One block of a table, field by field."""
    data = bytes((block_type, form)) + varint(gap) + varint(length) + bytes(4)
    if block_type == CHAIN:
        data += varint(len(names) if count is None else count)
    return data + b"".join(varint(len(name)) + name + size for name in names)


def read_table(table: bytes) -> tuple[Block, ...]:
    index = deflated(table)
    return archive_index.index_from_bytes(index, head_for(index))


def test_the_index_comes_back() -> None:
    index = archive_index.index_to_bytes(BLOCKS)
    assert archive_index.index_from_bytes(index, head_for(index)) == BLOCKS
    assert BLOCKS[0].pixels == 300 * (4 + 1), "below each other, as wide as the widest"


def test_an_empty_index_comes_back() -> None:
    index = archive_index.index_to_bytes(())
    assert archive_index.index_from_bytes(index, head_for(index, HEAD_BYTES)) == ()


def test_the_head_comes_back() -> None:
    head = Head(2**40, 12, 2**32 - 1)
    data = archive_index.head_to_bytes(head)
    assert len(data) == HEAD_BYTES
    assert archive_index.head_from_bytes(data, 2**40 + 12) == head


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", FormatError),
        (b"\x89PNG\r\n", FormatError),
        (container.MAGIC + bytes(30), FormatError),
        (archive_index.MAGIC[:2], DamagedFileError),
        (archive_index.MAGIC + b"\x01" + bytes(3), DamagedFileError),
        (archive_index.MAGIC + b"\x02", UnsupportedVersionError),
        (archive_index.MAGIC + b"\x01" + bytes(20), DamagedFileError),
        (archive_index.head_to_bytes(Head(25, 976, 0)), DamagedFileError),
        (archive_index.head_to_bytes(Head(24, 3, 0)), DamagedFileError),
    ],
)
def test_other_heads_are_refused(data: bytes, error: type[FormatError]) -> None:
    with pytest.raises(error) as caught:
        archive_index.head_from_bytes(data, 1000)
    assert type(caught.value) is error


def test_an_index_too_long_to_be_one_is_refused_before_it_is_read() -> None:
    head = archive_index.head_to_bytes(Head(25, MAX_INDEX_BYTES + 1, 0))
    with pytest.raises(FormatError, match="limit"):
        archive_index.head_from_bytes(head, 2**40)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "../a",
        "a/../b",
        "a/./b",
        "a\0b",
        "a\nb",
        "\x7f",
        "a\\b",
        "C:a",
        "c:/a",
        "\udc80",
        "n" * 1025,
        "é" * 513,
    ],
)
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    assert archive_index.name_fault(name) is not None
    encoded = name.encode("utf-8", "surrogateescape")
    with pytest.raises(FormatError):
        read_table(varint(1) + block((encoded,)))


@pytest.mark.parametrize("name", ["a", "a b.png", "...", "..a", "12:30", "é/ü", "n" * 1024, "-", "~"])
def test_other_names_are_good(name: str) -> None:
    assert read_table(varint(1) + block((name.encode(),)))[0].members[0].name == name


@pytest.mark.parametrize(
    "names", [(b"a", b"a"), (b"a", b"a/b"), (b"a/b", b"a"), (b"a/b/c", b"a/b"), (b"a", b"a/b/c")]
)
def test_names_that_cannot_stand_beside_each_other_are_refused(names: tuple[bytes, ...]) -> None:
    for table in (varint(1) + block(names), varint(2) + block(names[:1]) + block(names[1:])):
        with pytest.raises(FormatError, match="which is"):
            read_table(table)


def test_a_name_may_begin_like_another() -> None:
    names = Names()
    assert [names.add(name) for name in ("a", "ab", "b/c", "b/cd", "b/d")] == [None] * 5
    assert "b" not in names
    assert len(names) == 5


@pytest.mark.parametrize(
    ("table", "error"),
    [
        (b"", DamagedFileError),
        (varint(1), DamagedFileError),
        (varint(2) + block(), DamagedFileError),
        (varint(1) + block() + b"\0", DamagedFileError),
        (varint(1) + block()[:-1], DamagedFileError),
        (varint(1) + block(count=2), DamagedFileError),
        (varint(2**35 - 1) + block(), DamagedFileError),
        (b"\x80\x00" + block(), DamagedFileError),
        (varint(1) + block(gap=167), DamagedFileError),
        (varint(1) + block(length=176), DamagedFileError),
        (varint(1) + block(gap=2**35 - 1, length=2**35 - 1), DamagedFileError),
        (varint(1) + block(block_type=2), FormatError),
        (varint(1) + block(form=6 | 1 << 3), FormatError),
        (varint(1) + block(form=GREY_8 | 1 << 5), FormatError),
        (varint(1) + block(form=container.PALETTE | 2 << 3), FormatError),
        (varint(1) + block(()), FormatError),
        (varint(1) + block(count=4097), FormatError),
        (varint(1) + block(count=2**35 - 1), FormatError),
        (varint(1) + block(size=b"\x00\x01"), FormatError),
        (varint(1) + block(size=b"\x01\x00"), FormatError),
        (varint(1) + block(size=b"\x01" + varint(2**31)), FormatError),
        (varint(1) + block((b"\xff",)), FormatError),
    ],
)
def test_tables_that_no_writer_makes_are_refused(table: bytes, error: type[FormatError]) -> None:
    with pytest.raises(FormatError) as caught:
        read_table(table)
    assert type(caught.value) is error


@pytest.mark.parametrize(
    "index",
    [
        deflated(varint(0), claimed=0),
        deflated(varint(0), claimed=2),
        deflated(varint(0)) + b"\0",
        deflated(varint(0))[:-1],
        varint(1) + b"\xff\xff",
        varint(MAX_INDEX_BYTES + 1),
        b"",
    ],
)
def test_deflated_bytes_that_are_not_what_they_claim_are_refused(index: bytes) -> None:
    with pytest.raises(FormatError):
        archive_index.index_from_bytes(index, head_for(index))


def test_a_bomb_is_left_packed() -> None:
    """A table of 64 MiB that claims one byte: no more than two bytes of it are unpacked."""
    index = deflated(bytes(2**26), claimed=1)
    with pytest.raises(DamagedFileError, match="length that it claims"):
        archive_index.index_from_bytes(index, head_for(index))


def test_a_changed_index_is_refused() -> None:
    index = archive_index.index_to_bytes(BLOCKS)
    head = head_for(index)
    for position in range(len(index)):
        changed = bytearray(index)
        changed[position] ^= 1
        with pytest.raises(DamagedFileError, match="checksum"):
            archive_index.index_from_bytes(bytes(changed), head)
    with pytest.raises(DamagedFileError, match="checksum"):
        archive_index.index_from_bytes(index[:-1], head)


def test_too_many_images_are_not_written() -> None:
    crowd = replace(BLOCKS[0], members=BLOCKS[0].members * (2**19 + 1))
    with pytest.raises(UnsupportedImageError, match="several archives"):
        archive_index.index_to_bytes([crowd])


def test_the_head_is_where_the_text_says() -> None:
    data = archive_index.head_to_bytes(Head(41, 26, 0x5285_04A6))
    assert data == b"\x8eNVA\x01" + struct.pack("<QII", 41, 26, 0x5285_04A6) + crc(data[:21])
