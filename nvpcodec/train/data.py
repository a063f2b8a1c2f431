"""Folders of photographs in, augmented crops of integer planes out.

The crops of step k depend on the seed and k alone, so a resumed training sees exactly what an unbroken one
would have seen.
"""

import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from nvpcodec.colour import ycocg

SUFFIXES = {".png", ".webp", ".jpg", ".jpeg", ".tif", ".tiff", ".ppm", ".bmp"}
VALIDATION_SHARE = 40
PREFETCHED_STEPS = 4

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


@dataclass(frozen=True)
class Augmentation:
    """Probabilities and ranges of what is done to a crop."""

    shrink: float = 0.25
    largest_shrink: float = 2.0
    enlarge: float = 0.15
    largest_enlargement: float = 1.5
    half_chroma: float = 0.35
    sharpen: float = 0.0
    largest_sharpening: float = 1.5
    grain: float = 0.0
    grain_range: tuple[float, float] = (0.3, 4.0)
    grey: float = 0.03
    gain: float = 0.3
    gain_range: tuple[float, float] = (0.6, 1.25)


def find_images(folders: Sequence[Path]) -> list[Path]:
    """All image files under the folders (or the files themselves), in a stable order."""
    files = [p for folder in folders for p in ([folder] if folder.is_file() else sorted(folder.rglob("*")))]
    return [p for p in files if p.suffix.lower() in SUFFIXES]


def is_validation(path: Path) -> bool:
    """One file in forty, chosen by the checksum of its name."""
    return zlib.crc32(path.name.encode()) % VALIDATION_SHARE == 0


def load_rgb(paths: Sequence[Path]) -> list[Tensor]:
    """uint8 (3, H, W) tensors."""

    def load(path: Path) -> Tensor:
        with Image.open(path) as image:
            return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).contiguous()

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(load, paths))


def rgb_to_planes(rgb: Tensor) -> Tensor:
    """Planes Y, Co, Cg of integer-valued (..., 3, H, W), as float32."""
    return torch.stack(ycocg(*rgb.to(torch.int32).unbind(-3)), -3).float()


def crop(image: Tensor, size: int, rng: np.random.Generator, how: Augmentation) -> Tensor:
    """One augmented RGB crop (3, size, size), integer-valued float32."""
    factor = _scale_factor(rng, how)
    source = min(round(size * factor), *image.shape[1:])
    top, left = (int(rng.integers(n - source + 1)) for n in image.shape[1:])
    rgb = image[:, top : top + source, left : left + source].float()
    if source != size:
        rgb = F.interpolate(rgb[None], (size, size), mode="bicubic", antialias=True)[0]
        if rng.random() < how.gain:
            rgb = rgb * rng.uniform(*how.gain_range)
    if rng.random() < how.sharpen:
        rgb = rgb + float(rng.uniform(0, how.largest_sharpening)) * (rgb - _blurred(rgb, 0.25))
    if rng.random() < how.grain:
        rgb = rgb + grain(rgb.shape, rng, how.grain_range)
    if rng.random() < how.half_chroma:
        rgb = halve_chroma(rgb, rng)
    if rng.random() < how.grey:
        rgb = rgb.mean(0, keepdim=True).expand(3, -1, -1)
    rgb = rgb.round().clamp(0, 255)
    return _turn(rgb, int(rng.integers(8)))


def _scale_factor(rng: np.random.Generator, how: Augmentation) -> float:
    choice = rng.random()
    if choice < how.shrink:
        return float(rng.uniform(1, how.largest_shrink))
    if choice < how.shrink + how.enlarge:
        return float(1 / rng.uniform(1, how.largest_enlargement))
    return 1.0


def grain(shape: tuple[int, ...], rng: np.random.Generator, strengths: tuple[float, float]) -> Tensor:
    """Noise (3, H, W) of sensors and films, in steps of a sample: neighbours are alike, channels are, both
    to a degree that is drawn, as is the standard deviation.
    """
    alike = rng.uniform(0, 1)
    own, shared = (torch.from_numpy(rng.standard_normal(n, np.float32)) for n in (shape, shape[1:]))
    noise = _blurred((1 - alike) * own + alike * shared, float(rng.uniform(0, 1 / 3)))
    low, high = np.log(strengths)
    return noise * (float(np.exp(rng.uniform(low, high))) / noise.std())


def _blurred(x: Tensor, share: float) -> Tensor:
    """Each sample of (C, H, W) gives a share of itself to each neighbour in its row, then in its column."""
    kernel = torch.tensor([share, 1 - 2 * share, share])
    around = F.pad(x[None], (1, 1, 1, 1), mode="replicate")[0]
    return (around.unfold(1, 3, 1) @ kernel).unfold(2, 3, 1) @ kernel


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


def _turn(rgb: Tensor, symmetry: int) -> Tensor:
    if symmetry & 1:
        rgb = rgb.flip(-1)
    if symmetry & 2:
        rgb = rgb.flip(-2)
    return rgb.transpose(-1, -2) if symmetry & 4 else rgb


def batches(
    images: Sequence[Tensor], first_step: int, batch: int, size: int, seed: int, how: Augmentation
) -> Iterator[Tensor]:
    """Planes (batch, 3, size, size) of each step from `first_step` on, prepared ahead in a thread.

    Images are drawn in proportion to their area.
    """
    areas = np.array([i.shape[1] * i.shape[2] for i in images], dtype=np.float64)
    weights = areas / areas.sum()

    def make(step: int) -> Tensor:
        rng = np.random.default_rng((seed, step))
        chosen = rng.choice(len(images), batch, p=weights)
        return rgb_to_planes(torch.stack([crop(images[i], size, rng, how) for i in chosen]))

    # Threads of its own for each operation would take the cores from the training, a quarter of its time.
    with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        ahead = [pool.submit(make, first_step + i) for i in range(PREFETCHED_STEPS)]
        step = first_step + PREFETCHED_STEPS
        while True:
            yield ahead.pop(0).result()
            ahead.append(pool.submit(make, step))
            step += 1


def validation_crops(images: Sequence[Tensor], size: int) -> Tensor:
    """Planes (n, 3, size, size): the middle of each image that is large enough."""
    crops = []
    for image in images:
        top, left = ((n - size) // 2 for n in image.shape[1:])
        if min(top, left) >= 0:
            crops.append(image[:, top : top + size, left : left + size])
    return rgb_to_planes(torch.stack(crops))
