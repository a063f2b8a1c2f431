"""Do scores tell strange images from photographs? An AUROC for each kind of strangeness.

    python benchmarks/anomaly.py photographs/
    python benchmarks/anomaly.py photographs/ --others microscopy/ scans/

Crops of half of the photographs are the reference: mean and deviation of their scores. Crops of the other
half are set against each kind in turn. Columns are detectors, their figures the chance that a strange image
gets a higher value than a photograph: 1 is perfect, 0.5 is guessing, below 0.5 is worse than guessing.

    bits         bits/dim: many bits are strange
    |z| bits     far from the reference on either side
    corrected    bits/dim less those of the shortest coding without a model (Serrà et al. 2020)
    |z| corr     far from the reference on either side

All images are RGB crops of one size, grey ones repeated three times, so that no detector can tell kinds apart
by number of channels or size. The last line is JSON.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

import kinds
from common import Picture, Table, find_images, load

Samples = NDArray[np.uint8]
Numbers = NDArray[np.float64]

DETECTORS = ("bits", "|z| bits", "corrected", "|z| corr")
PATCH = 8
NAME_WIDTH = 28


@dataclass(frozen=True)
class Scores:
    """bits/dim and corrected scores (n,) of a set of images."""

    bits: Numbers
    corrected: Numbers


# --- kinds of strangeness, made of photographs or of nothing ------------------------------------------------


def shuffled(image: Samples, generator: np.random.Generator) -> Samples:
    """Patches of 8×8 in another order."""
    side = len(image) // PATCH
    patches = image.reshape(side, PATCH, side, PATCH, 3).swapaxes(1, 2).reshape(-1, PATCH, PATCH, 3)
    mixed = patches[generator.permutation(len(patches))].reshape(side, side, PATCH, PATCH, 3)
    return mixed.swapaxes(1, 2).reshape(image.shape)


def jpeg(quality: int) -> Callable[[Samples, np.random.Generator], Samples]:
    def change(image: Samples, _generator: np.random.Generator) -> Samples:
        stream = io.BytesIO()
        Image.fromarray(image).save(stream, "JPEG", quality=quality)
        with Image.open(stream) as opened:
            return np.asarray(opened.convert("RGB"))

    return change


def banded(image: Samples, _generator: np.random.Generator) -> Samples:
    """Sixteen levels of each colour."""
    return image // 16 * 17


def peppered(image: Samples, generator: np.random.Generator) -> Samples:
    """One pixel in a hundred black or white."""
    out = image.copy()
    hit = generator.random(image.shape[:2]) < 0.01
    out[hit] = 255 * generator.integers(0, 2, (int(hit.sum()), 1))
    return out


def noisy(image: Samples, generator: np.random.Generator) -> Samples:
    """Gaussian noise of 12 levels."""
    changed = image + generator.normal(0, 12, image.shape)
    return changed.round().clip(0, 255).astype(np.uint8)


def blurred(image: Samples, _generator: np.random.Generator) -> Samples:
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(2)))


def enlarged(image: Samples, _generator: np.random.Generator) -> Samples:
    """The middle, three times as large."""
    third = len(image) // 3
    middle = Image.fromarray(image[third : 2 * third, third : 2 * third])
    return np.asarray(middle.resize(image.shape[:2], Image.Resampling.BICUBIC))


def white_noise(image: Samples, generator: np.random.Generator) -> Samples:
    return generator.integers(0, 256, image.shape).astype(np.uint8)


def smooth(image: Samples, generator: np.random.Generator) -> Samples:
    """Slow waves of colour without any noise."""
    y, x = np.mgrid[: len(image), : len(image)] / len(image)
    planes = [np.sin(3 * (a * x + b * y) + c) for a, b, c in generator.uniform(-1, 1, (3, 3))]
    return (128 + 100 * np.stack(planes, 2)).round().astype(np.uint8)


CHANGES: dict[str, Callable[[Samples, np.random.Generator], Samples]] = {
    "JPEG at quality 90": jpeg(90),
    "JPEG at quality 50": jpeg(50),
    "salt and pepper, 1 %": peppered,
    "Gaussian noise": noisy,
    "banding, 16 levels": banded,
    "shuffled 8×8 patches": shuffled,
    "blurred": blurred,
    "enlarged three times": enlarged,
    "white noise": white_noise,
    "smooth gradients": smooth,
}
#: What `kinds` draws from seeds.
DRAWN: dict[str, Callable[[int], kinds.Samples]] = {
    "screenshots": kinds.screenshot,
    "terminals": kinds.terminal,
    "charts": kinds.chart,
    "scanned text": kinds.text_scan,
    "microscopy, drawn": kinds.microscopy_grey,
}


# --- scores -------------------------------------------------------------------------------------------------


def crops(image: Samples, side: int, count: int, generator: np.random.Generator) -> Iterator[Samples]:
    """Crops (side, side, 3) from random places; grey becomes three equal colours."""
    colours = np.repeat(image, 3, 2) if image.shape[2] < 3 else image[..., :3]
    height, width = colours.shape[:2]
    if min(height, width) < side:
        return
    for _ in range(count):
        top, left = generator.integers(0, height - side + 1), generator.integers(0, width - side + 1)
        yield np.ascontiguousarray(colours[top : top + side, left : left + side], dtype=np.uint8)


def score_all(images: Sequence[Samples], model: str) -> Scores:
    import nvpcodec

    options = nvpcodec.Options(model=model)
    scores = [nvpcodec.score(image, options=options) for image in images]
    return Scores(np.array([s.bits_per_dim for s in scores]), np.array([s.corrected for s in scores]))


def auroc(usual: Numbers, strange: Numbers) -> float:
    """Chance that a strange value is above a usual one; ties count half."""
    differences = strange[:, None] - usual[None, :]
    return float(((differences > 0) + 0.5 * (differences == 0)).mean())


def detect(reference: Scores, usual: Scores, strange: Scores) -> list[float]:
    """The AUROC of each detector."""

    def far(values: Numbers, of: Numbers) -> Numbers:
        distance: Numbers = np.abs(values - of.mean()) / of.std(ddof=1)
        return distance

    return [
        auroc(usual.bits, strange.bits),
        auroc(far(usual.bits, reference.bits), far(strange.bits, reference.bits)),
        auroc(usual.corrected, strange.corrected),
        auroc(far(usual.corrected, reference.corrected), far(strange.corrected, reference.corrected)),
    ]


def strange_sets(
    photographs: Sequence[Samples], others: Sequence[Path], side: int, generator: np.random.Generator
) -> Iterator[tuple[str, list[Samples]]]:
    """Name and images of each kind, about as many as there are photographs."""
    count = len(photographs)
    for name, change in CHANGES.items():
        yield name, [change(image, generator) for image in photographs]
    for name, draw in DRAWN.items():
        drawn = [draw(seed).astype(np.uint8) for seed in range(-(-count // 4))]
        yield name, [c for image in drawn for c in crops(image, side, 4, generator)][:count]
    for path in others:
        pictures = [load(found).samples for found in find_images([path])]
        each = -(-count // len(pictures))
        yield path.name, [c for image in pictures for c in crops(image, side, each, generator)]


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    from nvpcodec.options import DEFAULT_MODEL

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photographs", type=Path, metavar="FOLDER", help="four photographs or more")
    parser.add_argument(
        "--others", nargs="+", type=Path, default=[], metavar="PLACE", help="kinds of your own"
    )
    parser.add_argument("--model", default=DEFAULT_MODEL, help="default: %(default)s")
    parser.add_argument(
        "--side", type=int, default=96, help="of a crop, a multiple of 8 (default %(default)s)"
    )
    parser.add_argument("--crops", type=int, default=4, help="of each photograph (default %(default)s)")
    options = parser.parse_args(arguments)
    if options.side % PATCH or options.side < PATCH:
        parser.error("--side must be a multiple of 8")
    return options


def photographs_of(folder: Path, side: int, count: int) -> tuple[list[Samples], list[Samples]]:
    """Crops of every second photograph, and of the others."""
    generator = np.random.default_rng(1)
    pictures: list[Picture] = [load(path) for path in find_images([folder])]
    found = [list(crops(picture.samples, side, count, generator)) for picture in pictures]
    first, second = ([crop for each in found[start::2] for crop in each] for start in (0, 1))
    if min(len(first), len(second)) < 2:
        raise ValueError(f"{folder}: there are too few photographs of {side}×{side} or more")
    return first, second


def main(arguments: Sequence[str] | None = None) -> int:
    from nvpcodec import zoo

    options = parse(arguments)
    try:
        first, second = photographs_of(options.photographs, options.side, options.crops)
    except (OSError, ValueError) as error:
        print(f"anomaly.py: {error}", file=sys.stderr)
        return 2
    reference, usual = score_all(first, options.model), score_all(second, options.model)
    model_id = zoo.by_name(options.model).model_id.hex()
    print(f"{options.model} ({model_id}), reference: {len(first)} crops of {options.side}×{options.side}")
    print("means of bits/dim and corrected score, and AUROC against photographs")
    table = Table("kind", ["images", "bits/dim", "corr.", *DETECTORS], NAME_WIDTH)
    generator = np.random.default_rng(2)
    found: dict[str, dict[str, float]] = {}
    table.row("photographs kept back", _cells(usual, detect(reference, usual, usual)))
    for name, images in strange_sets(second, options.others, options.side, generator):
        strange = score_all(images, options.model)
        values = detect(reference, usual, strange)
        found[name] = dict(zip(DETECTORS, values, strict=True))
        table.row(name, _cells(strange, values))
    table.rule()
    means = [float(np.mean([row[d] for row in found.values()])) for d in DETECTORS]
    table.row("mean of all kinds", ["", "", "", *(f"{mean:.3f}" for mean in means)])
    print()
    print(json.dumps(found))
    return 0


def _cells(scores: Scores, values: Sequence[float]) -> list[str]:
    means = [f"{scores.bits.mean():.3f}", f"{scores.corrected.mean():+.3f}"]
    return [str(len(scores.bits)), *means, *(f"{value:.3f}" for value in values)]


if __name__ == "__main__":
    sys.exit(main())
