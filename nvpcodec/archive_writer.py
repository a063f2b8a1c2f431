"""Writes .nvpa archives: gathers small images into chains, writes blocks, then the index, then the head."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from nvpcodec import archive_index, chains, codec, container, files, plain, sources, ycbcr
from nvpcodec.archive_index import CHAIN, FILE, HEAD_BYTES, Block, Head, Member, Names
from nvpcodec.errors import InputError, OutputExistsError
from nvpcodec.options import Options
from nvpcodec.pixels import Image, Kind, check_size, records_to_bytes

#: Larger images gain nothing from company, and would make their companions slow to reach.
CHAINED_PIXELS = 2**16
#: Who reads one image decodes its chain: it has no more images than this, and no more rows and pixels than
#: these, counting each image as wide as the widest. That is what plain coding sees.
CHAIN_IMAGES = 24
CHAIN_ROWS = 2**12
CHAIN_PIXELS = CHAINED_PIXELS
#: An image that carries more beside its samples has a block of its own.
CHAINED_RECORD_BYTES = 2**14

#: What the images of a chain have in common: kind, bit depth, whether they may be photographs, and whether a
#: JPEG decoder made them.
_Likeness = tuple[Kind, int, bool, bool]


def write_new(stream: BinaryIO, images: Iterable[tuple[str, Image]], options: Options) -> None:
    """Write an archive of these images into an empty stream.

    Raises
    ------
    OutputExistsError
        A name is there twice.
    InputError
        A name cannot be used; an image is too large.
    """
    stream.write(bytes(HEAD_BYTES))
    _Writer(stream, options, []).write(images)


def append(path: Path, images: Iterable[tuple[str, Image]], options: Options) -> None:
    """Add these images to the archive at ``path``.

    What is there stays where it is, and counts until the new head is written, all at once.  If this ends
    earlier, what it wrote behind the archive belongs to nothing; the next call writes over it.

    Raises
    ------
    OutputExistsError
        The archive has an image of that name already.
    InputError, OutputError, FormatError
        As for ``write_new``; the archive is missing or damaged, or another program is changing it.
    """
    with files.changing(path) as stream:
        with sources.opened(stream) as source:
            head = archive_index.read_head(source)
            blocks = archive_index.read_index(source, head)
        stream.truncate(head.end)
        stream.seek(head.end)
        try:
            _Writer(stream, options, list(blocks)).write(images)
        except BaseException:
            _take_back(stream, head)
            raise


def _take_back(stream: BinaryIO, head: Head) -> None:
    """Remove what lies behind the archive, unless a new head says that it belongs there."""
    stream.seek(0)
    if stream.read(HEAD_BYTES) == archive_index.head_to_bytes(head):
        stream.truncate(head.end)


@dataclass
class _Group:
    """Images that wait for company."""

    names: list[str] = field(default_factory=list)
    images: list[Image] = field(default_factory=list)

    def has_room(self, image: Image) -> bool:
        images = [*self.images, image]
        rows, columns = sum(each.height for each in images), max(each.width for each in images)
        fits = len(images) <= CHAIN_IMAGES and rows <= CHAIN_ROWS and rows * columns <= CHAIN_PIXELS
        return fits or not self.images

    def add(self, name: str, image: Image) -> None:
        self.names.append(name)
        self.images.append(image)


class _Writer:
    """Writes blocks from where ``stream`` is; ``blocks`` are those that the archive has already."""

    def __init__(self, stream: BinaryIO, options: Options, blocks: list[Block]) -> None:
        self._stream = stream
        self._options = options
        self._blocks = blocks
        self._groups: dict[_Likeness, _Group] = {}
        self._names = Names()
        for block in self._blocks:
            for member in block.members:
                self._names.add(member.name)

    def write(self, images: Iterable[tuple[str, Image]]) -> None:
        """Blocks of all images, the index, and the head last."""
        for name, image in images:
            self._add(name, image)
        for group in self._groups.values():
            self._write_chain(group)
        index = archive_index.index_to_bytes(self._blocks)
        head = Head(self._stream.tell(), len(index), container.checksum(index))
        self._stream.write(index)
        self._settle()
        self._stream.seek(0)
        self._stream.write(archive_index.head_to_bytes(head))
        self._settle()

    def _settle(self) -> None:
        """What has been written is on the disk before anything that comes after it."""
        self._stream.flush()
        if not isinstance(self._stream, io.BytesIO):
            os.fsync(self._stream.fileno())

    def _add(self, name: str, image: Image) -> None:
        self._take_name(name)
        check_size(image.width, image.height, self._options.max_pixels)
        large = image.width * image.height > CHAINED_PIXELS
        if large or len(records_to_bytes(image)) > CHAINED_RECORD_BYTES:
            self._write_block(FILE, [name], [image], codec.encode_image(image, self._options))
            return
        likeness = _likeness(image)
        group = self._groups.setdefault(likeness, _Group())
        if not group.has_room(image):
            self._write_chain(group)
            group = self._groups[likeness] = _Group()
        group.add(name, image)

    def _take_name(self, name: str) -> None:
        if name in self._names:
            raise OutputExistsError(f"the archive has an image {name!r} already; choose another name")
        if (fault := self._names.add(name)) is not None:
            raise InputError(f"an image cannot be called {name[:100]!r}: the name {fault}")

    def _write_chain(self, group: _Group) -> None:
        self._write_block(CHAIN, group.names, group.images, chains.encode(group.images, self._options))

    def _write_block(self, block_type: int, names: list[str], images: list[Image], data: bytes) -> None:
        block = Block(
            type=block_type,
            kind=images[0].kind,
            bit_depth=images[0].bit_depth,
            start=self._stream.tell(),
            length=len(data),
            checksum=container.checksum(data),
            members=tuple(Member(n, i.width, i.height) for n, i in zip(names, images, strict=True)),
        )
        self._stream.write(data)
        self._blocks.append(block)


def _likeness(image: Image) -> _Likeness:
    photographic = (
        image.kind in container.FLOW_KINDS
        and image.bit_depth == 8
        and plain.estimate(image.samples, 8) >= codec.DRAWING_SHARE * image.samples.size
    )
    by_jpeg = photographic and ycbcr.find(image.samples[..., :3].astype(np.uint8, copy=False)) is not None
    return image.kind, image.bit_depth, photographic, by_jpeg
