"""What the benchmarks share: pictures as arrays, codecs as pairs of functions, tables."""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from nvpcodec.options import Options
    from nvpcodec.report import Report

Samples = NDArray[np.uint8]

BITS_PER_BYTE = 8
SUFFIXES = frozenset({".png", ".webp", ".tif", ".tiff", ".bmp", ".ppm", ".pgm"})
MODES = ("L", "LA", "RGB", "RGBA")  # Pillow's mode of an array with 1, 2, 3, 4 channels
REFERENCE = "jxl-e7"
MODELS = ("fast", "best", "realnvp")


@dataclass(frozen=True)
class Picture:
    """An image to be coded; `samples` is uint8, (H, W, C), C from 1 to 4.

    Pictures of 16 bits, which `kinds` has some of, pass as such for codecs that take them.
    """

    name: str
    samples: Samples

    @property
    def dims(self) -> int:
        """Samples in all, H·W·C: what every bits/dim here is divided by."""
        return int(self.samples.size)

    @property
    def megapixels(self) -> float:
        height, width = self.samples.shape[:2]
        return int(height) * int(width) / 1e6


@dataclass(frozen=True)
class Encoded:
    """A whole file as bytes; `report` tells where its bits and seconds went (nvpcodec only)."""

    data: bytes
    report: Report | None = None


@dataclass(frozen=True)
class Codec:
    """Every codec gets the bare samples, without metadata, and gives them back as (H, W, C)."""

    name: str
    encode: Callable[[Samples], Encoded]
    decode: Callable[[bytes], Samples]


def find_images(paths: Iterable[Path]) -> list[Path]:
    """Files as they are; folders as the images in them, sorted by name."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
        else:
            found.append(path)
    return found


def load(path: Path) -> Picture:
    """The samples of an image file.

    Raises ValueError for palettes, 1-bit and 16-bit images: each codec packs those in a way of its own, so
    that their sizes would not compare.
    """
    with Image.open(path) as image:
        if image.mode not in MODES:
            raise ValueError(f"{path}: mode {image.mode}, but the benchmarks compare {', '.join(MODES)} only")
        samples = np.asarray(image)
    return Picture(path.name, samples.reshape(*samples.shape[:2], -1))


def codec(name: str, threads: int = 1) -> Codec:
    """One of the peers by its name, or else nvpcodec with the model of that name (or weights file), to which
    an effort may be added: `best:9`.

    `threads` is for JPEG XL; PNG and WebP have one, torch reads OMP_NUM_THREADS.
    """
    if name in _PEERS:
        return _PEERS[name](name, threads)
    return Codec(name, partial(_encode_nvp, name), partial(_decode_nvp, name))


def peer_names() -> tuple[str, ...]:
    return tuple(_PEERS)


def _png(name: str, threads: int) -> Codec:
    return Codec(name, _encode_png, _decode_png)


def _webp(name: str, threads: int) -> Codec:
    # exact: without it WebP changes the colour of transparent pixels, which is not lossless.
    settings = {"format": "WEBP", "lossless": True, "quality": 100, "method": 6, "exact": True}
    return Codec(name, partial(_encode_pillow, settings), _decode_pillow)


def _jpegxl(effort: int, name: str, threads: int) -> Codec:
    import imagecodecs

    def encode(samples: Samples) -> Encoded:
        data = imagecodecs.jpegxl_encode(samples, lossless=True, effort=effort, numthreads=threads)
        return Encoded(bytes(data))

    def decode(data: bytes) -> Samples:
        samples: Samples = imagecodecs.jpegxl_decode(data, numthreads=threads)
        return samples.reshape(*samples.shape[:2], -1)

    return Codec(name, encode, decode)


_PEERS: dict[str, Callable[[str, int], Codec]] = {
    "png": _png,
    "webp": _webp,
    "jxl-e7": partial(_jpegxl, 7),
    "jxl-e9": partial(_jpegxl, 9),
}


def _encode_png(samples: Samples) -> Encoded:
    if samples.dtype == np.uint8:
        return _encode_pillow({"format": "PNG", "optimize": True}, samples)
    import imagecodecs  # Pillow writes no colours of 16 bits

    image = samples.squeeze(-1) if samples.shape[2] == 1 else samples
    return Encoded(bytes(imagecodecs.png_encode(image, level=9)))


def _decode_png(data: bytes) -> Samples:
    bits_of_a_sample = data[24]
    if bits_of_a_sample < 16:
        return _decode_pillow(data)
    import imagecodecs

    samples: Samples = imagecodecs.png_decode(data)
    return samples.reshape(*samples.shape[:2], -1)


def _encode_pillow(settings: dict[str, object], samples: Samples) -> Encoded:
    stream = io.BytesIO()
    image = Image.fromarray(samples.squeeze(-1) if samples.shape[2] == 1 else samples)
    image.save(stream, **settings)  # type: ignore[arg-type]  # Pillow types each option by its format
    return Encoded(stream.getvalue())


def _decode_pillow(data: bytes) -> Samples:
    with Image.open(io.BytesIO(data)) as image:
        samples = np.asarray(image)
    return samples.reshape(*samples.shape[:2], -1)


def _options(name: str) -> Options:
    from nvpcodec.options import DEFAULT_EFFORT, Options

    model, _, effort = name.partition(":")
    return Options(model=model, effort=int(effort) if effort else DEFAULT_EFFORT)


def _encode_nvp(name: str, samples: Samples) -> Encoded:
    from nvpcodec.codec import encode_with_report
    from nvpcodec.pixels import Image as NvpImage
    from nvpcodec.pixels import Kind

    kind = (Kind.GREY, Kind.GREY_ALPHA, Kind.RGB, Kind.RGBA)[samples.shape[2] - 1]
    data, report = encode_with_report(NvpImage(samples, kind), _options(name))
    return Encoded(data, report)


def _decode_nvp(name: str, data: bytes) -> Samples:
    from nvpcodec.codec import decode_image

    return cast(Samples, decode_image(data, _options(name)).samples)


def is_lossless(decoded: Samples, original: Samples) -> bool:
    """Equal samples. WebP has no grey: what went in as grey comes back as equal red, green and blue."""
    channels = original.shape[2]
    if decoded.shape[2] == channels + 2 and channels <= 2:
        red, *others = np.moveaxis(decoded[..., :3], -1, 0)
        if not all(np.array_equal(red, other) for other in others):
            return False
        decoded = np.concatenate([decoded[..., :1], decoded[..., 3:]], axis=2)
    return np.array_equal(decoded, original)


class Table:
    """A table of text, printed row by row as it comes: its first column to the left, others to the right."""

    def __init__(self, first: str, columns: Sequence[str], first_width: int) -> None:
        self._first_width = max(first_width, len(first))
        self._widths = [max(len(column), 8) for column in columns]
        self.row(first, columns)
        self.rule()

    def row(self, first: str, values: Iterable[str]) -> None:
        cells = [value.rjust(width) for value, width in zip(values, self._widths, strict=True)]
        print("  ".join([first.ljust(self._first_width), *cells]), flush=True)

    def rule(self) -> None:
        print("-" * (self._first_width + sum(self._widths) + 2 * len(self._widths)))


def add_codecs(parser: argparse.ArgumentParser, peers: tuple[str, ...], note: str = "") -> None:
    """The argument that chooses among the peers."""
    parser.add_argument(
        "--codecs",
        type=comma_separated,
        default=peers,
        metavar="NAMES",
        help=f"the peers, by comma (default: {','.join(peers)}){note}",
    )


def argument_parser(description: str, *, images: str = "+") -> argparse.ArgumentParser:
    """The arguments that both benchmarks take; `images` is how many, in argparse's terms."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("images", nargs=images, type=Path, metavar="IMAGES", help="files, or folders of them")
    parser.add_argument(
        "--models",
        type=comma_separated,
        default=MODELS,
        metavar="NAMES",
        help="nvpcodec's models, by comma (default: fast,best,realnvp); best:9 is best at effort 9",
    )
    return parser


def comma_separated(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.split(",") if part)


def load_all(parser: argparse.ArgumentParser, paths: Iterable[Path]) -> list[Picture]:
    """All pictures named on the command line; a usage error where there are none, or one cannot be read."""
    try:
        pictures = [load(path) for path in find_images(paths)]
    except (OSError, ValueError) as error:
        parser.error(str(error))
    if not pictures:
        parser.error("no images there")
    return pictures
