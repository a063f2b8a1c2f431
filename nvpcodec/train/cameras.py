"""What cameras, scanners and video leave in photographs: grain, a mosaic of colours, chroma of half the size.

All images are RGB (3, H, W), float32 in steps of a sample; what happens to one is drawn from a generator.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

#: Y, Cb and Cr of R, G and B (ITU-R BT.601).
LUMA_CHROMA = torch.tensor([[0.299, 0.587, 0.114], [-0.1687, -0.3313, 0.5], [0.5, -0.4187, -0.0813]])

#: Weights of five samples at half resolution for the even and the odd sample that the middle one becomes: if
#: it lies between the two, and if it lies at the even one. The cubics are Catmull and Rom's.
INTERPOLATIONS = {
    "nearest": (((0, 0, 1.0, 0, 0), (0, 0, 1.0, 0, 0)), ((0, 0, 1.0, 0, 0), (0, 0, 1.0, 0, 0))),
    "linear": (((0, 0.25, 0.75, 0, 0), (0, 0, 0.75, 0.25, 0)), ((0, 0, 1.0, 0, 0), (0, 0, 0.5, 0.5, 0))),
    "cubic": (
        ((-3 / 128, 29 / 128, 111 / 128, -9 / 128, 0), (0, -9 / 128, 111 / 128, 29 / 128, -3 / 128)),
        ((0, 0, 1.0, 0, 0), (0, -1 / 16, 9 / 16, 9 / 16, -1 / 16)),
    ),
}
INTERPOLATION_SHARES = (0.2, 0.6, 0.2)

#: What `taken` does, each with this probability.
TRAIT_SHARE = 0.4
LARGEST_SHIFT = 0.7
#: From blurred to sharpened along one axis.
AXIS_SHARPNESS = (-1.0, 1.5)
LINE_STRENGTHS = (0.2, 1.5)
SENSOR_NOISE = (0.2, 3.0)


def taken(rgb: Tensor, rng: np.random.Generator) -> Tensor:
    """A photograph as cameras and scanners take it, which treat rows, columns and colours unlike."""
    if rng.random() < TRAIT_SHARE:
        rgb = misregistered(rgb, rng)
    if rng.random() < TRAIT_SHARE:
        rgb = sharpened(rgb, float(rng.uniform(*AXIS_SHARPNESS)), axes=(-int(rng.integers(1, 3)),))
    if rng.random() < TRAIT_SHARE:
        rgb = mosaicked(rgb, rng)
    return lined(rgb, rng) if rng.random() < TRAIT_SHARE else rgb


def misregistered(rgb: Tensor, rng: np.random.Generator) -> Tensor:
    """Red and blue lie a fraction of a pixel beside green."""
    red, green, blue = rgb.unbind()
    shifts = rng.uniform(-LARGEST_SHIFT, LARGEST_SHIFT, (2, 2))
    for axis, (of_red, of_blue) in enumerate(shifts):
        red, blue = _shifted(red, float(of_red), axis), _shifted(blue, float(of_blue), axis)
    return torch.stack([red, green, blue])


def mosaicked(rgb: Tensor, rng: np.random.Generator) -> Tensor:
    """One colour a pixel, as behind Bayer's filter, with noise; the others interpolated, bilinearly or
    together with what is known of green.
    """
    low, high = np.log(SENSOR_NOISE)
    noise = torch.from_numpy(rng.standard_normal(rgb.shape, np.float32))
    seen = rgb + noise * float(np.exp(rng.uniform(low, high)))
    red = int(rng.integers(4))
    masks = torch.zeros_like(rgb)
    for cell in range(4):
        channel = {red: 0, 3 - red: 2}.get(cell, 1)
        masks[channel, cell // 2 :: 2, cell % 2 :: 2] = 1
    if rng.random() < 0.5:
        return _interpolated(seen, masks)
    green = _interpolated(seen, masks)[1:2]
    return green + _interpolated(seen - green, masks)


def lined(rgb: Tensor, rng: np.random.Generator) -> Tensor:
    """Noise that is the same along each row, or each column, as sensors read line by line leave it."""
    channels, height, width = rgb.shape
    shape = (channels, height, 1) if rng.random() < 0.5 else (channels, 1, width)
    low, high = np.log(LINE_STRENGTHS)
    lines = torch.from_numpy(rng.standard_normal(shape, np.float32)) * float(np.exp(rng.uniform(low, high)))
    alike = float(rng.uniform(0, 1))
    return rgb + (1 - alike) * lines + alike * lines[1:2]


def grain(shape: tuple[int, ...], rng: np.random.Generator, strengths: tuple[float, float]) -> Tensor:
    """Noise (3, H, W) of sensors and films, in steps of a sample: neighbours are alike, channels are, both
    to a degree that is drawn, as is the standard deviation.
    """
    alike = rng.uniform(0, 1)
    own, shared = (torch.from_numpy(rng.standard_normal(n, np.float32)) for n in (shape, shape[1:]))
    noise = _blurred((1 - alike) * own + alike * shared, float(rng.uniform(0, 1 / 3)))
    low, high = np.log(strengths)
    return noise * (float(np.exp(rng.uniform(low, high))) / noise.std())


def sharpened(rgb: Tensor, strength: float, axes: tuple[int, ...] = (-2, -1)) -> Tensor:
    """Unsharp masking along the axes; blurred if the strength is negative."""
    return rgb + strength * (rgb - _blurred(rgb, 0.25, axes))


def halve_chroma(rgb: Tensor, rng: np.random.Generator) -> Tensor:
    """What scanners, video and JPEG do: keep luma, store two colour differences at half resolution.

    Pipelines differ in where the stored samples lie, in how they are interpolated, and in what is rounded to
    whole numbers: all of it is drawn. One in six halves the columns alone (4:2:2).
    """
    whole = (LUMA_CHROMA @ rgb.flatten(1)).view_as(rgb)
    luma, stored = whole[:1], whole[1:]
    interpolation = rng.choice(list(INTERPOLATIONS), p=INTERPOLATION_SHARES)
    cosited = rng.random(2) < 0.5
    axes = [-1] if rng.random() < 1 / 6 else [-1, -2]
    for axis in axes:
        stored = _halved(stored.transpose(axis, -1), cosited[axis]).transpose(axis, -1)
    if step := rng.choice([0.0, 1.0, 1.5]):
        stored = (stored / step).round() * step
    for axis in axes:
        weights = INTERPOLATIONS[interpolation][int(cosited[axis])]
        stored = _doubled(stored.transpose(axis, -1), weights).transpose(axis, -1)
    if rng.random() < 0.5:
        luma = luma.round()
    halved: Tensor = torch.linalg.inv(LUMA_CHROMA) @ torch.cat([luma, stored]).flatten(1)
    return halved.view_as(rgb)


def _shifted(x: Tensor, by: float, axis: int) -> Tensor:
    """Moved along an axis by less than a pixel, linearly interpolated."""
    return _weighted(x, (max(by, 0.0), 1 - abs(by), max(-by, 0.0)), axis)


def _blurred(x: Tensor, share: float, axes: tuple[int, ...] = (-2, -1)) -> Tensor:
    """Each sample gives a share of itself to each neighbour along each axis."""
    for axis in axes:
        x = _weighted(x, (share, 1 - 2 * share, share), axis)
    return x


def _weighted(x: Tensor, weights: tuple[float, float, float], axis: int) -> Tensor:
    """Each sample of (..., H, W) becomes a weighted sum of the one before, itself and the one behind."""
    last = x.shape[axis] - 1
    before, middle, behind = weights
    first_twice = torch.cat([x.narrow(axis, 0, 1), x.narrow(axis, 0, last)], axis)
    last_twice = torch.cat([x.narrow(axis, 1, last), x.narrow(axis, last, 1)], axis)
    return before * first_twice + middle * x + behind * last_twice


def _interpolated(x: Tensor, masks: Tensor) -> Tensor:
    """Each channel where its mask is 1 as it is, elsewhere a mean of what is known around."""
    kernel = torch.tensor([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]])[None, None]
    sums, weights = (F.conv2d(y[:, None], kernel, padding=1)[:, 0] for y in (x * masks, masks))
    return torch.where(masks > 0, x, sums / weights)


def _halved(x: Tensor, cosited: bool) -> Tensor:
    """Half the samples of the last axis: means around every other one if cosited, else of two and two."""
    if cosited:
        around = F.pad(x, (1, 1), mode="replicate")
        return (around[..., :-2:2] + 2 * x[..., ::2] + around[..., 2::2]) / 4
    return (x[..., ::2] + x[..., 1::2]) / 2


def _doubled(x: Tensor, weights: tuple[tuple[float, ...], ...]) -> Tensor:
    """Twice the samples on the last axis: an even and an odd one by `weights` of the five around each."""
    around = F.pad(x, (2, 2), mode="replicate").unfold(-1, 5, 1)
    return (around @ torch.tensor(weights).T).flatten(-2)
