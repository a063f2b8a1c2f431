"""Samples of a model, from seeded random words: the same pixels on every machine.

A decoder run on random bits draws from its model. Here the latents are drawn, by the inverse cumulative
function of what they are coded under, and where a RealNVP needs remainders it pops them from a stack of
random words. All of it is integers. The bit generator is NumPy's PCG64, whose stream does not change.
"""

import math

import numpy as np
from numpy.typing import NDArray

from nvpcodec import exact, latents, zoo
from nvpcodec.errors import ImageTooLargeError, InputError
from nvpcodec.options import Options
from nvpcodec.phase_latents import PhaseLatents
from nvpcodec.quantiles import Fractions
from nvpcodec.tables import SCALE_STEPS_PER_OCTAVE

TEMPERATURES = (0.05, 4.0)
LARGEST_SIDE = 1024
#: Pixels between the pictures of a grid, and their grey.
GRID_GAP, GRID_GREY = 2, 128
#: What a stream of words is for.
_LATENTS, _REMAINDERS = range(2)


class RandomWords:
    """Random words one after another; how many are taken at a time changes nothing."""

    def __init__(self, *seed: int) -> None:
        self._generator = np.random.PCG64(seed)
        self._left = np.zeros(0, np.uint32)

    def __call__(self, count: int) -> Fractions:
        missing = max(0, count - len(self._left))
        raw: NDArray[np.uint64] = np.asarray(self._generator.random_raw((missing + 1) // 2), np.uint64)
        # The low half first, whatever the machine's byte order.
        halves = np.stack([raw & 0xFFFFFFFF, raw >> 32], 1).astype(np.uint32).ravel()
        words = np.concatenate([self._left, halves])
        self._left = words[count:]
        return words[:count]


def draw(
    count: int, height: int, width: int, temperature: float, seed: int, options: Options
) -> NDArray[np.uint8]:
    """`count` RGB samples, uint8 (count, H, W, 3); each depends on the seed and its number only.

    The temperature multiplies the scale of every distribution, rounded to a sixth of an octave: below one,
    samples keep closer to what is most likely.

    Raises
    ------
    InputError
        A number is out of its range; ImageTooLargeError for samples that are too large.
    ModelError, DeviceError
        The model or the device of the options cannot be used.
    """
    _check(count, height, width, temperature, seed, options.max_pixels)
    steps = round(SCALE_STEPS_PER_OCTAVE * math.log2(temperature))
    transform = latents.transform(zoo.by_name(options.model), exact.find_device(options.device))
    samples = np.empty((count, height, width, 3), np.uint8)
    for index in range(count):
        words = RandomWords(seed, index, _LATENTS)
        if isinstance(transform, PhaseLatents):
            planes = transform.sample(words, height, width, steps)
        else:
            planes = transform.sample(words, RandomWords(seed, index, _REMAINDERS), height, width, steps)
        samples[index] = latents.clipped_samples(planes)
    return samples


def grid(samples: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Samples (n, H, W, 3) as one picture, row by row, about as many rows as columns."""
    count, height, width, channels = samples.shape
    columns = math.isqrt(count - 1) + 1
    rows = -(-count // columns)
    size = rows * (height + GRID_GAP) - GRID_GAP, columns * (width + GRID_GAP) - GRID_GAP
    picture = np.full((*size, channels), GRID_GREY, np.uint8)
    for index, sample in enumerate(samples):
        top, left = (
            n * (side + GRID_GAP) for n, side in zip(divmod(index, columns), (height, width), strict=True)
        )
        picture[top : top + height, left : left + width] = sample
    return picture


def _check(count: int, height: int, width: int, temperature: float, seed: int, max_pixels: int) -> None:
    if count < 1 or min(height, width) < 1 or seed < 0:
        raise InputError("the number of samples and their sides must be 1 or more, the seed 0 or more")
    if not TEMPERATURES[0] <= temperature <= TEMPERATURES[1]:
        low, high = TEMPERATURES
        raise InputError(f"the temperature is {temperature:g}; it must be {low:g} to {high:g}")
    if max(height, width) > LARGEST_SIDE or count * height * width > max_pixels:
        raise ImageTooLargeError(
            f"{count} samples of {width}x{height} are too large: sides go up to {LARGEST_SIDE}, "
            f"all of them together have at most {max_pixels} pixels (--max-pixels)"
        )
