"""The head and the index of a .nvpa archive: bytes to records and back.

    magic, version, place of the index, its checksum                        the head, of fixed size
    CRC-32 of the head
    blocks: chains and whole .nvp files                                     opaque here (chains.py, codec.py)
    index: for each block what and where it is; its images' names and sizes

docs/archive.md is the normative text. Adding to an archive writes blocks and a new index behind the old one,
and then the head anew: until then the old head and the old index hold. Nothing here takes more memory than
the index may have, or believes a length before it has been compared with what is there.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from nvpcodec import container
from nvpcodec.container import BIT_DEPTHS, MAX_DIMENSION, Buffer, varint_from_bytes, varint_to_bytes
from nvpcodec.errors import DamagedFileError, FormatError, UnsupportedImageError, UnsupportedVersionError
from nvpcodec.sources import Source

MAGIC = b"\x8eNVA"
VERSION = 1
CHAIN, FILE = 0, 1

MAX_INDEX_BYTES = 2**26
MAX_IMAGES = 2**20
MAX_CHAIN_IMAGES = 2**12
MAX_NAME_BYTES = 1024

_HEAD = struct.Struct("<4sBQII")
_CRC = struct.Struct("<I")
HEAD_BYTES = _HEAD.size + _CRC.size

_DEPTH_CODES = (1, 8, 16)
_KIND_BITS = 3
#: Control characters, and the backslash, which parts a path on Windows.
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\]")
_DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True, slots=True)
class Member:
    """One image of a block: its name, and its size in pixels."""

    name: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Block:
    """So many bytes of the archive from ``start`` on.

    ``type`` is ``CHAIN`` or ``FILE``; a file has one member.  ``kind`` and ``bit_depth`` are those of all
    ``members``, ``checksum`` that of the bytes.
    """

    type: int
    kind: int
    bit_depth: int
    start: int
    length: int
    checksum: int
    members: tuple[Member, ...]

    @property
    def end(self) -> int:
        """Where the next block may begin."""
        return self.start + self.length

    @property
    def pixels(self) -> int:
        """Pixels of all members below each other, each as wide as the widest."""
        return sum(member.height for member in self.members) * max(member.width for member in self.members)


@dataclass(frozen=True, slots=True)
class Head:
    """Where the index is, and its checksum."""

    index_start: int
    index_bytes: int
    index_checksum: int

    @property
    def end(self) -> int:
        """How many bytes of the file belong to the archive."""
        return self.index_start + self.index_bytes


# --- names -------------------------------------------------------------------------------------------------


def name_fault(name: str) -> str | None:
    """Why ``name`` cannot name an image: it must be a relative path that stays below where it begins."""
    try:
        length = len(name.encode("utf-8"))
    except UnicodeEncodeError:
        return "is no valid Unicode"
    if not 1 <= length <= MAX_NAME_BYTES:
        return f"must have 1 to {MAX_NAME_BYTES} bytes"
    if _FORBIDDEN.search(name):
        return "holds a control character or a backslash"
    if _DRIVE.match(name):
        return "begins like the drive of a path"
    if not {"", ".", ".."}.isdisjoint(name.split("/")):
        return "must be a relative path, without empty parts, . and .."
    return None


class Names:
    """The names of an archive, of which none may be there twice or be the folder of another."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._folders: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def __len__(self) -> int:
        return len(self._names)

    def add(self, name: str) -> str | None:
        """Take ``name``; or say what is wrong with it."""
        fault = name_fault(name)
        if fault is not None:
            return fault
        if name in self._names:
            return "is there twice"
        folders = [name[: match.start()] for match in re.finditer("/", name)]
        if name in self._folders or not self._names.isdisjoint(folders):
            return "is the folder of another name, or lies in it"
        self._names.add(name)
        self._folders.update(folders)
        return None


# --- an open archive ---------------------------------------------------------------------------------------


def read_head(source: Source) -> Head:
    """The head of an archive.

    Raises
    ------
    FormatError
        As for ``head_from_bytes``.
    """
    return head_from_bytes(source.read(0, min(HEAD_BYTES, source.size)), source.size)


def read_index(source: Source, head: Head) -> tuple[Block, ...]:
    """The blocks of an archive.

    Raises
    ------
    FormatError
        As for ``index_from_bytes``.
    """
    return index_from_bytes(source.read(head.index_start, head.end), head)


def read_block(source: Source, block: Block) -> bytes:
    """The bytes of a block of an archive.

    Raises
    ------
    DamagedFileError
        They were changed.
    """
    data = source.read(block.start, block.end)
    if container.checksum(data) != block.checksum:
        raise DamagedFileError(
            f"the block of the archive with {block.members[0].name!r} was changed; get a good copy"
        )
    return data


# --- head --------------------------------------------------------------------------------------------------


def head_to_bytes(head: Head) -> bytes:
    """The first ``HEAD_BYTES`` of an archive."""
    data = _HEAD.pack(MAGIC, VERSION, head.index_start, head.index_bytes, head.index_checksum)
    return data + _CRC.pack(container.checksum(data))


def head_from_bytes(data: bytes, file_bytes: int) -> Head:
    """The head of an archive of ``file_bytes``; ``data`` are its first ``HEAD_BYTES``, or all that it has.

    Raises
    ------
    FormatError
        This is no archive; DamagedFileError if it was one, UnsupportedVersionError for another version.
    """
    _check_magic(data)
    if len(data) > len(MAGIC) and data[len(MAGIC)] != VERSION:
        raise UnsupportedVersionError(
            f"the archive has version {data[len(MAGIC)]}, this program reads version {VERSION}; "
            "use a newer nvpcodec"
        )
    if len(data) < HEAD_BYTES:
        raise DamagedFileError("the archive was cut within its head; get a complete copy")
    (stored,) = _CRC.unpack_from(data, _HEAD.size)
    if container.checksum(data[: _HEAD.size]) != stored:
        raise DamagedFileError("the checksum of the archive's head differs: it was changed; get a good copy")
    head = Head(*_HEAD.unpack_from(data)[2:])
    if head.end > file_bytes:
        raise DamagedFileError(
            f"the archive was cut: it has {file_bytes} of its {head.end} bytes; get a complete copy"
        )
    if head.index_start < HEAD_BYTES:
        raise DamagedFileError("the archive's index lies in its head; get a good copy")
    if head.index_bytes > MAX_INDEX_BYTES:
        raise FormatError(f"the archive's index has {head.index_bytes} bytes, the limit is {MAX_INDEX_BYTES}")
    return head


def _check_magic(data: bytes) -> None:
    start = data[: len(MAGIC)]
    if start == MAGIC:
        return
    if start == container.MAGIC:
        raise FormatError("this is a single .nvp image and no archive; decode it")
    if start and MAGIC.startswith(start):
        raise DamagedFileError("the archive was cut within its first bytes; get a complete copy")
    raise FormatError("this is not an .nvpa archive: it does not begin as one; check the file's name")


# --- index -------------------------------------------------------------------------------------------------


def index_to_bytes(blocks: Sequence[Block]) -> bytes:
    """The index of these blocks, which stand in the order of their places.

    Raises
    ------
    UnsupportedImageError
        There are too many images, or their names are too long altogether.
    """
    if sum(len(block.members) for block in blocks) > MAX_IMAGES:
        raise UnsupportedImageError(f"an archive holds at most {MAX_IMAGES} images; make several archives")
    end, parts = HEAD_BYTES, [varint_to_bytes(len(blocks))]
    for block in blocks:
        parts += _block_to_bytes(block, end)
        end = block.end
    table = b"".join(parts)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = varint_to_bytes(len(table)) + packer.compress(table) + packer.flush()
    if max(len(table), len(packed)) > MAX_INDEX_BYTES:
        raise UnsupportedImageError(
            f"names and sizes take more than the {MAX_INDEX_BYTES} bytes that an archive has for them; "
            "make several archives"
        )
    return packed


def _block_to_bytes(block: Block, previous_end: int) -> Iterator[bytes]:
    yield bytes((block.type, block.kind | _DEPTH_CODES.index(block.bit_depth) << _KIND_BITS))
    yield varint_to_bytes(block.start - previous_end)
    yield varint_to_bytes(block.length)
    yield _CRC.pack(block.checksum)
    if block.type == CHAIN:
        yield varint_to_bytes(len(block.members))
    for member in block.members:
        name = member.name.encode("utf-8")
        yield varint_to_bytes(len(name)) + name
        yield varint_to_bytes(member.width) + varint_to_bytes(member.height)


def index_from_bytes(data: bytes, head: Head) -> tuple[Block, ...]:
    """Mirror image of ``index_to_bytes``: the blocks that ``data``, the bytes of the index, list.

    Raises
    ------
    FormatError
        A name, kind or size is none that an archive may have; DamagedFileError for anything else.
    """
    if len(data) != head.index_bytes or container.checksum(data) != head.index_checksum:
        raise DamagedFileError("the checksum of the archive's index differs: it was changed; get a good copy")
    reader = _Reader(_inflate(data))
    names, blocks, end = Names(), [], HEAD_BYTES
    for _ in range(reader.varint()):
        block = _read_block(reader, end)
        end = block.end
        if end > head.index_start:
            raise DamagedFileError("a block of the archive reaches into its index; get a good copy")
        _check_names(block.members, names)
        blocks.append(block)
    if not reader.is_empty():
        raise DamagedFileError("the archive's index goes on after its last block; get a good copy")
    return tuple(blocks)


def _inflate(data: bytes) -> bytes:
    length, start = varint_from_bytes(data, 0)
    if length > MAX_INDEX_BYTES:
        raise FormatError(f"the archive's index claims {length} bytes, the limit is {MAX_INDEX_BYTES}")
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        # One byte more than claimed shows a stream that is longer; and zlib takes a limit of 0 as none.
        plain = unpacker.decompress(data[start:], length + 1)
    except zlib.error as error:
        raise DamagedFileError(f"the archive's index is damaged ({error}); get a good copy") from error
    if len(plain) != length or not unpacker.eof or unpacker.unused_data:
        raise DamagedFileError("the archive's index does not have the length that it claims; get a good copy")
    return plain


def _read_block(reader: _Reader, previous_end: int) -> Block:
    block_type, form = reader.take(2)
    if block_type not in (CHAIN, FILE):
        raise FormatError(
            f"the archive holds a block of the reserved type {block_type}; use a newer nvpcodec"
        )
    kind, depth_code = form & ((1 << _KIND_BITS) - 1), form >> _KIND_BITS
    bit_depth = _DEPTH_CODES[depth_code] if depth_code < len(_DEPTH_CODES) else 0
    if bit_depth not in BIT_DEPTHS.get(kind, ()):
        raise FormatError(f"the archive holds images of the reserved form {form}; use a newer nvpcodec")
    start, length = previous_end + reader.varint(), reader.varint()
    (checksum,) = _CRC.unpack(reader.take(_CRC.size))
    count = reader.varint() if block_type == CHAIN else 1
    if not 1 <= count <= MAX_CHAIN_IMAGES:
        raise FormatError(f"the archive has a chain of {count} images; 1 to {MAX_CHAIN_IMAGES} are allowed")
    members = tuple(reader.member() for _ in range(count))
    return Block(block_type, kind, bit_depth, start, length, checksum, members)


def _check_names(members: Iterable[Member], names: Names) -> None:
    for member in members:
        if (fault := names.add(member.name)) is not None:
            raise FormatError(f"the archive names an image {member.name[:100]!r}, which {fault}")
        if not (0 < member.width <= MAX_DIMENSION and 0 < member.height <= MAX_DIMENSION):
            raise FormatError(
                f"{member.name!r}: {member.width}x{member.height} pixels are outside of the format"
            )
    if len(names) > MAX_IMAGES:
        raise FormatError(f"the archive names more than {MAX_IMAGES} images")


class _Reader:
    """A position in the index that moves forward; running out of bytes is damage."""

    def __init__(self, data: Buffer) -> None:
        self._data = memoryview(data)
        self._position = 0

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        taken = bytes(self._data[self._position : self._position + count])
        if len(taken) < count:
            raise DamagedFileError("the archive's index ends too early; get a good copy")
        self._position += count
        return taken

    def varint(self) -> int:
        """The next number."""
        value, self._position = varint_from_bytes(self._data, self._position)
        return value

    def member(self) -> Member:
        """The next image."""
        name = self.take(self.varint())
        try:
            text = name.decode("utf-8")
        except UnicodeDecodeError as error:
            raise FormatError("the archive holds a name that is no UTF-8") from error
        return Member(text, self.varint(), self.varint())

    def is_empty(self) -> bool:
        """Whether all has been taken."""
        return self._position == len(self._data)
