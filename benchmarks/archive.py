"""Many small images: bytes of one archive, of a .nvp file each, and of PNG files alone and in a zip.

    python benchmarks/archive.py demo --crops 64 --sides 16,32,64

The small images are crops of the given ones, which take turns, at seeded places. Every image of the archive
is decoded and compared: the exit status is 1 if one differs. Bits/dim are bits of all files over all samples;
names are paid for in the archive and in the zip only. The last line is JSON with the bytes.
"""

from __future__ import annotations

import io
import json
import sys
import zipfile
from collections.abc import Sequence

import numpy as np

from common import (
    BITS_PER_BYTE,
    Picture,
    Samples,
    Table,
    argument_parser,
    codec,
    comma_separated,
    is_lossless,
    load_all,
)

SEED = 1

Crops = dict[str, Samples]


def crops_of(pictures: Sequence[Picture], count: int, side: int) -> Crops:
    """`count` crops of `side` by `side` pixels, by name."""
    generator = np.random.default_rng(SEED)
    crops = {}
    for number in range(count):
        samples = pictures[number % len(pictures)].samples
        top, left = (int(generator.integers(0, whole - side + 1)) for whole in samples.shape[:2])
        crop = np.ascontiguousarray(samples[top : top + side, left : left + side])
        crops[f"crop-{number:03}.png"] = crop
    return crops


def archive_bytes(crops: Crops, model: str) -> tuple[int, bool]:
    """Bytes of the archive; whether all images come back from it."""
    from nvpcodec.archive import Archive
    from nvpcodec.archive_writer import write_new
    from nvpcodec.arrays import to_image
    from nvpcodec.options import Options

    options = Options(model=model)
    stream = io.BytesIO()
    write_new(stream, ((name, to_image(crop)) for name, crop in crops.items()), options)
    opened = Archive(stream, options=options)
    same = set(opened) == set(crops)
    for name, crop in crops.items():
        decoded: Samples = opened.image(name).samples.astype(np.uint8, copy=False)
        same = same and is_lossless(decoded, crop)
    return len(stream.getvalue()), same


def zip_bytes(files: dict[str, bytes]) -> int:
    """Bytes of a zip of these files, each deflated once more as zip programs do."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return len(stream.getvalue())


def measure(crops: Crops, models: Sequence[str]) -> tuple[dict[str, int], bool]:
    """Bytes by what the images were put into, and whether the archives were lossless."""
    pngs = {name: codec("png").encode(crop).data for name, crop in crops.items()}
    sizes = {"png files": sum(map(len, pngs.values())), "zip of png": zip_bytes(pngs)}
    lossless = True
    for model in models:
        coder = codec(model)
        sizes[f"{model} files"] = sum(len(coder.encode(crop).data) for crop in crops.values())
        sizes[f"{model} archive"], same = archive_bytes(crops, model)
        lossless = lossless and same
    return sizes, lossless


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argument_parser("Bytes of many small images.")
    parser.add_argument("--crops", type=int, default=64, metavar="N", help="how many (default: 64)")
    parser.add_argument(
        "--sides", type=comma_separated, default=("16", "32", "64"), metavar="LIST", help="default: 16,32,64"
    )
    given = parser.parse_args(arguments)
    sides = [int(side) for side in given.sides]
    pictures = load_all(parser, given.images)
    if min(min(picture.samples.shape[:2]) for picture in pictures) < max(sides):
        parser.error("an image is smaller than its crops")
    summary, lossless = {}, True
    for side in sides:
        crops = crops_of(pictures, given.crops, side)
        sizes, same = measure(crops, given.models)
        summary[side], lossless = sizes, lossless and same
        show(crops, side, sizes)
    print(json.dumps({"crops": given.crops, "lossless": lossless, "bytes": summary}))
    return 0 if lossless else 1


def show(crops: Crops, side: int, sizes: dict[str, int]) -> None:
    """One table of one size of crops."""
    dims = sum(crop.size for crop in crops.values())
    table = Table(f"{len(crops)} of {side}x{side}", ("bytes", "an image", "bits/dim"), 20)
    for name, total in sizes.items():
        table.row(name, (str(total), f"{total / len(crops):.1f}", f"{BITS_PER_BYTE * total / dims:.3f}"))
    print()


if __name__ == "__main__":
    sys.exit(main())
