"""Adds golden files that are not recorded yet. Run by hand only: python tests/golden/make.py

Each case is NAME.nvp beside the samples that it holds, NAME.npy; index.json has the SHA-256 of both, the
format version of the file and the id of the model that it needs. What is recorded stays as it is: golden
files stand for what was written once, and must stay readable when the encoder improves. Where one is missing,
was changed or no longer decodes, nothing is written at all.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PillowImage

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from nvpcodec import colour, container, ycbcr, zoo  # noqa: E402
from nvpcodec.codec import ALPHA_KINDS, decode_image, encode_image  # noqa: E402
from nvpcodec.errors import NvpError  # noqa: E402
from nvpcodec.options import DEFAULT_EFFORT, DEFAULT_MODEL, Options  # noqa: E402
from nvpcodec.pixels import Image, Kind, Metadata, Text  # noqa: E402
from nvpcodec.regions import cut  # noqa: E402

FOLDER = Path(__file__).resolve().parent
INDEX = FOLDER / "index.json"
ENDINGS = ("nvp", "npy")
HEIGHT, WIDTH = 33, 48
#: Large enough that every flow beats the plain codings, and odd.
FLOW = (91, 117)
FITTED = (130, 136)
#: As small as images may be to be tuned to.
TUNED = (182, 182)
#: Six regions of `FLOW`, those at the right and at the bottom smaller.
CELL = 48

#: By name: "nvp" and "npy" (SHA-256 of the files), "format" (the version), "model" (its id, or null).
Index = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Case:
    """An image, the model that codes it, the side of its regions where they are not the encoder's, and the
    effort.
    """

    image: Image
    model: str = DEFAULT_MODEL
    cell: int | None = None
    effort: int = DEFAULT_EFFORT


def crop(kind: Kind, size: tuple[int, int] = (HEIGHT, WIDTH)) -> Image:
    """A part of a demo photograph in 8 bits; alpha is a slope."""
    with PillowImage.open(ROOT / "demo" / "chelsea.png") as picture:
        rgb = np.asarray(picture.convert("RGB"))[60 : 60 + size[0], 110 : 110 + size[1]]
    samples = rgb[..., 1:2] if kind in (Kind.GREY, Kind.GREY_ALPHA) else rgb
    if kind in ALPHA_KINDS:
        slope = 2 * np.add.outer(np.arange(size[0]), np.arange(size[1]))
        samples = np.concatenate([samples, slope.clip(0, 255).astype(np.uint8)[..., None]], 2)
    return Image(np.ascontiguousarray(samples), kind)


def partly_flat() -> Image:
    """A photograph with one region of a single colour, so that its file mixes the modes."""
    samples = crop(Kind.RGB, FLOW).samples.copy()
    samples[CELL:, CELL : 2 * CELL] = (200, 90, 40)
    return Image(samples, Kind.RGB)


def plain_cases() -> dict[str, Image]:
    """Images that need no model."""
    grey = crop(Kind.GREY).samples
    noise = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    palette = bytes((29 * i) % 256 for i in range(3 * 8))
    wide = crop(Kind.RGB).samples.astype(np.uint16) * 257 + (noise >> 3)
    metadata = Metadata(icc=b"a profile", text=(Text("Title", "Chelsea"),))
    return {
        "plain-palette": Image(grey // 32, Kind.PALETTE, palette, bytes([0, 128])),
        "plain-bilevel": Image((grey > 110).astype(np.uint8), Kind.BILEVEL),
        "plain-grey16": Image(np.ascontiguousarray(wide[..., :1]), Kind.GREY),
        "plain-rgb16": Image(wide, Kind.RGB),
        "plain-noise": Image(noise, Kind.RGB),
        "plain-flat": Image(np.full((HEIGHT, WIDTH, 4), 9, np.uint8), Kind.RGBA, metadata=metadata),
    }


def posterised(kind: Kind, levels: int) -> Image:
    """A photograph of a few levels a channel: what is coded as a drawing."""
    image = crop(kind, FLOW)
    return Image(image.samples // (256 // levels) * (255 // (levels - 1)), kind)


def drawing_cases() -> dict[str, Image]:
    """Images of few colours: more rows than columns, repeats, and every bit depth among them."""
    grey = posterised(Kind.GREY, 4).samples
    return {
        "drawing-rgb": posterised(Kind.RGB, 4),
        "drawing-rgba": posterised(Kind.RGBA, 2),
        "drawing-grey16": Image(np.ascontiguousarray(grey.swapaxes(0, 1)).astype(np.uint16) * 257, Kind.GREY),
        "drawing-bilevel": Image(grey // 128, Kind.BILEVEL),
        "drawing-repeats": Image(posterised(Kind.RGB, 2).samples.repeat(3, 0).repeat(2, 1), Kind.RGB),
    }


def flow_cases(model: str) -> dict[str, Case]:
    """Photographs: one of each kind, one large enough for fits, one of several regions.

    Eight orientations take eight times as long, and the code is that of all phase flows: `best` has one kind.
    """
    kinds = (Kind.GREY,) if model == "best" else (Kind.GREY, Kind.GREY_ALPHA, Kind.RGB, Kind.RGBA)
    return {kind.name.lower(): Case(crop(kind, FLOW), model) for kind in kinds} | {
        "fitted": Case(crop(Kind.RGB, FITTED), model),
        "regions": Case(partly_flat(), model, CELL),
    }


def deep(kind: Kind) -> Image:
    """A demo photograph in 12 bits, the sums of 4x4 samples; alpha is a slope."""
    height, width = FLOW
    wide = crop(kind, (height + 3, width + 3)).samples.astype(np.uint16)
    samples = np.lib.stride_tricks.sliding_window_view(wide, (4, 4), (0, 1)).sum((-2, -1), np.uint16)
    return Image(np.ascontiguousarray(samples), kind)


def deep_cases() -> dict[str, Image]:
    """Samples of 16 bits: 12 used, all used, 12 stretched; with alpha, with channels unlike each other."""
    twelve = deep(Kind.RGBA).samples
    squares = (twelve.astype(np.uint32) ** 2 >> 8).astype(np.uint16)
    turned = np.stack([twelve[..., 0], twelve[::-1, :, 1], twelve[:, ::-1, 2]], 2).astype(np.uint16)
    return {
        "deep-grey12": deep(Kind.GREY),
        "deep-grey_alpha-stretched": Image(deep(Kind.GREY_ALPHA).samples * 16, Kind.GREY_ALPHA),
        "deep-rgb16": Image(np.ascontiguousarray(squares[..., :3]), Kind.RGB),
        "deep-rgb12-turned": Image(turned, Kind.RGB),
        "deep-rgba16": Image(squares, Kind.RGBA),
        "deep-line": Image(np.ascontiguousarray(squares[40:41, :, :3]), Kind.RGB),
    }


def stretched(kind: Kind) -> Image:
    """A photograph in which two values of three do not occur, or in colour half of the red and a third of the
    blue values.
    """
    samples = crop(kind, FLOW).samples.copy()
    if kind in (Kind.GREY, Kind.GREY_ALPHA):
        samples[..., 0] = samples[..., 0] // 3 * 3
    else:
        samples[..., 0] = samples[..., 0] // 2 * 2
        samples[..., 2] = samples[..., 2].astype(np.uint16) * 2 // 3 * 3 // 2
    return Image(samples, kind)


def toned(kind: Kind) -> Image:
    """A photograph in sepia."""
    grey = crop(Kind.GREY, FLOW).samples.astype(np.uint16)
    sepia = np.concatenate([grey * 255 // 260 + 5, grey * 220 // 255, grey * 170 // 255], 2).astype(np.uint8)
    alpha = crop(kind, FLOW).samples[..., 3:]
    return Image(np.concatenate([sepia, alpha], 2), kind)


def jpeg_coloured(kind: Kind) -> Image:
    """A photograph in colours that JPEG can make; some channels are cut at 0 or 255."""
    image = crop(kind, FLOW)
    planes = colour.to_planes(image.samples[..., :3].astype(np.uint8))
    planes[1:] = np.clip(planes[1:] * 3 // 4, -128, 127)
    return Image(np.concatenate([ycbcr.to_colours(planes), image.samples[..., 3:]], 2), kind)


def cases() -> dict[str, Case]:
    """All golden images by name, for the models of today."""
    plain = {name: Case(image) for name, image in (plain_cases() | drawing_cases() | deep_cases()).items()}
    flow = {
        f"{model}-{model_id}-{name}": case
        for model, model_id in zoo.CURRENT.items()
        for name, case in flow_cases(model).items()
    }
    default = f"{DEFAULT_MODEL}-{zoo.CURRENT[DEFAULT_MODEL]}"
    ranked = {
        f"{default}-stretched": Case(stretched(Kind.GREY)),
        f"{default}-stretched-rgba": Case(stretched(Kind.RGBA)),
        f"{default}-toned-rgba": Case(toned(Kind.RGBA)),
        f"{default}-jpeg": Case(jpeg_coloured(Kind.RGB)),
        f"{default}-jpeg-rgba": Case(jpeg_coloured(Kind.RGBA)),
    }
    tuned = {
        f"{default}-gained": Case(crop(Kind.RGB, TUNED), effort=9),
        f"best-{zoo.CURRENT['best']}-tuned": Case(crop(Kind.RGB, TUNED), "best", effort=8),
    }
    # The other files of these weights are older than even exchanges.
    even = {f"{default}-even": Case(crop(Kind.RGB, FITTED))}
    return plain | flow | ranked | tuned | even


def encode(case: Case) -> bytes:
    """The file of a case, its regions coded one by one where the case names their side."""
    options = Options(model=case.model, device="cpu", effort=case.effort)
    if case.cell is None:
        return encode_image(case.image, options)
    cells = cut(case.image.height, case.image.width, case.cell, case.cell)
    images = [replace(case.image, samples=case.image.samples[cell.window].copy()) for cell in cells]
    files = [container.parse(encode_image(image, options)) for image in images]
    return container.write(
        replace(
            next(file for file in files if file.model_id),
            height=case.image.height,
            width=case.image.width,
            region_height=case.cell,
            region_width=case.cell,
            regions=tuple(file.regions[0] for file in files),
            pixel_checksum=container.checksum(case.image.samples.tobytes()),
        )
    )


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def array_bytes(image: Image) -> bytes:
    """The samples as an .npy file."""
    stream = io.BytesIO()
    np.save(stream, image.samples)
    return stream.getvalue()


def read_index() -> Index:
    index: Index = json.loads(INDEX.read_text("utf-8"))
    return index


def complaint(name: str, entry: dict[str, Any], folder: Path = FOLDER) -> str | None:
    """What is wrong with a recorded file, or None: it is there, as it was written, and gives its pixels."""
    model = f"model {entry['model']}" if entry["model"] else "no model"
    what = f"{name}.nvp (format {entry['format']}, {model})"
    stays = "a change of the format is a new version, and old files keep decoding"
    for ending in ENDINGS:
        path = folder / f"{name}.{ending}"
        if not path.exists():
            return f"{path.name} is missing: golden files are kept for ever; restore it"
        if sha256(path.read_bytes()) != entry[ending]:
            return f"{path.name} was changed: golden files stay as they were written; restore it"
    try:
        image = decode_image((folder / f"{name}.nvp").read_bytes(), Options(device="cpu"))
    except NvpError as error:
        return f"{what} no longer decodes: {error}. Mend the decoder: {stays}"
    if array_bytes(image) != (folder / f"{name}.npy").read_bytes():
        return f"{what} no longer decodes to its pixels. Mend the decoder: {stays}"
    return None


def add(name: str, case: Case) -> dict[str, Any]:
    """Writes both files of a case that is not recorded; returns its entry of the index."""
    data, pixels = encode(case), array_bytes(case.image)
    for ending, content in (("nvp", data), ("npy", pixels)):
        with (FOLDER / f"{name}.{ending}").open("xb") as file:
            file.write(content)
    model_id = container.parse(data).model_id
    return {
        "nvp": sha256(data),
        "npy": sha256(pixels),
        "format": container.VERSION,
        "model": model_id.hex() if model_id else None,
    }


def main() -> None:
    index = read_index()
    complaints = [text for name, entry in sorted(index.items()) if (text := complaint(name, entry))]
    if complaints:
        sys.exit("\n".join([*complaints, "nothing was written"]))
    for name, case in sorted(cases().items()):
        if name not in index:
            index[name] = add(name, case)
            INDEX.write_text(json.dumps(index, indent=1, sort_keys=True) + "\n", "utf-8")
            print(f"added {name}")


if __name__ == "__main__":
    main()
