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
from nvpcodec.train.cameras import grain, halve_chroma, sharpened, taken

SUFFIXES = {".png", ".webp", ".jpg", ".jpeg", ".tif", ".tiff", ".ppm", ".bmp"}
VALIDATION_SHARE = 40
PREFETCHED_STEPS = 4
#: The share of crops whose even rows, or columns, were odd in their image.
ODD_SHARE = 1 / 8


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
    camera: float = 0.0
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
    # Two rows and columns more, of which `_turn` takes those that keep even ones even.
    side = size + 2
    factor = _scale_factor(rng, how)
    source = min(round(side * factor), *image.shape[1:])
    top, left = (int(rng.integers(n - source + 1)) for n in image.shape[1:])
    rgb = image[:, top : top + source, left : left + source].float()
    if source != side:
        rgb = F.interpolate(rgb[None], (side, side), mode="bicubic", antialias=True)[0]
        if rng.random() < how.gain:
            rgb = rgb * rng.uniform(*how.gain_range)
    if rng.random() < how.camera:
        rgb = taken(rgb, rng)
    developed = (_with_grain, _sharpened) if rng.random() < how.camera else (_sharpened, _with_grain)
    for step in developed:
        rgb = step(rgb, rng, how)
    if rng.random() < how.half_chroma:
        rgb = halve_chroma(rgb, rng)
    if rng.random() < how.grey:
        rgb = rgb.mean(0, keepdim=True).expand(3, -1, -1)
    return _turn(rgb.round().clamp(0, 255), size, rng)


def _scale_factor(rng: np.random.Generator, how: Augmentation) -> float:
    choice = rng.random()
    if choice < how.shrink:
        return float(rng.uniform(1, how.largest_shrink))
    if choice < how.shrink + how.enlarge:
        return float(1 / rng.uniform(1, how.largest_enlargement))
    return 1.0


def _sharpened(rgb: Tensor, rng: np.random.Generator, how: Augmentation) -> Tensor:
    if rng.random() >= how.sharpen:
        return rgb
    return sharpened(rgb, float(rng.uniform(0, how.largest_sharpening)))


def _with_grain(rgb: Tensor, rng: np.random.Generator, how: Augmentation) -> Tensor:
    return rgb + grain(rgb.shape, rng, how.grain_range) if rng.random() < how.grain else rgb


def _turn(rgb: Tensor, size: int, rng: np.random.Generator) -> Tensor:
    """Flipped and transposed, cut to its size. Rows and columns that were even mostly stay even, as they do
    when scales are turned: what sensors and half-resolution chroma leave differs between the two.
    """
    for axis in (1, 2):
        is_flipped = rng.random() < 0.5
        is_odd = is_flipped != (rng.random() < ODD_SHARE)
        rgb = (rgb.flip(axis) if is_flipped else rgb).narrow(axis, int(is_odd), size)
    return rgb.transpose(1, 2) if rng.random() < 0.5 else rgb


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

    with ThreadPoolExecutor(1) as pool:
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
