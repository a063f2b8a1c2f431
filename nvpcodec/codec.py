"""Image record to file bytes and back: chooses each region's mode, runs the flow, fills the container."""

import threading
from collections.abc import Callable
from functools import cache
from typing import Protocol

import numpy as np
import torch

from nvpcodec import colour, container, exact, plain, zoo
from nvpcodec.container import Container, RegionPart
from nvpcodec.coupling_coder import CouplingCoder
from nvpcodec.errors import DamagedFileError, UnsupportedImageError
from nvpcodec.model import Model
from nvpcodec.options import Options
from nvpcodec.phase_coder import phase_coder
from nvpcodec.pixels import Image, Kind, Samples, check_size, image_from_side_data, side_data_to_bytes
from nvpcodec.regions import cut, region_size
from nvpcodec.report import Accounts, Report, summarise
from nvpcodec.stack import Ints

ALPHA_KINDS = {Kind.GREY_ALPHA, Kind.RGBA}

#: Plain coding of a region down to this share of its samples is not worth a network's time.
TINY_SHARE = 1 / 128
#: Estimated shares below which a region may well be a drawing, which plain coding serves better than its
#: estimate says.
DRAWING_SHARE = 0.35
#: A flow this close to the plain estimate of anything else is compared with plain coding as well.
CLOSE_TO_PLAIN = 0.9

_preparing = threading.Lock()


class RegionCoder(Protocol):
    """One model on one device."""

    def encode(self, planes: Ints) -> tuple[bytes, Accounts]: ...
    def decode(self, payload: bytes, planes: int, height: int, width: int) -> Ints: ...


CODERS: dict[str, Callable[[Model, torch.device], RegionCoder]] = {
    "phase": phase_coder,
    "realnvp": CouplingCoder,
}


#: Hears of each region that is done: how many are, and of how many.
Progress = Callable[[int, int], None]


def unheard(_done: int, _total: int) -> None:
    """The progress that nobody follows."""


def encode_image(image: Image, options: Options, progress: Progress = unheard) -> bytes:
    """The image as a .nvp file.

    Raises
    ------
    ModelError, DeviceError
        The model or the device of the options cannot be used.
    """
    return encode_with_report(image, options, progress)[0]


def encode_with_report(image: Image, options: Options, progress: Progress = unheard) -> tuple[bytes, Report]:
    """Like `encode_image`, and where the bits and the seconds went."""
    height, width = image.samples.shape[:2]
    region_height, region_width = region_size(height, width)
    regions = list(cut(height, width, region_height, region_width))
    parts, accounts = [], []
    for region in regions:
        samples: Samples = image.samples[region.window].copy()
        part, account = _encode_region(samples, image.kind, image.bit_depth, options)
        parts.append(part)
        accounts.append(account)
        progress(len(parts), len(regions))
    uses_flow = any(part.mode == container.MODE_FLOW for part in parts)
    data = container.write(
        Container(
            kind=int(image.kind),
            bit_depth=image.bit_depth,
            width=width,
            height=height,
            region_height=region_height,
            region_width=region_width,
            model_id=zoo.by_name(options.model).model_id if uses_flow else None,
            side_data=side_data_to_bytes(image),
            regions=tuple(parts),
            pixel_checksum=_pixel_checksum(image.samples),
        )
    )
    return data, summarise(image.samples.size, len(data), accounts)


def decode_image(data: bytes, options: Options, progress: Progress = unheard) -> Image:
    """The image in a .nvp file: right, or refused.

    Raises
    ------
    FormatError, ImageTooLargeError, DeviceError
        The file is none, is damaged, needs what is not here, or is larger than the options allow.
    """
    file = container.parse(data, max_samples=options.max_samples)
    check_size(file.width, file.height, options.max_pixels)
    coder = None
    if file.model_id is not None:
        coder = _ready_coder(zoo.by_id(file.model_id, options.model), options.device)
    kind = Kind(file.kind)
    channels = container.CHANNELS[file.kind]
    samples = np.empty((file.height, file.width, channels), np.uint16 if file.bit_depth == 16 else np.uint8)
    cells = cut(file.height, file.width, file.region_height, file.region_width)
    for done, (region, part) in enumerate(zip(cells, file.regions, strict=True), 1):
        shape = (*region.shape, channels)
        if part.mode == container.MODE_FLOW and coder is not None:
            samples[region.window] = _decode_flow(part.payload, shape, kind, coder)
        else:
            samples[region.window] = plain.decode(part.mode, part.payload, shape, file.bit_depth)
        progress(done, len(file.regions))
    if (computed := _pixel_checksum(samples)) != file.pixel_checksum:
        raise DamagedFileError(
            f"the decoded pixels have the checksum {computed:08x}, the file says {file.pixel_checksum:08x}; "
            "get a good copy of the file"
        )
    return image_from_side_data(samples, kind, file.side_data)


def _encode_region(
    samples: Samples, kind: Kind, bit_depth: int, options: Options
) -> tuple[RegionPart, Accounts]:
    """The region in the smallest of the modes that are worth trying."""
    if kind not in container.FLOW_KINDS or bit_depth != 8:
        return _plain_part(samples, bit_depth)
    estimate = plain.estimate(samples, bit_depth)
    plain_part = None
    if estimate < DRAWING_SHARE * samples.size:
        plain_part = _plain_part(samples, bit_depth)
        if len(plain_part[0].payload) <= TINY_SHARE * samples.size:
            return plain_part
    coder = _ready_coder(zoo.by_name(options.model), options.device)
    try:
        flow_part = _encode_flow(samples, kind, coder)
    except UnsupportedImageError:  # nothing like a photograph: the flow takes it out of its range
        return plain_part or _plain_part(samples, bit_depth)
    if plain_part is None and len(flow_part[0].payload) > CLOSE_TO_PLAIN * estimate:
        plain_part = _plain_part(samples, bit_depth)
    if plain_part is None:
        return flow_part
    return min(plain_part, flow_part, key=lambda part: len(part[0].payload))


def _plain_part(samples: Samples, bit_depth: int) -> tuple[RegionPart, Accounts]:
    mode, payload = plain.encode(samples, bit_depth)
    return RegionPart(mode, payload), Accounts(side_bits=8 * len(payload))


def _encode_flow(samples: Samples, kind: Kind, coder: RegionCoder) -> tuple[RegionPart, Accounts]:
    """Colours through the flow; in front of them alpha, coded plainly."""
    alpha = b""
    if kind in ALPHA_KINDS:
        mode, payload = plain.encode(np.ascontiguousarray(samples[..., -1:]), 8)
        alpha = bytes([mode]) + container.varint_to_bytes(len(payload)) + payload
        samples = samples[..., :-1]
    payload, accounts = coder.encode(colour.to_planes(samples.astype(np.uint8, copy=False)))
    side_bits = accounts.side_bits + 8 * len(alpha)
    accounts = Accounts(
        accounts.theory_bits, accounts.initial_bits, accounts.stack_bits, side_bits, accounts.seconds
    )
    return RegionPart(container.MODE_FLOW, alpha + payload), accounts


def _decode_flow(payload: bytes, shape: tuple[int, int, int], kind: Kind, coder: RegionCoder) -> Samples:
    height, width, channels = shape
    if kind not in ALPHA_KINDS:
        return colour.from_planes(coder.decode(payload, channels, height, width))
    if not payload:
        raise DamagedFileError("a region with alpha is empty; get a good copy of the file")
    length, start = container.varint_from_bytes(payload, 1)
    if start + length > len(payload):
        raise DamagedFileError("the alpha of a region goes beyond its end; get a good copy of the file")
    alpha = plain.decode(payload[0], payload[start : start + length], (height, width, 1), 8)
    colours = colour.from_planes(coder.decode(payload[start + length :], channels - 1, height, width))
    return np.concatenate([colours, alpha], 2)


def _ready_coder(model: Model, device: str) -> RegionCoder:
    """The coder, made once; threads that ask for it together wait for one and the same."""
    with _preparing:
        return _coder(model, device)


@cache
def _coder(model: Model, device: str) -> RegionCoder:
    return CODERS[model.kind](model, exact.find_device(device))


def _pixel_checksum(samples: Samples) -> int:
    little_endian = samples.astype(samples.dtype.newbyteorder("<"), order="C", copy=False)
    return container.checksum(little_endian.tobytes())
