"""Where the parts of a file lie: its header from as few bytes as will do, its regions, its smaller sizes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from nvpcodec import container
from nvpcodec.container import Header
from nvpcodec.errors import DamagedFileError, InputError
from nvpcodec.fileinfo import MAX_HEADER_BYTES
from nvpcodec.regions import Region, cut
from nvpcodec.sources import Source

#: What is read at first: the header of nearly every file.
HEAD_BYTES = 1 << 10


@dataclass(frozen=True, slots=True)
class Cell:
    """A region of a file: where it is in the image, how it is coded, where its payload lies in the file."""

    region: Region
    mode: int
    start: int
    stop: int


def read_header(source: Source) -> Header:
    """The header at the beginning of ``source``, whose length is compared with what it says.

    Raises
    ------
    FormatError
        As for ``container.parse_header`` and ``container.check_length``.
    """
    count = HEAD_BYTES
    while True:
        head = source.read(0, min(count, source.size))
        try:
            header = container.parse_header(head)
        except DamagedFileError:  # its header may be a longer one
            if len(head) == source.size or count >= MAX_HEADER_BYTES:
                raise
            count *= 4
        else:
            container.check_length(header, source.size)
            return header


def read_side_data(source: Source, header: Header) -> bytes:
    """The side data as they stand in the file."""
    return source.read(header.side_data_start, header.side_data_start + header.side_bytes)


def cells(header: Header) -> Iterator[Cell]:
    """All regions, in the order of the file."""
    start = header.side_data_start + header.side_bytes
    grid = cut(header.height, header.width, header.region_height, header.region_width)
    for region, entry in zip(grid, header.regions, strict=True):
        yield Cell(region, entry.mode, start, start + entry.payload_bytes)
        start += entry.payload_bytes


def reduced_size(header: Header, factor: int) -> tuple[int, int]:
    """Width and height of a reduced image."""
    return (
        reduced_side(header.width, header.region_width, factor),
        reduced_side(header.height, header.region_height, factor),
    )


def factor_for(header: Header, size: int) -> int:
    """The largest power of two that leaves the longer side ``size`` pixels or more.

    Raises
    ------
    InputError
        ``size`` is below 1.
    """
    if size < 1:
        raise InputError(f"a preview of {size} pixels cannot be made; ask for 1 or more")
    longer = max(header.width, header.height)
    factor = 1
    while factor < longer and _ceil_div(longer, 2 * factor) >= size:
        factor *= 2
    return factor


def reduced_side(length: int, cell: int, factor: int) -> int:
    """What reduced cells of a side, or of a part of it that begins with a cell, have together."""
    full, rest = divmod(length, cell)
    return full * _ceil_div(cell, factor) + _ceil_div(rest, factor)


def _ceil_div(a: int, b: int) -> int:
    return -(-a // b)
