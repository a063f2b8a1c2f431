"""Files that no honest writer makes: cut, changed, or lying under checksums that are right.

``raw_file`` puts a file together field by field without asking whether the fields agree, and seals it with
correct checksums, so that what refuses it is the check of the lie and not a checksum before it.
"""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Iterator, Sequence

MAGIC = b"\x8eNVP"
GREY_8 = 0 | 1 << 3
RGB_8 = 2 | 1 << 3

MAX_NUMBER = 2**35 - 1


def flipped(data: bytes) -> Iterator[tuple[str, bytes]]:
    """``data`` with one byte changed, for each byte: once all of its bits, once a single one."""
    for position, byte in enumerate(data):
        for mask in (0xFF, 1 << position % 8):
            yield (
                f"byte {position} ^ {mask:#04x}",
                data[:position] + bytes((byte ^ mask,)) + data[position + 1 :],
            )


def cuts(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Every proper prefix of ``data``."""
    for length in range(len(data)):
        yield f"cut to {length} bytes", data[:length]


def varint(value: int) -> bytes:
    """Seven bits a byte, low ones first; any size."""
    encoded = b""
    while value >= 0x80:
        encoded += bytes((value & 0x7F | 0x80,))
        value >>= 7
    return encoded + bytes((value,))


def crc(data: bytes | bytearray) -> bytes:
    """The CRC-32 of ``data`` as a file has it."""
    return zlib.crc32(data).to_bytes(4, "little")


def raw_file(
    *,
    version: int = 1,
    form: int = GREY_8,
    width: bytes = b"\x02",
    height: bytes = b"\x03",
    region_height: bytes = b"\x00",
    region_width: bytes = b"\x00",
    side_bytes: bytes = b"\x00",
    table: Sequence[tuple[int, bytes]] = ((0, b"\x07"),),
    model_id: bytes = b"",
    body: bytes = b"\x03abcdef",
    pixel_checksum: bytes | None = None,
    tail: bytes = b"",
) -> bytes:
    """A file of these fields, sealed with right checksums; unchanged, it is a valid one of 2x3 grey pixels.

    Numbers are given as encoded; ``table`` has (mode, encoded payload length); ``body`` is side data and
    payloads; ``tail`` stands after the file's end.
    """
    head = MAGIC + bytes((version, form)) + width + height + region_height + region_width + side_bytes
    head += b"".join(bytes((mode,)) + length for mode, length in table) + model_id
    whole = head + crc(head) + body + (crc(b"abcdef") if pixel_checksum is None else pixel_checksum)
    return whole + crc(whole) + tail


def lies() -> dict[str, bytes]:
    """Malformed files whose checksums are right, by what is wrong with them."""
    return {
        "reserved kind": raw_file(form=6 | 1 << 3),
        "reserved depth": raw_file(form=0 | 3 << 3),
        "reserved form bits": raw_file(form=GREY_8 | 0x80),
        "palette of 16 bits": raw_file(form=4 | 2 << 3),
        "bilevel of 8 bits": raw_file(form=5 | 1 << 3),
        "width 0": raw_file(width=b"\x00"),
        "height 0": raw_file(height=b"\x00"),
        "width above 2^31 - 1": raw_file(width=varint(2**31)),
        "region higher than the image": raw_file(region_height=b"\x04"),
        "region height spelt out though whole": raw_file(region_height=b"\x03"),
        "region width spelt out though whole": raw_file(region_width=b"\x02"),
        "needless zero byte": raw_file(width=b"\x82\x00"),
        "number of six bytes": raw_file(width=b"\x82\x80\x80\x80\x80\x01"),
        "number above 35 bits": raw_file(side_bytes=b"\xff" * 5 + b"\x7f"),
        "reserved mode": raw_file(table=((5, b"\x07"),)),
        "deep samples of 8 bits": raw_file(table=((4, b"\x07"),)),
        "reserved mode above the flow": raw_file(table=((19, b"\x07"),)),
        "flow without a model id": raw_file(table=((16, b"\x07"),)),
        "model id without flow": raw_file(model_id=b"\x01" * 8),
        "table of one line more": raw_file(table=((0, b"\x07"), (0, b"\x00"))),
        "table of one line less": raw_file(region_height=b"\x02"),
        "payload longer than the file": raw_file(table=((0, varint(MAX_NUMBER)),)),
        "payload one byte longer": raw_file(table=((0, b"\x08"),)),
        "payload one byte shorter": raw_file(table=((0, b"\x06"),)),
        "side data longer than the file": raw_file(side_bytes=varint(MAX_NUMBER)),
        "bytes after the end": raw_file(tail=b"\x00"),
        # The CRC-32 of anything followed by its own CRC-32 is this constant.
        "a tail that keeps the last checksum right": raw_file(tail=bytes.fromhex("1cdf4421")),
    }


def huge_claims() -> dict[str, bytes]:
    """Small files that claim enormous images or tables; their checksums are right."""
    side = varint(2**31 - 1)
    return {
        "2^62 pixels in one region": raw_file(width=side, height=side),
        "2^62 regions of one pixel": raw_file(
            width=side, height=side, region_height=b"\x01", region_width=b"\x01"
        ),
        "2^31 regions of one row": raw_file(height=side, region_height=b"\x01"),
        "2^20 regions without lines": raw_file(height=varint(2**20), region_height=b"\x01"),
        "one row of 2^31 pixels": raw_file(width=side, height=b"\x01"),
        "RGB just above the usual limit": raw_file(form=RGB_8, width=varint(2**14), height=varint(5462)),
    }


def deflate_bomb(zeros: int) -> bytes:
    """A raw deflate stream of so many zero bytes, a thousandth as long."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, 9)
    block = bytes(2**16)
    stream = b"".join(deflater.compress(block) for _ in range(zeros // len(block)))
    return stream + deflater.flush()


def lzma_bomb(zeros: int, *, lc: int, lp: int, pb: int) -> bytes:
    """A raw LZMA1 stream of so many zero bytes, a seven-thousandth as long."""
    chosen = {"id": lzma.FILTER_LZMA1, "dict_size": 2**23, "lc": lc, "lp": lp, "pb": pb}
    packer = lzma.LZMACompressor(lzma.FORMAT_RAW, filters=[chosen])
    block = bytes(2**16)
    stream = b"".join(packer.compress(block) for _ in range(zeros // len(block)))
    return stream + packer.flush()
