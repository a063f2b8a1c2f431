"""Parts of files: boxes of pixels from the regions that they touch, smaller images from coarse scales.

Only the bytes that are needed are read. So the checksums of the file and of all pixels cannot be compared;
what holds of the parts that are read is said where they are read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from nvpcodec import codec, colour, container, flow_payload, outline, plain, ranks, ycbcr
from nvpcodec.container import Header, RegionPart
from nvpcodec.errors import InputError
from nvpcodec.layout import scale_sizes
from nvpcodec.options import Options
from nvpcodec.phase_coder import PhaseCoder
from nvpcodec.phase_head import Head
from nvpcodec.pixels import Image, Kind, Samples, check_size, image_from_side_data
from nvpcodec.regions import Region
from nvpcodec.sources import Source
from nvpcodec.stack import Ints, Stack, from_bytes, from_top


def read_box(source: Source, header: Header, box: tuple[int, int, int, int], options: Options) -> Image:
    """The pixels of ``box``, (top, left, bottom, right), half-open, as an image without metadata.

    The regions that it touches are read and decoded whole.

    Raises
    ------
    InputError
        The box is not inside the image; ImageTooLargeError if those regions have too many pixels.
    FormatError
        The file is none, is damaged, or needs what is not here.
    """
    wanted = _checked_box(box, header)
    touched = [cell for cell in outline.cells(header) if _overlap(cell.region, wanted)]
    first, last = touched[0].region, touched[-1].region
    check_size(last.right - first.left, last.bottom - first.top, options.max_pixels)
    reader = _Reader(source, header, options)
    samples = np.empty((*wanted.shape, reader.kind.channels), reader.dtype)
    for cell in touched:
        both = _common(cell.region, wanted)
        decoded = reader.decode(cell)
        samples[_within(both, wanted).window] = decoded[_within(both, cell.region).window]
    return reader.image(samples)


def read_reduced(source: Source, header: Header, factor: int, options: Options) -> Image:
    """The image made smaller by ``factor``, a power of two, as an image without metadata.

    Of each region, it has the pixels whose row and column, counted from the region's corner, are multiples
    of the factor; so has the whole image where region sides are.

    Raises
    ------
    ImageTooLargeError
        It would still be too large, or what has to be decoded for it.
    FormatError
        As for ``read_box``.
    """
    width, height = outline.reduced_size(header, factor)
    check_size(width, height, options.max_pixels)
    reader = _Reader(source, header, options)
    samples = np.empty((height, width, reader.kind.channels), reader.dtype)
    for cell in outline.cells(header):
        top, left = (
            outline.reduced_side(corner, side, factor)
            for corner, side in (
                (cell.region.top, header.region_height),
                (cell.region.left, header.region_width),
            )
        )
        part = reader.reduce(cell, factor)
        samples[top : top + part.shape[0], left : left + part.shape[1]] = part
    return reader.image(samples)


class _Reader:
    """Decodes regions of one file."""

    def __init__(self, source: Source, header: Header, options: Options) -> None:
        self._source = source
        self._header = header
        self._max_pixels = options.max_pixels
        self._coder = codec.find_coder(header.model_id, options)
        self.kind = Kind(header.kind)
        self.dtype = np.uint16 if header.bit_depth == 16 else np.uint8

    def image(self, samples: Samples) -> Image:
        """An image of decoded samples; its palette is all that it has of the side data."""
        if self.kind is not Kind.PALETTE:
            return Image(samples, self.kind)
        whole = image_from_side_data(samples, self.kind, outline.read_side_data(self._source, self._header))
        return Image(samples, self.kind, whole.palette, whole.transparency)

    def decode(self, cell: outline.Cell) -> Samples:
        """The samples (h, w, c) of a region."""
        height, width = cell.region.shape
        check_size(width, height, self._max_pixels)
        part = RegionPart(cell.mode, self._source.read(cell.start, cell.stop))
        shape = (height, width, self.kind.channels)
        return codec.decode_region(part, shape, self.kind, self._header.bit_depth, self._coder)

    def reduce(self, cell: outline.Cell, factor: int) -> Samples:
        """Every ``factor``-th row and column of a region."""
        coder = self._coder
        reducible = container.MODEL_MODES - {container.MODE_TONES}
        if cell.mode not in reducible or not isinstance(coder, PhaseCoder):
            return self.decode(cell)[::factor, ::factor]
        has_alpha = self.kind in codec.ALPHA_KINDS
        planes = self.kind.channels - has_alpha
        to_colours: Callable[[Ints], Samples] = colour.from_planes
        if cell.mode == container.MODE_RANKS:
            to_colours, cell = self._ranks(cell, planes)
        elif cell.mode == container.MODE_YCBCR:
            to_colours, cell = self._ycbcr(cell)
        length = cell.stop - cell.start
        head = self._read(cell, slice(0, min(flow_payload.HEAD_BYTES, length)))
        places = flow_payload.find(cell.mode, head, length, has_alpha=has_alpha)
        values = self._coarse_scale(coder, cell, self._coded(cell, head, places.colours), planes, factor)
        colours = to_colours(values)
        if places.alpha_mode is None:
            return colours
        height, width = cell.region.shape
        check_size(width, height, self._max_pixels)
        payload = self._read(cell, places.alpha)
        alpha = plain.decode(places.alpha_mode, payload, (height, width, 1), 8)[::factor, ::factor]
        return np.concatenate([colours, alpha], 2)

    def _ranks(self, cell: outline.Cell, channels: int) -> tuple[Callable[[Ints], Samples], outline.Cell]:
        """What makes colours of the planes of ranks, and the cell of the payload that holds these."""
        end = min(channels * ranks.TABLE_BYTES + 1, cell.stop - cell.start)
        occurring, part = ranks.split(self._read(cell, slice(0, end)), channels)
        inner = replace(cell, mode=part.mode, start=cell.start + end)
        return lambda planes: ranks.values_of(occurring, colour.from_planes(planes)), inner

    def _ycbcr(self, cell: outline.Cell) -> tuple[Callable[[Ints], Samples], outline.Cell]:
        """The same for Y, Cb and Cr."""
        part = ycbcr.split(self._read(cell, slice(0, min(1, cell.stop - cell.start))))
        return ycbcr.to_colours, replace(cell, mode=part.mode, start=cell.start + 1)

    def _coded(self, cell: outline.Cell, head: bytes, place: slice) -> tuple[Head, Stack]:
        """Head and stack of a payload; the stack is read as far as it is needed if its top comes first."""
        if cell.mode != container.MODE_FLOW_TOP_FIRST:
            colours = self._read(cell, place)
            whole = Head.of(colours[:1])
            return whole, from_bytes(colours[1:], even=whole.even)
        first = Head.of(head[place][:1])
        start = cell.start + place.start + 1
        return first, from_top(
            lambda begin, end: self._source.read(start + begin, start + end),
            place.stop - place.start - 1,
            even=first.even,
        )

    def _coarse_scale(
        self, coder: PhaseCoder, cell: outline.Cell, coded: tuple[Head, Stack], planes: int, factor: int
    ) -> Ints:
        head, stack = coded
        size = cell.region.shape
        scale = factor.bit_length() - 1
        # The coarsest scale of a small region may be finer than what is wanted.
        beyond = max(0, scale - (len(scale_sizes(*size)) - 1))
        values = coder.decode_scale(stack, head, planes, size, scale - beyond)
        return values[:, :: 1 << beyond, :: 1 << beyond]

    def _read(self, cell: outline.Cell, place: slice) -> bytes:
        return self._source.read(cell.start + place.start, cell.start + place.stop)


def _checked_box(box: tuple[int, int, int, int], header: Header) -> Region:
    top, left, bottom, right = box
    if not (0 <= top < bottom <= header.height and 0 <= left < right <= header.width):
        raise InputError(
            f"the box {tuple(box)} is not inside the image of {header.height} rows and {header.width} "
            "columns; use (top, left, bottom, right)"
        )
    return Region(top, left, bottom, right)


def _common(a: Region, b: Region) -> Region:
    return Region(max(a.top, b.top), max(a.left, b.left), min(a.bottom, b.bottom), min(a.right, b.right))


def _overlap(a: Region, b: Region) -> bool:
    both = _common(a, b)
    return both.top < both.bottom and both.left < both.right


def _within(part: Region, whole: Region) -> Region:
    """``part`` as seen from the corner of ``whole``."""
    return Region(
        part.top - whole.top, part.left - whole.left, part.bottom - whole.top, part.right - whole.left
    )
