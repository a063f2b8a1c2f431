"""Latents of an image under a model, as a record and as the bytes of an .npz file, and the image from them.

What the arrays are is told in `phase_latents` and `coupling_latents`. The file holds them beside

    model   the id of the model, 16 hexadecimal digits
    shape   int64 (3,): height, width and channels of the image
"""

import io
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nvpcodec import colour, exact, zoo
from nvpcodec.coupling_latents import CouplingLatents
from nvpcodec.errors import ImageTooLargeError, InputError, UnsupportedImageError
from nvpcodec.model import MODEL_ID_BYTES, Model, PhaseConfig
from nvpcodec.options import Options
from nvpcodec.phase_latents import PhaseLatents
from nvpcodec.pixels import Image, Kind
from nvpcodec.stack import Ints

#: The networks see the whole image at once, so that memory grows with it.
LARGEST_PIXELS = 1 << 21
#: No file of latents unpacks to more.
LARGEST_BYTES = 64 * LARGEST_PIXELS

_KINDS = {1: Kind.GREY, 3: Kind.RGB}
_MODEL, _SHAPE = "model", "shape"


@dataclass(frozen=True, eq=False)
class Latents:
    """Latents of an image of that size, of 1 or 3 channels, under the model with that id.

    Raises
    ------
    InputError
        There is no such image; ImageTooLargeError if it has more than 2^21 pixels.
    """

    model_id: bytes
    height: int
    width: int
    channels: int
    arrays: Mapping[str, NDArray[Any]]

    def __post_init__(self) -> None:
        if self.channels not in _KINDS or min(self.height, self.width) < 1:
            raise InputError(
                f"there are no latents of a {self.width}x{self.height} image of {self.channels} channels; "
                "it must be grey or RGB"
            )
        _check_size(self.height, self.width)


def forward(image: Image, options: Options) -> Latents:
    """The latents of a grey or RGB image of 8 bits; of what it carries beside its samples they know nothing.

    Raises
    ------
    UnsupportedImageError
        It is of another kind, or the model takes a value too far.
    ImageTooLargeError
        It has more than 2^21 pixels.
    ModelError, DeviceError
        The model or the device of the options cannot be used.
    """
    if image.kind not in _KINDS.values() or image.bit_depth != 8:
        raise UnsupportedImageError("only grey and RGB images of 8 bits have latents; convert the image")
    _check_size(image.height, image.width)
    model = zoo.by_name(options.model)
    planes = colour.to_planes(image.samples.astype(np.uint8, copy=False))
    arrays = transform(model, exact.find_device(options.device)).forward(planes)
    return Latents(model.model_id, image.height, image.width, image.kind.channels, arrays)


def inverse(latents: Latents, options: Options) -> Image:
    """The image that `forward` was given; of latents that were changed, one with its samples clipped.

    Raises
    ------
    InputError
        The arrays are not those of such an image.
    UnknownModelError, ModelError, DeviceError
        The model is not here; it, or the device, cannot be used.
    """
    model = zoo.by_id(latents.model_id, options.model)
    shape = (latents.channels, latents.height, latents.width)
    planes = transform(model, exact.find_device(options.device)).inverse(latents.arrays, shape)
    return Image(clipped_samples(planes), _KINDS[latents.channels])


def transform(model: Model, device: torch.device) -> PhaseLatents | CouplingLatents:
    """What takes planes to latents and back.

    Raises
    ------
    DeviceError
        The device does not compute the model's integers exactly.
    """
    kind = PhaseLatents if isinstance(model.config, PhaseConfig) else CouplingLatents
    return kind(model, device)


def clipped_samples(planes: Ints) -> NDArray[np.uint8]:
    """uint8 (H, W, P) of planes (P, H, W), the nearest where these are those of no image."""
    channels = planes if len(planes) == 1 else np.stack(colour.rgb(*planes))
    return np.ascontiguousarray(np.moveaxis(channels.clip(0, 255), 0, 2)).astype(np.uint8)


def to_bytes(latents: Latents) -> bytes:
    """The latents as an .npz file."""
    stream = io.BytesIO()
    shape = np.array((latents.height, latents.width, latents.channels), np.int64)
    # The stubs take the first array for the flag that it could have been.
    entries: dict[str, Any] = {_MODEL: np.array(latents.model_id.hex()), _SHAPE: shape, **latents.arrays}
    np.savez_compressed(stream, **entries)
    return stream.getvalue()


def from_bytes(data: bytes) -> Latents:
    """Mirror image of `to_bytes`.

    Raises
    ------
    InputError
        The data are no such file; ImageTooLargeError if they unpack to too much.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unpacked_bytes = sum(entry.file_size for entry in archive.infolist())
        if unpacked_bytes > LARGEST_BYTES:
            raise ImageTooLargeError(
                f"the latents have {unpacked_bytes} bytes when unpacked, the limit is {LARGEST_BYTES}"
            )
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        model_id = bytes.fromhex(str(arrays.pop(_MODEL)))
        height, width, channels = (int(length) for length in arrays.pop(_SHAPE))
        if len(model_id) != MODEL_ID_BYTES:
            raise ValueError("the model's id has another length")
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, KeyError, ValueError, TypeError) as error:
        raise InputError("the file holds no latents; nvpcodec latents makes them of an image") from error
    return Latents(model_id, height, width, channels, arrays)


def _check_size(height: int, width: int) -> None:
    if height * width > LARGEST_PIXELS:
        raise ImageTooLargeError(
            f"the image has {height * width} pixels, latents go up to {LARGEST_PIXELS}; cut or shrink it"
        )
