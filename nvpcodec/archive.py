"""Archives: many images in one file, read by name.

Nothing heavy is imported before an image is decoded or written.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from nvpcodec import archive_index, container, files, sources, storage, urls
from nvpcodec.archive_index import FILE, Block
from nvpcodec.errors import DamagedFileError, ImageTooLargeError, InputError
from nvpcodec.options import Options

if TYPE_CHECKING:
    import numpy.typing as npt

    from nvpcodec.arrays import Array
    from nvpcodec.pixels import Image
    from nvpcodec.sources import Readable
    from nvpcodec.storage import Place


@dataclass(frozen=True, slots=True)
class MemberInfo:
    """One image of an archive.

    ``stored_bytes`` are those of its block, which ``sharing`` images have in common: whoever reads one of
    them decodes all.
    """

    name: str
    width: int
    height: int
    kind: str
    channels: int
    bit_depth: int
    stored_bytes: int
    sharing: int


class Archive(Mapping[str, "Array"]):
    """The images of a .nvpa file by name, in the order in which they are stored.

    ``source`` is a path, a URL, bytes, or a binary file that can seek.  Opening reads the index only; an
    image is read and decoded when it is asked for, with those that share its chain.  The last chain is kept,
    so that reading in order decodes each once.  Threads may share an archive; a file stays open until it is
    closed.

    Raises
    ------
    InputError
        The file is missing or cannot be read.
    FormatError
        It is no archive; DamagedFileError if it was cut or changed, UnsupportedVersionError for a later one.

    Examples
    --------
    >>> nvpcodec.pack("icons.nvpa", {"a": first, "b/c": second})
    >>> with nvpcodec.Archive("icons.nvpa") as archive:
    ...     array = archive["b/c"]
    """

    def __init__(self, source: Readable, *, options: Options | None = None) -> None:
        self._options = options or Options()
        with ExitStack() as opening:
            self._source = opening.enter_context(sources.opened(source))
            self._head = archive_index.read_head(self._source)
            blocks = archive_index.read_index(self._source, self._head)
            self._open = opening.pop_all()
        self._places = {
            member.name: (block, place) for block in blocks for place, member in enumerate(block.members)
        }
        self._reading, self._decoding = threading.Lock(), threading.Lock()
        self._last: tuple[Block, list[Image]] | None = None

    def __getitem__(self, name: str) -> Array:
        """The array of the image, as ``nvpcodec.read`` would give it; KeyError if there is none."""
        if name not in self._places:
            raise KeyError(name)
        return self.read(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __eq__(self, other: object) -> bool:
        """Whether it is this very one: a mapping would compare by decoding everything."""
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def __enter__(self) -> Archive:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; no further chain can be read."""
        self._open.close()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all images, those of one chain together."""
        return tuple(self._places)

    @property
    def file_bytes(self) -> int:
        """Bytes of the archive."""
        return self._head.end

    def info(self, name: str) -> MemberInfo:
        """What the index says of an image; InputError if there is none of that name."""
        from nvpcodec.pixels import Kind

        block, place = self._find(name)
        member, kind = block.members[place], Kind(block.kind)
        return MemberInfo(
            name=member.name,
            width=member.width,
            height=member.height,
            kind=kind.name.lower(),
            channels=kind.channels,
            bit_depth=block.bit_depth,
            stored_bytes=block.length,
            sharing=len(block.members),
        )

    def read(self, name: str) -> Array:
        """The array of the image, as ``nvpcodec.read`` would give it.

        Raises
        ------
        InputError
            There is no image of that name, or the archive has been closed.
        FormatError
            It was changed, or needs a model that is not here.
        ImageTooLargeError
            It, or the chain that it is in, has more pixels than ``options`` allow.
        """
        from nvpcodec import arrays

        return arrays.from_image(self.image(name))

    def image(self, name: str) -> Image:
        """The image with all that it carries: palette, transparency, metadata.

        Raises
        ------
        InputError, FormatError, ImageTooLargeError
            As for ``read``.
        """
        block, place = self._find(name)
        self._check_size(block)
        if block.type == FILE:
            return self._decode_file(block)
        with self._decoding:
            if self._last is None or self._last[0] is not block:
                self._last = block, self._decode_chain(block)
            image = self._last[1][place]
        return replace(image, samples=image.samples.copy())

    def _find(self, name: str) -> tuple[Block, int]:
        if name not in self._places:
            raise InputError(f"the archive has no image {name!r}; nvpcodec ls lists its names")
        return self._places[name]

    def _check_size(self, block: Block) -> None:
        if block.pixels > self._options.max_pixels:
            raise ImageTooLargeError(
                f"{block.members[0].name!r} has {block.pixels} pixels with the images that share its chain, "
                f"the limit is {self._options.max_pixels}; raise the limit (--max-pixels) to decode it"
            )

    def _read(self, block: Block) -> bytes:
        with self._reading:
            return archive_index.read_block(self._source, block)

    def _decode_chain(self, block: Block) -> list[Image]:
        from nvpcodec import chains
        from nvpcodec.pixels import Kind

        sizes = [(member.height, member.width) for member in block.members]
        return chains.decode(self._read(block), Kind(block.kind), block.bit_depth, sizes, self._options)

    def _decode_file(self, block: Block) -> Image:
        from nvpcodec import codec

        data, member = self._read(block), block.members[0]
        header = container.parse_header(data)
        found = header.width, header.height, header.kind, header.bit_depth
        if found != (member.width, member.height, block.kind, block.bit_depth):
            raise DamagedFileError(
                f"{member.name!r} is another image than the archive's index says; get a good copy"
            )
        return codec.decode_image(data, self._options)


def pack(
    path: Place,
    images: Mapping[str, npt.ArrayLike | Image] | Iterable[tuple[str, npt.ArrayLike | Image]],
    *,
    options: Options | None = None,
    overwrite: bool = False,
    append: bool = False,
) -> None:
    """Write an archive of ``images``, arrays as ``nvpcodec.encode`` takes them or image records, by name.

    They may be pairs of name and image, which are taken one after another, so that not all of them have to be
    in memory.  A name is a relative path with ``/``.  With ``append`` they are added to the archive at
    ``path``, or make a new one if there is none.  Either way the archive is as it was if anything goes wrong.
    ``path`` may be a URL, but not to append to; then the whole archive is put together in memory.

    Raises
    ------
    OutputExistsError
        The file exists, and neither ``overwrite`` nor ``append`` is given; or an image of that name exists.
    OutputError
        It cannot be written.
    InputError
        A name cannot be used, or an array is no image.
    FormatError
        The file to append to is no archive, or was changed.
    """
    from nvpcodec import archive_writer

    options = options or Options()
    pairs = images.items() if isinstance(images, Mapping) else images
    records = ((name, _record_of(image)) for name, image in pairs)
    located = storage.locate(path)
    if not isinstance(located, Path):
        if append:
            raise InputError(f"{urls.shown(str(path))} is a URL, which cannot be appended to; fetch it first")
        storage.check_target(path, overwrite=overwrite)
        stream = io.BytesIO()
        archive_writer.write_new(stream, records, options)
        storage.write(path, stream.getvalue(), overwrite=overwrite)
    elif append and os.path.exists(located):
        archive_writer.append(located, records, options)
    else:
        with files.writing(located, overwrite=overwrite) as target:
            archive_writer.write_new(target, records, options)


def _record_of(image: npt.ArrayLike | Image) -> Image:
    from nvpcodec import arrays
    from nvpcodec.pixels import Image

    return image if isinstance(image, Image) else arrays.to_image(image)
