"""Scores of images: coded by the same coders as files, and nothing is kept but the bits."""

import numpy as np

from nvpcodec import arrays, codec, plain, stand_ins, zoo
from nvpcodec.errors import UnsupportedImageError
from nvpcodec.options import Options
from nvpcodec.pixels import Image, Samples, check_size
from nvpcodec.regions import cut, region_size
from nvpcodec.scores import Score

_WHITE = 255


def score_image(image: Image, options: Options) -> Score:
    """The score of what an image shows: palettes as the colours that they mean, black and white as 0 and 255,
    without alpha.

    The image is cut as a file of one model is cut, so that a file that is coded by the model alone has the
    very same theory.

    Raises
    ------
    UnsupportedImageError
        It has 16 bits, or the model takes a value too far.
    ImageTooLargeError
        It has more pixels than the options allow.
    ModelError, DeviceError
        The model or the device of the options cannot be used.
    """
    check_size(image.width, image.height, options.max_pixels)
    samples = colour_samples(image)
    height, width, _ = samples.shape
    regions = [samples[r.window].copy() for r in cut(height, width, *region_size(height, width))]
    return Score(
        zoo.by_name(options.model).model_id.hex(),
        options.effort,
        samples.size,
        sum(model_bits(each, options) for each in regions),
        sum(plain_bits(each) for each in regions),
    )


def colour_samples(image: Image) -> Samples:
    """uint8 (H, W, 1 or 3) of what an image shows, without alpha; UnsupportedImageError for 16 bits."""
    shown = arrays.from_image(image)
    if shown.dtype == np.uint16:
        raise UnsupportedImageError("the models know 8 bits only; convert the image from 16 bits")
    if shown.dtype == np.bool_:
        shown = shown * np.uint8(_WHITE)
    samples = shown.reshape(*shown.shape[:2], -1)
    return np.ascontiguousarray(samples[..., : 3 if samples.shape[2] > 2 else 1], dtype=np.uint8)


def model_bits(samples: Samples, options: Options) -> float:
    """-log2 p of a region uint8 (h, w, 1 or 3) under the integer model."""
    planes = stand_ins.find(samples.astype(np.uint8, copy=False)).planes
    return codec.coder_of(options).encode(planes)[1].theory_bits


def plain_bits(samples: Samples) -> int:
    """Bits of the shortest coding of a region without a model."""
    return 8 * len(plain.encode(samples, 8)[1])
