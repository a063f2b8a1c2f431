"""Theory and practice, model by model and set by set, beside what papers printed.

    python benchmarks/theory.py photographs/
    python benchmarks/theory.py cifar-10-batches-py/test_batch
    python benchmarks/theory.py val_data.npz valid_32x32/
    python benchmarks/theory.py --box 8 --sides 32,64 photographs/

`datasets.py` tells which files it takes. All columns are bits/dim:

    float      -log2 p under the float model, where the state of its training is at hand
    integer    -log2 p under the integer model: what its files should have
    files      a file for each image, everything counted
    archive    one archive of all of them, everything counted: small images share a stack
    plain      the shortest coding without a model, for comparison

A file holds the shortest of several codings, so that files may be below the integer column. The RealNVP sees
an image whole in the float column; in a file it sees tiles, of which the first are small; in an archive
larger ones, as soon as something lies below them on the stack.

A model may also be a flow of `nvpcodec.flow`, a .pt file that `nvpcodec train` wrote. It codes no files: it
has the float column only, at one sample of the dequantization noise, for images of the size that it is for.

Every file and the archive are decoded and compared. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import published
from common import BITS_PER_BYTE, Picture, Table, codec, comma_separated, is_lossless
from datasets import box_crops, load_set
from float_theory import float_bits, flow_bits, is_flow

if TYPE_CHECKING:
    from nvpcodec import Options

NAME_WIDTH = 34


@dataclass(frozen=True)
class Row:
    """Bits of all images of a set under one model."""

    model: str
    dataset: str
    images: int
    dims: int
    float_bits: float | None
    integer_bits: float | None = None
    files_bits: int | None = None
    archive_bits: int | None = None
    plain_bits: int | None = None
    lossless: bool = True

    def per_dim(self, bits: float | None) -> str:
        return "-" if bits is None else f"{bits / self.dims:.4f}"


def measure(model: str, dataset: str, pictures: Sequence[Picture]) -> Row:
    """Theory, files and archive of a set."""
    import nvpcodec

    if is_flow(model):
        dims = sum(picture.dims for picture in pictures)
        return Row(model, dataset, len(pictures), dims, flow_bits(Path(model), pictures))
    options = nvpcodec.Options(model=model)
    coder = codec(model)
    floats, integers, files, plain, lossless = [], 0.0, 0, 0, True
    for picture in pictures:
        data = coder.encode(picture.samples).data
        lossless &= is_lossless(coder.decode(data), picture.samples)
        score = nvpcodec.score(picture.samples, options=options)
        floats.append(float_bits(model, picture))
        integers += score.model_bits
        files += BITS_PER_BYTE * len(data)
        plain += score.plain_bits
    archive_bits, archive_lossless = archive(pictures, options)
    known = [bits for bits in floats if bits is not None]
    return Row(
        model,
        dataset,
        len(pictures),
        sum(picture.dims for picture in pictures),
        sum(known) if len(known) == len(floats) else None,
        integers,
        files,
        archive_bits,
        plain,
        lossless and archive_lossless,
    )


def archive(pictures: Sequence[Picture], options: Options) -> tuple[int, bool]:
    """Bits of one archive of all pictures, and whether all of them come back."""
    import nvpcodec

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "all.nvpa")
        nvpcodec.pack(path, ((f"{i}", p.samples) for i, p in enumerate(pictures)), options=options)
        with nvpcodec.Archive(path, options=options) as opened:
            same = all(
                np.array_equal(opened[f"{i}"].reshape(p.samples.shape), p.samples)
                for i, p in enumerate(pictures)
            )
        return BITS_PER_BYTE * path.stat().st_size, same


def print_row(table: Table, row: Row) -> None:
    bits = (row.float_bits, row.integer_bits, row.files_bits, row.archive_bits, row.plain_bits)
    cells = [str(row.images), *(row.per_dim(each) for each in bits)]
    table.row(f"{row.dataset}, {Path(row.model).stem}", cells if row.lossless else [*cells[:-1], "DIFFERS"])


def print_published() -> None:
    """The papers' tables; they are for other images than those above, unless these are the papers' own."""
    print("\nas printed in papers: bits/dim of the test set (CIFAR-10) or validation set (ImageNet)")
    table = Table("model", ["CIFAR-10", "ImageNet32", "ImageNet64", "kind"], 16)
    for row in published.ROWS:
        figures = (row.cifar10, row.imagenet32, row.imagenet64)
        table.row(row.name, [*("-" if f is None else f"{f:.2f}" for f in figures), row.kind])
    for row in published.ROWS:
        print(f"  {row.name}: {row.source}")


def parse(arguments: Sequence[str] | None) -> tuple[dict[str, list[Picture]], tuple[str, ...]]:
    """The sets by name, and the models."""
    from nvpcodec import zoo

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sets", nargs="+", type=Path, metavar="SET", help="a batch, an .npz file, a folder")
    parser.add_argument(
        "--models", type=comma_separated, default=tuple(zoo.CURRENT), metavar="NAMES", help="by comma"
    )
    parser.add_argument("--first", type=int, metavar="N", help="only the first N images of each set")
    parser.add_argument("--box", type=int, metavar="FACTOR", help="make photographs smaller by so much first")
    parser.add_argument(
        "--sides", type=comma_separated, default=("32", "64"), metavar="N,...", help="of crops, with --box"
    )
    options = parser.parse_args(arguments)
    sets: dict[str, list[Picture]] = {}
    try:
        for path in options.sets:
            pictures = load_set(path)
            if options.box is None:
                sets[path.name] = pictures
            else:
                for side in map(int, options.sides):
                    sets[f"{path.name} {side}×{side}"] = box_crops(pictures, side, options.box)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    chosen = {name: pictures[: options.first] for name, pictures in sets.items()}
    if not all(chosen.values()):
        parser.error("a set has no images")
    return chosen, options.models


def main(arguments: Sequence[str] | None = None) -> int:
    sets, models = parse(arguments)
    from nvpcodec import zoo

    named = [f"{model} is {zoo.by_name(model).model_id.hex()}" for model in models if not is_flow(model)]
    print(f"bits/dim of all images of a set together; {', '.join(named)}")
    table = Table("set and model", ["images", "float", "integer", "files", "archive", "plain"], NAME_WIDTH)
    rows = []
    for name, pictures in sets.items():
        for model in models:
            rows.append(measure(model, name, pictures))
            print_row(table, rows[-1])
    print_published()
    differing = [f"{row.dataset} ({row.model})" for row in rows if not row.lossless]
    if differing:
        print(f"theory.py: not lossless: {', '.join(differing)}", file=sys.stderr)
    print()
    print(json.dumps([asdict(row) for row in rows]))
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
