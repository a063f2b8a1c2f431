"""The data sets of the likelihood papers, in the files that they come in, as small RGB images.

CIFAR-10            data_batch_1 ... test_batch, pickled dictionaries of Python, or *.bin
ImageNet 32 and 64  .npz of the downsampled ImageNet of Chrabaszcz et al. 2017, or folders of PNG files
photographs         any folder; `box_crops` makes images of the same kind from them

Nothing is downloaded. Rows of the papers' tables are of the test or validation set: CIFAR-10's `test_batch`,
ImageNet's `val_data.npz` or `valid_32x32`. Mind that there are two downsampled ImageNets: figures of RealNVP,
Glow, Flow++ and the codecs are for van den Oord et al. 2016 (folders of PNG files), those of some later ones
for Chrabaszcz et al.; they differ in their filters and do not compare.
"""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from common import Picture, find_images, load

Samples = NDArray[np.uint8]

CIFAR_SIDE, COLOURS = 32, 3
CIFAR_RECORD_BYTES = 1 + COLOURS * CIFAR_SIDE**2
#: What the pickle of an array may call for; anything else is refused.
_ALLOWED = {
    (module, name)
    for module in ("numpy", "numpy.core.multiarray", "numpy._core.multiarray", "numpy._core.numeric")
    for name in ("ndarray", "dtype", "_reconstruct", "_frombuffer")
} | {("_codecs", "encode")}


class _ArraysOnly(pickle.Unpickler):
    """Reads arrays, texts, numbers and containers of them, and calls nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it calls for {module}.{name}")
        return super().find_class(module, name)


def load_set(path: Path) -> list[Picture]:
    """The images of a file or folder.

    Raises ValueError for a file that is none of the kinds above; OSError if it cannot be read.
    """
    if path.is_dir():
        return [load(found) for found in find_images([path])]
    if path.suffix == ".npz":
        return _pictures(path.name, _read_npz(path))
    if path.suffix == ".bin":
        return _pictures(path.name, _read_cifar_binary(path))
    if path.suffix in ("", ".pkl"):
        return _pictures(path.name, _read_cifar_python(path))
    return [load(path)]


def box_crops(pictures: list[Picture], side: int, factor: int) -> list[Picture]:
    """Each photograph made smaller by a box filter, then cut into squares; what is left over is left out.

    So CIFAR-10 and the small ImageNets were made: by averaging, until little but content is left.
    """
    crops = []
    for picture in pictures:
        if picture.samples.shape[2] != COLOURS:
            continue
        small = np.asarray(Image.fromarray(picture.samples).reduce(factor))
        height, width = (length // side for length in small.shape[:2])
        for row in range(height):
            for column in range(width):
                crop = small[row * side :, column * side :][:side, :side]
                crops.append(Picture(f"{picture.name}-{row}-{column}", np.ascontiguousarray(crop)))
    return crops


def _pictures(name: str, images: Samples) -> list[Picture]:
    return [Picture(f"{name}-{index}", image) for index, image in enumerate(images)]


def _read_cifar_binary(path: Path) -> Samples:
    """Records of a label and 32x32 samples of red, green and blue."""
    data = np.fromfile(path, np.uint8)
    if not data.size or data.size % CIFAR_RECORD_BYTES:
        raise ValueError(f"{path}: {data.size} bytes are no whole number of CIFAR-10 records")
    return _planes_to_images(data.reshape(-1, CIFAR_RECORD_BYTES)[:, 1:], path)


def _read_cifar_python(path: Path) -> Samples:
    """A pickled dictionary with `data`, uint8 (n, 3072)."""
    try:
        with path.open("rb") as stream:
            record = _ArraysOnly(stream, encoding="bytes").load()
        data = record[b"data"] if b"data" in record else record["data"]
    except (pickle.UnpicklingError, EOFError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{path}: it is no batch of CIFAR-10: {error}") from error
    return _planes_to_images(data, path)


def _read_npz(path: Path) -> Samples:
    """An .npz file with `data`, uint8 (n, 3 side²)."""
    try:
        with np.load(path, allow_pickle=False) as file:
            data = file["data"]
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: it holds no array `data` of images: {error}") from error
    return _planes_to_images(data, path)


def _planes_to_images(data: Any, path: Path) -> Samples:
    """Rows of all red, all green and all blue samples as images (n, side, side, 3)."""
    rows = np.asarray(data)
    side = round((rows.shape[-1] / COLOURS) ** 0.5) if rows.ndim == 2 else 0
    if rows.dtype != np.uint8 or not side or rows.shape[1] != COLOURS * side**2:
        raise ValueError(f"{path}: {rows.dtype} {rows.shape} are no square RGB images, uint8 (n, 3 side²)")
    return np.ascontiguousarray(rows.reshape(-1, COLOURS, side, side).transpose(0, 2, 3, 1))
