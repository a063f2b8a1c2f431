"""The .nvp container, version 1: bytes to records and back.

    magic, version, form, width, height, region height, region width,
    side data length, region table, [model id]                              the header
    CRC-32 of the header
    side data                                                               opaque here (pixels.py)
    payloads, one a region, in raster order                                 opaque here (plain.py, codec.py)
    CRC-32 of the decoded samples
    CRC-32 of every byte before it

docs/format.md is the normative text. Nothing here allocates more than the bytes at hand justify: counts and
lengths are compared with the geometry and with what is there before anything is copied. Every record has
exactly one encoding: a file that parses is, byte for byte, what ``write`` makes of its record.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TypeAlias

from nvpcodec.errors import DamagedFileError, FormatError, ImageTooLargeError, UnsupportedVersionError

Buffer: TypeAlias = bytes | bytearray | memoryview

MAGIC = b"\x8eNVP"
VERSION = 1

GREY, GREY_ALPHA, RGB, RGBA, PALETTE, BILEVEL = range(6)
CHANNELS = {GREY: 1, GREY_ALPHA: 2, RGB: 3, RGBA: 4, PALETTE: 1, BILEVEL: 1}
BIT_DEPTHS = {GREY: (8, 16), GREY_ALPHA: (8, 16), RGB: (8, 16), RGBA: (8, 16), PALETTE: (8,), BILEVEL: (1,)}

#: Kinds whose regions a flow can code, at 8 bits.
FLOW_KINDS = frozenset({GREY, GREY_ALPHA, RGB, RGBA})

MODE_STORED, MODE_DEFLATE, MODE_LZMA, MODE_DRAWING, MODE_DEEP = range(5)
MODE_FLOW, MODE_FLOW_TOP_FIRST, MODE_RANKS, MODE_TONES, MODE_YCBCR = 16, 17, 18, 19, 20
FLOW_MODES = frozenset({MODE_FLOW, MODE_FLOW_TOP_FIRST})
#: Those that need a model.
MODEL_MODES = FLOW_MODES | {MODE_RANKS, MODE_TONES, MODE_YCBCR}
#: Those for colour alone.
COLOUR_KINDS = frozenset({RGB, RGBA})
COLOUR_MODES = frozenset({MODE_TONES, MODE_YCBCR})
MODES = frozenset({MODE_STORED, MODE_DEFLATE, MODE_LZMA, MODE_DRAWING, MODE_DEEP}) | MODEL_MODES

MAX_DIMENSION = 2**31 - 1
MAX_REGIONS = 2**20
MAX_LENGTH = 2**35 - 1
DEFAULT_MAX_SAMPLES = 2**28
MODEL_ID_BYTES = 8

_DEPTH_CODES = (1, 8, 16)
_KIND_BITS = 3
_VARINT_BYTES = 5
_CRC_BYTES = 4


@dataclass(frozen=True, slots=True)
class RegionPart:
    """One region as coded: ``mode`` is one of ``MODES``, ``payload`` is what that mode's decoder reads."""

    mode: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Container:
    """All that a file holds.

    ``region_height`` and ``region_width`` are those of the grid's full cells, at most ``height`` and
    ``width``; ``regions`` are the cells in raster order, the last row and column holding what is left.
    ``model_id`` (8 bytes) is there exactly if a region's mode is one of ``MODEL_MODES``.  ``pixel_checksum``
    is ``checksum`` of the decoded samples: (height, width, channels) in C order, uint8 or little-endian
    uint16.
    """

    kind: int
    bit_depth: int
    width: int
    height: int
    region_height: int
    region_width: int
    model_id: bytes | None
    side_data: bytes
    regions: tuple[RegionPart, ...]
    pixel_checksum: int


@dataclass(frozen=True, slots=True)
class RegionEntry:
    """A region's line in the table: its mode and how many bytes its payload takes."""

    mode: int
    payload_bytes: int


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says about itself before its payloads, and how many bytes each section takes.

    ``header_bytes`` counts the magic up to and without the header's checksum.
    """

    kind: int
    bit_depth: int
    width: int
    height: int
    region_height: int
    region_width: int
    model_id: bytes | None
    side_bytes: int
    regions: tuple[RegionEntry, ...]
    header_bytes: int

    @property
    def side_data_start(self) -> int:
        """Where the side data begin: behind the header's checksum."""
        return self.header_bytes + _CRC_BYTES

    @property
    def samples(self) -> int:
        """Number of samples: width x height x channels."""
        return self.width * self.height * CHANNELS[self.kind]

    @property
    def payload_bytes(self) -> int:
        """Bytes of all payloads together."""
        return sum(region.payload_bytes for region in self.regions)

    @property
    def checksum_bytes(self) -> int:
        """Bytes of the three checksums together."""
        return 3 * _CRC_BYTES

    @property
    def file_bytes(self) -> int:
        """Bytes of the whole file."""
        return self.header_bytes + self.side_bytes + self.payload_bytes + self.checksum_bytes


def checksum(data: Buffer, before: int = 0) -> int:
    """CRC-32 of ``data`` (the polynomial of PNG and zlib), behind bytes whose checksum is ``before``."""
    return zlib.crc32(data, before)


def varint_to_bytes(value: int) -> bytes:
    """``value``, 0 to ``MAX_LENGTH``: 7 bits a byte, low ones first; bit 7 says that more bytes follow."""
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def varint_from_bytes(data: Buffer, position: int) -> tuple[int, int]:
    """The number that starts at ``position``, and the position after it.

    Raises
    ------
    DamagedFileError
        ``data`` ends within the number, or this is not its one shortest form of at most 5 bytes.
    """
    value = 0
    for index, byte in enumerate(data[position : position + _VARINT_BYTES]):
        value |= (byte & 0x7F) << 7 * index
        if byte == 0 and index > 0:
            raise DamagedFileError("a number in the file has needless zero bytes; get a good copy")
        if byte < 0x80:
            return value, position + index + 1
    raise DamagedFileError("a number in the file has no end; get a complete copy")


def write(container: Container) -> bytes:
    """The bytes of the file that holds ``container``.

    Raises
    ------
    FormatError
        The record breaks a rule of the format.
    ImageTooLargeError
        Width or height is above ``MAX_DIMENSION``.
    """
    if max(container.width, container.height) > MAX_DIMENSION:
        raise ImageTooLargeError(
            f"the image is {container.width}x{container.height}, the format ends at {MAX_DIMENSION} a side; "
            "cut it into parts"
        )
    header = _header_of(container)
    _check_header(header)
    if not 0 <= container.pixel_checksum < 2**32:
        raise FormatError(f"the pixel checksum {container.pixel_checksum} is no 32-bit number")
    head = _header_to_bytes(header)
    body = b"".join(
        (
            head,
            _crc_to_bytes(checksum(head)),
            container.side_data,
            *(region.payload for region in container.regions),
            _crc_to_bytes(container.pixel_checksum),
        )
    )
    return body + _crc_to_bytes(checksum(body))


def parse(data: Buffer, *, max_samples: int = DEFAULT_MAX_SAMPLES) -> Container:
    """The record that a whole file holds; everything in it is checked but the meaning of the opaque parts.

    Raises
    ------
    FormatError
        ``data`` is no .nvp file, or breaks a rule of the format; DamagedFileError if it was cut or changed,
        UnsupportedVersionError if its version is not 1.
    ImageTooLargeError
        The image has more than ``max_samples`` samples.
    """
    view = memoryview(data).cast("B")
    header = parse_header(view)
    check_length(header, len(view))
    stored = _crc_from_bytes(view[-_CRC_BYTES:])
    _compare_checksums("file", stored, checksum(view[:-_CRC_BYTES]))
    if header.samples > max_samples:
        raise ImageTooLargeError(
            f"the image has {header.samples} samples ({header.width}x{header.height}), "
            f"the limit is {max_samples}; raise the limit to decode it"
        )
    return _container_of(header, view)


def parse_header(data: Buffer) -> Header:
    """What the first bytes of a file say; ``data`` may be the whole file or any part that holds the header.

    No limit on the image's size applies, as nothing is decoded.

    Raises
    ------
    FormatError
        As for ``parse``; DamagedFileError also where ``data`` ends within the header.
    """
    view = memoryview(data).cast("B")
    _check_magic(view)
    header = _header_from_bytes(view)
    end = header.header_bytes
    if len(view) < end + _CRC_BYTES:
        raise DamagedFileError("the file was cut within its header; get a complete copy")
    stored = _crc_from_bytes(view[end : end + _CRC_BYTES])
    _compare_checksums("header", stored, checksum(view[:end]))
    _check_header(header)
    return header


def check_length(header: Header, file_bytes: int) -> None:
    """Refuse a file of another length than its header says.

    Raises
    ------
    FormatError
        It is longer; DamagedFileError if it is shorter.
    """
    if file_bytes < header.file_bytes:
        raise DamagedFileError(
            f"the file was cut: it has {file_bytes} of its {header.file_bytes} bytes; get a complete copy"
        )
    if file_bytes > header.file_bytes:
        raise FormatError(
            f"{file_bytes - header.file_bytes} bytes follow the end of the file at byte {header.file_bytes}; "
            "remove them"
        )


def _header_of(container: Container) -> Header:
    """The header of ``container``; its own length is not known yet and left at 0."""
    return Header(
        kind=container.kind,
        bit_depth=container.bit_depth,
        width=container.width,
        height=container.height,
        region_height=container.region_height,
        region_width=container.region_width,
        model_id=container.model_id,
        side_bytes=len(container.side_data),
        regions=tuple(RegionEntry(region.mode, len(region.payload)) for region in container.regions),
        header_bytes=0,
    )


def _container_of(header: Header, view: memoryview) -> Container:
    """The record whose checked header is ``header``, its parts copied out of the whole file ``view``."""
    position = header.side_data_start
    side_data = bytes(view[position : position + header.side_bytes])
    position += header.side_bytes
    regions = []
    for entry in header.regions:
        regions.append(RegionPart(entry.mode, bytes(view[position : position + entry.payload_bytes])))
        position += entry.payload_bytes
    return Container(
        kind=header.kind,
        bit_depth=header.bit_depth,
        width=header.width,
        height=header.height,
        region_height=header.region_height,
        region_width=header.region_width,
        model_id=header.model_id,
        side_data=side_data,
        regions=tuple(regions),
        pixel_checksum=_crc_from_bytes(view[position : position + _CRC_BYTES]),
    )


def _header_to_bytes(header: Header) -> bytes:
    """The header section; the rules have been checked."""
    whole_height = header.region_height == header.height
    whole_width = header.region_width == header.width
    parts = [
        MAGIC,
        bytes((VERSION, header.kind | _DEPTH_CODES.index(header.bit_depth) << _KIND_BITS)),
        varint_to_bytes(header.width),
        varint_to_bytes(header.height),
        varint_to_bytes(0 if whole_height else header.region_height),
        varint_to_bytes(0 if whole_width else header.region_width),
        varint_to_bytes(header.side_bytes),
    ]
    for region in header.regions:
        parts += (bytes((region.mode,)), varint_to_bytes(region.payload_bytes))
    return b"".join((*parts, header.model_id or b""))


def _header_from_bytes(view: memoryview) -> Header:
    """The header section as it stands, before its checksum and its rules are checked."""
    reader = _Reader(view, len(MAGIC))
    version = reader.byte()
    if version != VERSION:
        raise UnsupportedVersionError(
            f"the file has format version {version}, this program reads version {VERSION}; "
            "use a newer nvpcodec"
        )
    form = reader.byte()
    width, height = reader.varint(), reader.varint()
    region_height, region_width = reader.cell(height), reader.cell(width)
    side_bytes = reader.varint()
    count = _region_count(width, height, region_height, region_width)
    regions = reader.region_table(count)
    flow = any(region.mode in MODEL_MODES for region in regions)
    model_id = reader.take(MODEL_ID_BYTES) if flow else None
    depth_code = form >> _KIND_BITS
    return Header(
        kind=form & ((1 << _KIND_BITS) - 1),
        bit_depth=_DEPTH_CODES[depth_code] if depth_code < len(_DEPTH_CODES) else 0,
        width=width,
        height=height,
        region_height=region_height,
        region_width=region_width,
        model_id=model_id,
        side_bytes=side_bytes,
        regions=regions,
        header_bytes=reader.position,
    )


class _Reader:
    """A position in the header that moves forward; running out of bytes is damage."""

    def __init__(self, view: memoryview, position: int) -> None:
        self._view = view
        self.position = position

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        end = self.position + count
        if end > len(self._view):
            raise DamagedFileError("the file was cut within its header; get a complete copy")
        taken = bytes(self._view[self.position : end])
        self.position = end
        return taken

    def byte(self) -> int:
        """The next byte."""
        return self.take(1)[0]

    def varint(self) -> int:
        """The next number."""
        value, self.position = varint_from_bytes(self._view, self.position)
        return value

    def cell(self, whole: int) -> int:
        """The next number as a side of the grid's cells: 0 stands for the ``whole`` side of the image."""
        side = self.varint()
        if side == whole > 0:
            raise DamagedFileError("a region's side is spelt out though it is the image's; get a good copy")
        return side or whole

    def region_table(self, count: int) -> tuple[RegionEntry, ...]:
        """The next ``count`` lines of the region table."""
        # A line takes two bytes at least, so a claim that the bytes cannot meet is refused before the loop.
        if count > MAX_REGIONS or 2 * count > len(self._view) - self.position:
            raise DamagedFileError(
                f"the header claims {count} regions, more than fit in what is there; get a complete copy"
            )
        return tuple(RegionEntry(self.byte(), self.varint()) for _ in range(count))


def _region_count(width: int, height: int, region_height: int, region_width: int) -> int:
    """How many cells the grid has; 0 if a side is 0, which ``_check_header`` refuses."""
    if 0 in (region_height, region_width):
        return 0
    return -(-height // region_height) * -(-width // region_width)


def _check_magic(view: memoryview) -> None:
    start = bytes(view[: len(MAGIC)])
    if not start:
        raise FormatError("the file is empty; it should hold an .nvp image")
    if start == MAGIC:
        return
    if MAGIC.startswith(start):
        raise DamagedFileError("the file was cut within its first bytes; get a complete copy")
    raise FormatError("this is not an .nvp file: it does not begin as one; check the file's name")


def _check_header(header: Header) -> None:
    """Refuse what breaks a rule of the format, be it about to be written or just read."""
    if header.kind not in CHANNELS:
        raise FormatError(f"image kind {header.kind} is reserved; use a newer nvpcodec")
    if header.bit_depth not in BIT_DEPTHS[header.kind]:
        raise FormatError(f"bit depth {header.bit_depth} is not defined for image kind {header.kind}")
    if not (0 < header.width <= MAX_DIMENSION and 0 < header.height <= MAX_DIMENSION):
        raise FormatError(f"an image of {header.width}x{header.height} pixels is outside the format")
    if not (0 < header.region_height <= header.height and 0 < header.region_width <= header.width):
        raise FormatError(
            f"regions of {header.region_width}x{header.region_height} do not fit an image of "
            f"{header.width}x{header.height}"
        )
    _check_regions(header)


def _check_regions(header: Header) -> None:
    count = _region_count(header.width, header.height, header.region_height, header.region_width)
    if count > MAX_REGIONS:
        raise FormatError(f"{count} regions are more than the format's {MAX_REGIONS}; use larger regions")
    if count != len(header.regions):
        raise FormatError(f"the geometry has {count} regions, the region table {len(header.regions)}")
    if reserved := {region.mode for region in header.regions} - MODES:
        raise FormatError(f"region mode {min(reserved)} is reserved; use a newer nvpcodec")
    if max(header.side_bytes, *(region.payload_bytes for region in header.regions)) > MAX_LENGTH:
        raise FormatError(f"a part of the file is longer than the format's {MAX_LENGTH} bytes")
    uses_flow = any(region.mode in MODEL_MODES for region in header.regions)
    if uses_flow and (header.kind not in FLOW_KINDS or header.bit_depth != 8):
        raise FormatError("flow regions hold grey or colour samples of 8 bits; this image has others")
    if header.kind not in COLOUR_KINDS and any(region.mode in COLOUR_MODES for region in header.regions):
        raise FormatError("regions of tones, or of Y, Cb and Cr, are for colour only; this image is grey")
    if header.bit_depth != 16 and any(region.mode == MODE_DEEP for region in header.regions):
        raise FormatError("deep regions hold samples of 16 bits; this image has others")
    if uses_flow != (header.model_id is not None):
        raise FormatError("a model id must be there exactly if a region uses the flow")
    if header.model_id is not None and len(header.model_id) != MODEL_ID_BYTES:
        raise FormatError(f"a model id has {MODEL_ID_BYTES} bytes, not {len(header.model_id)}")


def _compare_checksums(name: str, stored: int, computed: int) -> None:
    if stored != computed:
        raise DamagedFileError(
            f"the {name} checksum is {computed:08x}, stored is {stored:08x}: the file was changed; "
            "get a good copy"
        )


def _crc_to_bytes(value: int) -> bytes:
    return value.to_bytes(_CRC_BYTES, "little")


def _crc_from_bytes(view: memoryview) -> int:
    return int.from_bytes(view, "little")
