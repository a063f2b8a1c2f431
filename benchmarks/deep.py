"""Images of 10 to 16 bits, made here: photographs in more bits than they came in, scans, terrain.

    python benchmarks/size.py --deep photographs/

There are no photographs of 16 bits at hand. The mean of 2x2 or 4x4 samples of 8 bits has 10 to 12 true bits:
so photographs are scaled down by an area filter, some to linear light, some with the noise of a sensor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from common import Picture, Samples
from kinds import medical_12_in_16, medical_16, phantom, random

Light = NDArray[np.float64]
Deep = NDArray[np.uint16]

#: Photographs whose shorter side is this long are scaled down by 4, others by 2.
LARGE = 1600
#: Of what comes of a photograph, the middle is taken, with sides of at most so many pixels.
SIDE = 768


def linear(samples: NDArray[np.uint8]) -> Light:
    """sRGB's curve undone (IEC 61966-2-1): light from 0 to 1."""
    share = samples / 255
    light: Light = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return light


def scaled_down(samples: NDArray[np.uint8] | Light) -> Light:
    """Means of 2x2 or, in large pictures, 4x4."""
    height, width, channels = samples.shape
    side = 4 if min(height, width) >= LARGE else 2
    height, width = height // side, width // side
    cells = samples[: height * side, : width * side].reshape(height, side, width, side, channels)
    means: Light = cells.mean((1, 3))
    return means


def middle(samples: Deep) -> Deep:
    top, left = (max(0, length - SIDE) // 2 for length in samples.shape[:2])
    return np.ascontiguousarray(samples[top : top + SIDE, left : left + SIDE])


def in_bits(share: Light, bits: int) -> Deep:
    """0 to 1 as integers of so many bits."""
    peak = 2**bits - 1
    samples: Deep = np.rint(np.clip(share, 0, 1) * peak).astype(np.uint16)
    return samples


def linear_16(samples: NDArray[np.uint8]) -> Deep:
    """Linear light in 16 bits."""
    return in_bits(scaled_down(linear(samples)), 16)


def srgb_12(samples: NDArray[np.uint8]) -> Deep:
    """Twelve bits on the curve of display."""
    return in_bits(scaled_down(samples) / 255, 12)


def srgb_16_grey(samples: NDArray[np.uint8]) -> Deep:
    """Green alone, in sixteen bits of which the means fill some."""
    return in_bits(scaled_down(samples)[..., 1:2] / 255, 16)


def raw_14(samples: NDArray[np.uint8]) -> Deep:
    """Linear light in 14 bits with the noise of photons and of reading, above a black level of 512."""
    signal = scaled_down(linear(samples)) * 15000
    noise = random(14).standard_normal(signal.shape) * np.sqrt(1.5 * signal + 30)
    return np.clip(np.rint(signal + noise + 512), 0, 2**14 - 1).astype(np.uint16)


def stretched_12(samples: NDArray[np.uint8]) -> Deep:
    """Twelve bits in the upper bits of sixteen, repeated below."""
    twelve = srgb_12(samples)
    stretched: Deep = twelve * np.uint16(16) + twelve // np.uint16(256)
    return stretched


def times_257(samples: NDArray[np.uint8]) -> Deep:
    """Eight bits in sixteen."""
    return samples.astype(np.uint16) * np.uint16(257)


def scan_12(seed: int = 21) -> Deep:
    """Smooth bodies in twelve bits, with noise, as large as a slice of a scan."""
    field = phantom(seed, 512, 512) * 2600 + 400
    noisy = field + random(seed).normal(0, 14, field.shape)
    return np.clip(np.rint(noisy), 0, 4095).astype(np.uint16)[..., None]


def terrain_16(seed: int = 22, side: int = 512) -> Deep:
    """Heights whose spectrum falls like that of mountains."""
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None])
    frequency[0, 0] = 1
    spectrum = np.fft.fft2(random(seed).standard_normal((side, side))) / frequency**2.0
    heights = np.fft.ifft2(spectrum).real
    samples: Deep = np.rint((heights - heights.min()) / np.ptp(heights) * 40000).astype(np.uint16)
    return samples[..., None]


FROM_PHOTOGRAPHS: tuple[Callable[[NDArray[np.uint8]], Deep], ...] = (
    linear_16,
    srgb_12,
    srgb_16_grey,
    raw_14,
    stretched_12,
    times_257,
)
DRAWN: tuple[Callable[[], NDArray[Any]], ...] = (scan_12, terrain_16, medical_12_in_16, medical_16)


def pictures(photographs: Sequence[Picture]) -> list[Picture]:
    """All kinds of all coloured photographs, and the drawn ones."""
    coloured = [photograph for photograph in photographs if photograph.samples.shape[2] == 3]
    made = [
        Picture(f"{maker.__name__} {photograph.name}", cast(Samples, middle(maker(photograph.samples))))
        for maker in FROM_PHOTOGRAPHS
        for photograph in coloured
    ]
    return made + [Picture(maker.__name__, cast(Samples, maker())) for maker in DRAWN]
