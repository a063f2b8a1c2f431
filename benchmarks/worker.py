"""One codec in a process of its own: a line on stdin says what to code, a line of JSON (a `Round`) answers.

Started by speed.py. What to code is "first", the first picture alone; "all", every picture; or a number of
megapixels: one image of that size, tiled from the pictures.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from common import Codec, Picture, codec, find_images, is_lossless, load
from memory import peak_mib


@dataclass(frozen=True)
class Round:
    """What one pass over some pictures took."""

    raw_bytes: int
    file_bytes: int
    megapixels: float
    lossless: bool
    encode_seconds: float
    decode_seconds: float
    stage_seconds: dict[str, float]  # of encoding, as the codec reports them; empty for those that do not
    peak_mib: float  # of the process so far


def run_round(coder: Codec, pictures: Sequence[Picture]) -> Round:
    """Encodes and decodes each picture once; comparing them is not timed."""
    encode_seconds = decode_seconds = 0.0
    file_bytes = 0
    lossless = True
    stages: Counter[str] = Counter()
    for picture in pictures:
        started = time.perf_counter()
        encoded = coder.encode(picture.samples)
        between = time.perf_counter()
        decoded = coder.decode(encoded.data)
        ended = time.perf_counter()

        encode_seconds += between - started
        decode_seconds += ended - between
        file_bytes += len(encoded.data)
        lossless = lossless and is_lossless(decoded, picture.samples)
        if encoded.report:
            stages.update(encoded.report.seconds)
    return Round(
        raw_bytes=sum(picture.samples.nbytes for picture in pictures),
        file_bytes=file_bytes,
        megapixels=sum(picture.megapixels for picture in pictures),
        lossless=lossless,
        encode_seconds=encode_seconds,
        decode_seconds=decode_seconds,
        stage_seconds=dict(stages),
        peak_mib=peak_mib(),
    )


def tiled(pictures: Sequence[Picture], megapixels: float) -> Picture:
    """A square image of about that size: the pictures in turn, cut to the smallest among them.

    Those with another number of channels than the first are left out.
    """
    channels = pictures[0].samples.shape[2]
    tiles = [picture.samples for picture in pictures if picture.samples.shape[2] == channels]
    height = min(tile.shape[0] for tile in tiles)
    width = min(tile.shape[1] for tile in tiles)
    side = round((megapixels * 1e6) ** 0.5)
    canvas = np.empty((side, side, channels), dtype=np.uint8)
    corners = itertools.product(range(0, side, height), range(0, side, width))
    for (top, left), tile in zip(corners, itertools.cycle(tiles), strict=False):
        cell = canvas[top : top + height, left : left + width]
        cell[:] = tile[: cell.shape[0], : cell.shape[1]]
    return Picture(f"tiled, {megapixels:g} megapixels", canvas)


def choose(pictures: Sequence[Picture], request: str) -> Sequence[Picture]:
    if request == "first":
        return pictures[:1]
    if request == "all":
        return pictures
    return [tiled(pictures, float(request))]


def main(codec_name: str, threads: str, *paths: str) -> None:
    coder = codec(codec_name, int(threads))
    pictures = [load(path) for path in find_images(map(Path, paths))]
    for line in sys.stdin:
        print(json.dumps(asdict(run_round(coder, choose(pictures, line.strip())))), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
