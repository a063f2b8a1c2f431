"""What a .nvp file says about itself, without decoding a pixel and without torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nvpcodec import container
from nvpcodec.errors import DamagedFileError
from nvpcodec.pixels import Kind, Tag, side_data_sizes

_MODES = {
    container.MODE_STORED: "stored",
    container.MODE_DEFLATE: "deflate",
    container.MODE_LZMA: "lzma",
    container.MODE_DRAWING: "drawing",
    container.MODE_DEEP: "deep",
    container.MODE_FLOW: "flow",
    container.MODE_FLOW_TOP_FIRST: "flow",
    container.MODE_RANKS: "ranks",
    container.MODE_TONES: "tones",
    container.MODE_YCBCR: "YCbCr",
}
_WEIGHTS = Path(__file__).with_name("weights")

#: What is fetched of a large file at first: it holds the header of nearly all.
HEAD_BYTES = 1 << 16
#: No header is longer: a line of the region table takes 6 bytes at most, the rest less than 64.
MAX_HEADER_BYTES = 6 * container.MAX_REGIONS + 64


@dataclass(frozen=True, slots=True)
class RegionInfo:
    """One region: where it is, in pixels; how it is coded; how many bytes that takes."""

    top: int
    left: int
    height: int
    width: int
    mode: str
    payload_bytes: int


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A file's geometry and where each of its bytes goes.

    ``file_bytes`` is the sum of header, side data, payloads and checksums.  ``side_data`` lists what the side
    data holds as (name, bytes), before it was deflated.  ``model_id`` is 16 hexadecimal digits, ``model`` the
    name of that model if it is in the package; both are None if no region uses a flow.
    """

    width: int
    height: int
    kind: str
    channels: int
    bit_depth: int
    model: str | None
    model_id: str | None
    file_bytes: int
    header_bytes: int
    side_data_bytes: int
    payload_bytes: int
    checksum_bytes: int
    bits_per_dim: float
    side_data: tuple[tuple[str, int], ...]
    regions: tuple[RegionInfo, ...]


def describe(data: bytes) -> FileInfo:
    """What the whole file ``data`` says; its checksums are compared, its pixels are not decoded.

    Raises
    ------
    FormatError
        ``data`` is no .nvp file; DamagedFileError if it was cut or changed.
    """
    header = container.parse_header(data)
    parsed = container.parse(data, max_samples=header.samples)
    return _describe(header, parsed.side_data)


def describe_by_head(read_head: Callable[[int], bytes], file_bytes: int) -> FileInfo:
    """What a file of ``file_bytes`` says, whose first n bytes are ``read_head(n)``, from as few as will do.

    Its length is compared with what its header says, and the header's checksum; that of the file is not.

    Raises
    ------
    FormatError
        As for ``describe``, as far as these bytes tell.
    """
    head = read_head(HEAD_BYTES)
    try:
        header = container.parse_header(head)
    except DamagedFileError:  # its header may be a longer one
        head = read_head(MAX_HEADER_BYTES)
        header = container.parse_header(head)
    container.check_length(header, file_bytes)
    side_data = slice(header.side_data_start, header.side_data_start + header.side_bytes)
    if len(head) < side_data.stop:
        head = read_head(side_data.stop)
    return _describe(header, head[side_data])


def _describe(header: container.Header, side_data: bytes) -> FileInfo:
    return FileInfo(
        width=header.width,
        height=header.height,
        kind=Kind(header.kind).name.lower(),
        channels=Kind(header.kind).channels,
        bit_depth=header.bit_depth,
        model=_model_name(header.model_id),
        model_id=None if header.model_id is None else header.model_id.hex(),
        file_bytes=header.file_bytes,
        header_bytes=header.header_bytes,
        side_data_bytes=header.side_bytes,
        payload_bytes=header.payload_bytes,
        checksum_bytes=header.checksum_bytes,
        bits_per_dim=8 * header.file_bytes / header.samples,
        side_data=tuple((_label(tag), size) for tag, size in side_data_sizes(side_data)),
        regions=tuple(_region_infos(header)),
    )


def _region_infos(header: container.Header) -> list[RegionInfo]:
    corners = [
        (top, left)
        for top in range(0, header.height, header.region_height)
        for left in range(0, header.width, header.region_width)
    ]
    return [
        RegionInfo(
            top=top,
            left=left,
            height=min(header.region_height, header.height - top),
            width=min(header.region_width, header.width - left),
            mode=_MODES[entry.mode],
            payload_bytes=entry.payload_bytes,
        )
        for (top, left), entry in zip(corners, header.regions, strict=True)
    ]


def _label(tag: Tag) -> str:
    return tag.name.lower()


def _model_name(model_id: bytes | None) -> str | None:
    """The name of a model in the package; its weights are in ``NAME-<id in hexadecimal>.safetensors``."""
    if model_id is None:
        return None
    suffix = f"-{model_id.hex()}"
    names = [path.stem.removesuffix(suffix) for path in _WEIGHTS.glob(f"*{suffix}.safetensors")]
    return names[0] if names else None
