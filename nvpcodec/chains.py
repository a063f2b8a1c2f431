"""Chains: small images of one kind as one block of an archive, on one stack.

    mode, [model id]
    length of the side data, side data of all images
    CRC-32 of all samples
    payload, to the end of the block

So images share what a file of their own would cost each of them. A flow takes them one after another. Plain
modes see one region: the images below each other, narrow ones padded to the width of the widest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nvpcodec import codec, colour, container, flow_payload, plain, ycbcr, zoo
from nvpcodec.codec import RegionCoder
from nvpcodec.container import (
    MODE_FLOW,
    MODE_YCBCR,
    MODEL_ID_BYTES,
    RegionPart,
    varint_from_bytes,
    varint_to_bytes,
)
from nvpcodec.errors import DamagedFileError, FormatError
from nvpcodec.options import Options
from nvpcodec.pixels import (
    Image,
    Kind,
    Samples,
    image_from_records,
    pack_records,
    records_to_bytes,
    unpack_records,
)
from nvpcodec.report import Accounts

#: Height and width.
Size = tuple[int, int]

_CRC_BYTES = 4
_FLOW_MODES = frozenset({MODE_FLOW, MODE_YCBCR})
_MODES = container.MODES - container.MODEL_MODES | _FLOW_MODES


def encode(images: Sequence[Image], options: Options) -> bytes:
    """The chain of images of one kind and bit depth.

    Raises
    ------
    UnsupportedImageError
        They carry too much beside their samples.
    ModelError, DeviceError
        The model or the device of the options cannot be used.
    """
    kind, bit_depth = images[0].kind, images[0].bit_depth
    samples = [image.samples for image in images]

    def flow() -> tuple[RegionPart, Accounts]:
        return _encode_flow(samples, kind, codec.coder_of(options))

    part, _ = codec.smallest_part(_joined(samples), kind, bit_depth, flow)
    model_id = zoo.by_name(options.model).model_id if part.mode in _FLOW_MODES else None
    return _to_bytes(_Chain(part, model_id, _side_data_to_bytes(images), codec.pixel_checksum(*samples)))


def decode(data: bytes, kind: Kind, bit_depth: int, sizes: Sequence[Size], options: Options) -> list[Image]:
    """Mirror image of `encode`: images of these sizes, which the caller has found to be within the limits.

    Raises
    ------
    FormatError
        It is no such chain; DamagedFileError if it was changed, UnknownModelError if its model is not here.
    """
    chain = _parse(data)
    coder = codec.find_coder(chain.model_id, options)
    if coder is None:
        shape = (*_joined_size(sizes), kind.channels)
        samples = _parted(codec.decode_region(chain.part, shape, kind, bit_depth, None), sizes)
    else:
        samples = _decode_flow(chain.part, sizes, kind, bit_depth, coder)
    if codec.pixel_checksum(*samples) != chain.pixel_checksum:
        raise DamagedFileError("the pixels of a chain have another checksum; get a good copy of the archive")
    records = _records_from_bytes(chain.side_data, len(sizes))
    return [image_from_records(each, kind, held) for each, held in zip(samples, records, strict=True)]


def _encode_flow(samples: Sequence[Samples], kind: Kind, coder: RegionCoder) -> tuple[RegionPart, Accounts]:
    """Colours through the flow, as Y, Cb and Cr if a JPEG decoder made all of them; alpha coded plainly."""
    alpha = None
    if kind in codec.ALPHA_KINDS:
        alpha = RegionPart(*plain.encode(_joined([each[..., -1:] for each in samples]), 8))
        samples = [each[..., :-1] for each in samples]
    colours = [each.astype(np.uint8, copy=False) for each in samples]
    sources = [planes for each in colours if (planes := ycbcr.find(each)) is not None]
    by_jpeg = len(sources) == len(colours)
    coded, accounts = coder.encode_chain(sources if by_jpeg else [colour.to_planes(each) for each in colours])
    payload = flow_payload.join(MODE_FLOW, coded, alpha)
    return RegionPart(MODE_YCBCR if by_jpeg else MODE_FLOW, payload), accounts


def _decode_flow(
    part: RegionPart, sizes: Sequence[Size], kind: Kind, bit_depth: int, coder: RegionCoder
) -> list[Samples]:
    if kind not in container.FLOW_KINDS or bit_depth != 8:
        raise FormatError("flow chains hold grey or colour samples of 8 bits; these images have others")
    if part.mode == MODE_YCBCR and kind not in container.COLOUR_KINDS:
        raise FormatError("chains of Y, Cb and Cr are for colour only; these images are grey")
    has_alpha = kind in codec.ALPHA_KINDS
    coded, alpha = flow_payload.split(MODE_FLOW, part.payload, has_alpha=has_alpha)
    decoded = coder.decode_chain(coded, kind.channels - has_alpha, sizes)
    to_colours = ycbcr.to_colours if part.mode == MODE_YCBCR else colour.from_planes
    colours: list[Samples] = [to_colours(planes) for planes in decoded]
    if alpha is None:
        return colours
    alphas = _parted(plain.decode(alpha.mode, alpha.payload, (*_joined_size(sizes), 1), 8), sizes)
    return [_with_alpha(*both) for both in zip(colours, alphas, strict=True)]


def _with_alpha(colours: Samples, alpha: Samples) -> Samples:
    samples: Samples = np.concatenate([colours, alpha], 2)
    return samples


# --- several images as one ----------------------------------------------------------------------------------


def _joined_size(sizes: Sequence[Size]) -> Size:
    """The size of images of these sizes as one."""
    return sum(height for height, _ in sizes), max(width for _, width in sizes)


def _joined(images: Sequence[Samples]) -> Samples:
    """Images (h, w, c) as one, below each other; narrow ones repeat their last column."""
    widest = max(each.shape[1] for each in images)
    padded = [np.pad(each, ((0, 0), (0, widest - each.shape[1]), (0, 0)), "edge") for each in images]
    joined: Samples = np.concatenate(padded)
    return joined


def _parted(joined: Samples, sizes: Sequence[Size]) -> list[Samples]:
    """Mirror image of `_joined`."""
    top, parts = 0, list[Samples]()
    for height, width in sizes:
        parts.append(joined[top : top + height, :width].copy())
        top += height
    return parts


# --- bytes --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Chain:
    """The parts of a chain's bytes."""

    part: RegionPart
    model_id: bytes | None
    side_data: bytes
    pixel_checksum: int


def _to_bytes(chain: _Chain) -> bytes:
    return b"".join(
        (
            bytes((chain.part.mode,)),
            chain.model_id or b"",
            varint_to_bytes(len(chain.side_data)),
            chain.side_data,
            chain.pixel_checksum.to_bytes(_CRC_BYTES, "little"),
            chain.part.payload,
        )
    )


def _parse(data: bytes) -> _Chain:
    if not data:
        raise DamagedFileError("a chain has no bytes; get a good copy of the archive")
    mode, position, model_id = data[0], 1, None
    if mode not in _MODES:
        raise FormatError(f"chain mode {mode} is reserved; use a newer nvpcodec")
    if mode in _FLOW_MODES:
        position += MODEL_ID_BYTES
        model_id = data[1:position]
    side_bytes, position = varint_from_bytes(data, position)
    side_end = position + side_bytes
    payload_start = side_end + _CRC_BYTES
    if payload_start > len(data):
        raise DamagedFileError("the side data of a chain go beyond its end; get a good copy of the archive")
    return _Chain(
        RegionPart(mode, data[payload_start:]),
        model_id,
        data[position:side_end],
        int.from_bytes(data[side_end:payload_start], "little"),
    )


def _side_data_to_bytes(images: Sequence[Image]) -> bytes:
    """The records of each image, behind their length; nothing at all if none carries any."""
    records = [records_to_bytes(image) for image in images]
    if not any(records):
        return b""
    return pack_records(b"".join(varint_to_bytes(len(each)) + each for each in records))


def _records_from_bytes(side_data: bytes, count: int) -> list[bytes]:
    """Mirror image of `_side_data_to_bytes`."""
    if not side_data:
        return [b""] * count
    data, position, records = unpack_records(side_data), 0, []
    for _ in range(count):
        length, start = varint_from_bytes(data, position)
        position = start + length
        if position > len(data):
            raise DamagedFileError("the side data of a chain end too early; get a good copy of the archive")
        records.append(data[start:position])
    if position < len(data) or not any(records):
        raise DamagedFileError("the side data of a chain are not what it needs; get a good copy")
    return records
