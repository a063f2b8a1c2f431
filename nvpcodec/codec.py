"""Image record to file bytes and back: chooses each region's mode, runs the flow, fills the container."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Protocol

import numpy as np
import torch

from nvpcodec import container, drawing, exact, flow_payload, plain, stand_ins, zoo
from nvpcodec.container import Container, RegionPart
from nvpcodec.coupling_coder import CouplingCoder
from nvpcodec.errors import DamagedFileError, FormatError, UnsupportedImageError
from nvpcodec.model import Model
from nvpcodec.options import Options
from nvpcodec.phase_coder import phase_coder
from nvpcodec.pixels import Image, Kind, Samples, check_size, image_from_side_data, side_data_to_bytes
from nvpcodec.regions import MIXED_SIDE, cut, region_size
from nvpcodec.report import Accounts, Report, summarise
from nvpcodec.stack import Ints

ALPHA_KINDS = {Kind.GREY_ALPHA, Kind.RGBA}

#: Plain coding of a region down to this share of its samples is not worth a network's time.
TINY_SHARE = 1 / 128
#: Nor is a drawing of so few bits a pixel.
DRAWING_BITS = 0.5
#: Estimated shares below which a region may well be a drawing, which plain coding serves better than its
#: estimate says.
DRAWING_SHARE = 0.35
#: A flow this close to the plain estimate of anything else is compared with plain coding as well.
CLOSE_TO_PLAIN = 0.9

_preparing = threading.Lock()


class RegionEncoder(Protocol):
    """One model on one device; `coarse_first` if what is decoded first is a smaller image."""

    coarse_first: bool

    def encode(self, planes: Ints) -> tuple[bytes, Accounts]: ...


class RegionCoder(RegionEncoder, Protocol):
    """What decodes, too, and what codes several images as one payload."""

    def decode(self, payload: bytes, planes: int, height: int, width: int) -> Ints: ...
    def encode_chain(self, images: Sequence[Ints]) -> tuple[bytes, Accounts]: ...
    def decode_chain(self, payload: bytes, planes: int, sizes: Sequence[tuple[int, int]]) -> list[Ints]: ...


#: By kind of model: from a model, a device and an effort to a coder.
CODERS: dict[str, Callable[[Model, torch.device, int], RegionCoder]] = {
    "phase": phase_coder,
    "realnvp": lambda model, device, _effort: CouplingCoder(model, device),
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
    region_height, region_width = cell_size(image.samples)
    regions = list(cut(height, width, region_height, region_width))
    parts, accounts = [], []
    for region in regions:
        samples: Samples = image.samples[region.window].copy()
        part, account = _encode_region(samples, image.kind, image.bit_depth, options)
        parts.append(part)
        accounts.append(account)
        progress(len(parts), len(regions))
    uses_flow = any(part.mode in container.MODEL_MODES for part in parts)
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
            pixel_checksum=pixel_checksum(image.samples),
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
    coder = find_coder(file.model_id, options)
    kind = Kind(file.kind)
    channels = container.CHANNELS[file.kind]
    samples = np.empty((file.height, file.width, channels), np.uint16 if file.bit_depth == 16 else np.uint8)
    cells = cut(file.height, file.width, file.region_height, file.region_width)
    for done, (region, part) in enumerate(zip(cells, file.regions, strict=True), 1):
        shape = (*region.shape, channels)
        samples[region.window] = decode_region(part, shape, kind, file.bit_depth, coder)
        progress(done, len(file.regions))
    if (computed := pixel_checksum(samples)) != file.pixel_checksum:
        raise DamagedFileError(
            f"the decoded pixels have the checksum {computed:08x}, the file says {file.pixel_checksum:08x}; "
            "get a good copy of the file"
        )
    return image_from_side_data(samples, kind, file.side_data)


def coder_of(options: Options) -> RegionCoder:
    """The coder that the options ask for.

    Raises
    ------
    ModelError, DeviceError
        It cannot be had.
    """
    return _ready_coder(zoo.by_name(options.model), options)


def find_coder(model_id: bytes | None, options: Options) -> RegionCoder | None:
    """The coder that a file's flow regions need; None for a file that names no model.

    Raises
    ------
    UnknownModelError, ModelError, DeviceError
        It cannot be had.
    """
    if model_id is None:
        return None
    return _ready_coder(zoo.by_id(model_id, options.model), options)


def decode_region(
    part: RegionPart, shape: tuple[int, int, int], kind: Kind, bit_depth: int, coder: RegionCoder | None
) -> Samples:
    """The samples of a region of `shape` (h, w, c).

    Raises
    ------
    FormatError
        The mode does not go with the model; DamagedFileError for a payload that no encoder writes.
    """
    if part.mode in container.MODEL_MODES and coder is not None:
        return _decode_flow(part, shape, kind, coder)
    return plain.decode(part.mode, part.payload, shape, bit_depth)


def _check_flow_mode(mode: int, coder: RegionCoder) -> None:
    """Refuse a mode that is not defined for the coder's kind of model, with FormatError."""
    if mode not in (container.MODE_FLOW, _flow_mode(coder)):
        raise FormatError(f"region mode {mode} does not go with the file's model; get a good copy")


def cell_size(samples: Samples) -> tuple[int, int]:
    """Height and width of the regions: small ones serve an image that is a drawing in part only."""
    height, width = samples.shape[:2]
    if drawing.stands_beside_photographs(samples):
        return region_size(height, width, MIXED_SIDE)
    return region_size(height, width)


def _encode_region(
    samples: Samples, kind: Kind, bit_depth: int, options: Options
) -> tuple[RegionPart, Accounts]:
    """The region in the smallest of the modes that are worth trying."""

    return smallest_part(samples, kind, bit_depth, lambda: encode_flow(samples, kind, coder_of(options)))


def smallest_part(
    samples: Samples, kind: Kind, bit_depth: int, flow: Callable[[], tuple[RegionPart, Accounts]]
) -> tuple[RegionPart, Accounts]:
    """`samples`, coded plainly or as `flow` codes them: by what is smaller, as far as it is worth trying."""
    if kind not in container.FLOW_KINDS or bit_depth != 8:
        return _plain_part(samples, bit_depth)
    estimate = plain.estimate(samples, bit_depth)
    plain_part = None
    if estimate < DRAWING_SHARE * samples.size or drawing.likely(samples):
        plain_part = _plain_part(samples, bit_depth)
        if _is_settled(plain_part[0], samples):
            return plain_part
    try:
        flow_part = flow()
    except UnsupportedImageError:  # nothing like a photograph: the flow takes it out of its range
        return plain_part or _plain_part(samples, bit_depth)
    if plain_part is None and len(flow_part[0].payload) > CLOSE_TO_PLAIN * estimate:
        plain_part = _plain_part(samples, bit_depth)
    if plain_part is None:
        return flow_part
    return min(plain_part, flow_part, key=lambda part: len(part[0].payload))


def _is_settled(part: RegionPart, samples: Samples) -> bool:
    """Whether plain coding is so good that a network need not be asked."""
    if part.mode == container.MODE_DRAWING and 8 * len(part.payload) <= DRAWING_BITS * samples[..., 0].size:
        return True
    return len(part.payload) <= TINY_SHARE * samples.size


def _plain_part(samples: Samples, bit_depth: int) -> tuple[RegionPart, Accounts]:
    mode, payload = plain.encode(samples, bit_depth)
    return RegionPart(mode, payload), Accounts(side_bits=8 * len(payload))


def encode_flow(samples: Samples, kind: Kind, coder: RegionEncoder) -> tuple[RegionPart, Accounts]:
    """Colours, or what stands in for them, through the flow; alpha coded plainly."""
    alpha = None
    if kind in ALPHA_KINDS:
        alpha = RegionPart(*plain.encode(np.ascontiguousarray(samples[..., -1:]), 8))
        samples = samples[..., :-1]
    stand_in = stand_ins.find(samples.astype(np.uint8, copy=False))
    coded, accounts = coder.encode(stand_in.planes)
    mode = _flow_mode(coder)
    part = stand_in.wrap(RegionPart(mode, flow_payload.join(mode, coded, alpha)))
    side_bits = accounts.side_bits + 8 * (len(part.payload) - len(coded))
    return part, replace(accounts, side_bits=side_bits)


def _flow_mode(coder: RegionEncoder) -> int:
    """The mode that regions are written in."""
    return container.MODE_FLOW_TOP_FIRST if coder.coarse_first else container.MODE_FLOW


def _decode_flow(part: RegionPart, shape: tuple[int, int, int], kind: Kind, coder: RegionCoder) -> Samples:
    height, width, channels = shape
    has_alpha = kind in ALPHA_KINDS
    wrapped = stand_ins.unwrap(part, channels - has_alpha)
    mode, payload = wrapped.part.mode, wrapped.part.payload
    _check_flow_mode(mode, coder)
    coded, alpha = flow_payload.split(mode, payload, has_alpha=has_alpha)
    colours: Samples = wrapped.colours(coder.decode(coded, wrapped.planes, height, width))
    if alpha is None:
        return colours
    return np.concatenate([colours, plain.decode(alpha.mode, alpha.payload, (height, width, 1), 8)], 2)


def _ready_coder(model: Model, options: Options) -> RegionCoder:
    """The coder, made once; threads that ask for it together wait for one and the same."""
    with _preparing:
        return _coder(model, options.device, options.effort)


@cache
def _coder(model: Model, device: str, effort: int) -> RegionCoder:
    return CODERS[model.kind](model, exact.find_device(device), effort)


def pixel_checksum(*images: Samples) -> int:
    """The checksum of all samples of these images, one after another."""
    checksum = 0
    for samples in images:
        little_endian = samples.astype(samples.dtype.newbyteorder("<"), order="C", copy=False)
        checksum = container.checksum(little_endian.tobytes(), checksum)
    return checksum
