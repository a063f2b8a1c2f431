"""Writes the golden files again and prints what changed. Run by hand only: python tests/golden/make.py

Each case is NAME.nvp beside the samples that it holds, NAME.npy; index.json has the SHA-256 of both. A file
that still decodes to its image is kept, also one of an earlier model: golden files stand for what was written
once, and must stay readable when the encoder improves. With --encode the cases of today are coded anew.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from nvpcodec import zoo  # noqa: E402
from nvpcodec.codec import ALPHA_KINDS, decode_image, encode_image  # noqa: E402
from nvpcodec.errors import NvpError  # noqa: E402
from nvpcodec.options import Options  # noqa: E402
from nvpcodec.pixels import Image, Kind, Metadata, Text  # noqa: E402

FOLDER = Path(__file__).resolve().parent
INDEX = FOLDER / "index.json"
HEIGHT, WIDTH = 33, 48
#: Large enough that every flow beats the plain codings, and odd.
FLOW = (91, 117)
FITTED = (130, 136)


def crop(kind: Kind, size: tuple[int, int] = (HEIGHT, WIDTH)) -> Image:
    """A part of a demo photograph in 8 bits; alpha is a slope."""
    with PillowImage.open(ROOT / "demo" / "chelsea.png") as picture:
        rgb = np.asarray(picture.convert("RGB"))[60 : 60 + size[0], 110 : 110 + size[1]]
    samples = rgb[..., 1:2] if kind in (Kind.GREY, Kind.GREY_ALPHA) else rgb
    if kind in ALPHA_KINDS:
        slope = 2 * np.add.outer(np.arange(size[0]), np.arange(size[1]))
        samples = np.concatenate([samples, slope.clip(0, 255).astype(np.uint8)[..., None]], 2)
    return Image(np.ascontiguousarray(samples), kind)


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


def flow_cases() -> dict[str, Image]:
    """Photographs, one of which is large enough for fits."""
    kinds = (Kind.GREY, Kind.GREY_ALPHA, Kind.RGB, Kind.RGBA)
    return {kind.name.lower(): crop(kind, FLOW) for kind in kinds} | {"fitted": crop(Kind.RGB, FITTED)}


def cases() -> dict[str, tuple[Image, str]]:
    """All golden images by name, and the model that codes each."""
    plain = {name: (image, "photo") for name, image in plain_cases().items()}
    flow = {
        f"{model}-{model_id}-{name}": (image, model)
        for model, model_id in zoo.CURRENT.items()
        for name, image in flow_cases().items()
    }
    return plain | flow


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def array_bytes(image: Image) -> bytes:
    """The samples as an .npy file."""
    stream = io.BytesIO()
    np.save(stream, image.samples)
    return stream.getvalue()


def still_good(path: Path, image: Image) -> bool:
    """Whether the file that is there decodes to the image."""
    try:
        return path.exists() and decode_image(path.read_bytes(), Options(device="cpu")).equals(image)
    except NvpError:
        return False


def reads_as_recorded(name: str) -> bool:
    """Whether a file of an earlier model, which has no case any more, still gives its pixels."""
    try:
        image = decode_image((FOLDER / f"{name}.nvp").read_bytes(), Options(device="cpu"))
    except (NvpError, OSError):
        return False
    return array_bytes(image) == (FOLDER / f"{name}.npy").read_bytes()


def main(arguments: list[str]) -> None:
    old = json.loads(INDEX.read_text("utf-8")) if INDEX.exists() else {}
    new: dict[str, dict[str, str]] = {}
    for name, (image, model) in sorted(cases().items()):
        path = FOLDER / f"{name}.nvp"
        if "--encode" in arguments or not still_good(path, image):
            path.write_bytes(encode_image(image, Options(model=model, device="cpu")))
        pixels = array_bytes(image)
        (FOLDER / f"{name}.npy").write_bytes(pixels)
        new[name] = {"nvp": sha256(path.read_bytes()), "npy": sha256(pixels)}
    for name in old.keys() - new.keys():
        if reads_as_recorded(name):
            new[name] = old[name]
    for path in FOLDER.glob("*.np[vy]"):
        if path.stem not in new:
            path.unlink()
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            change = "added" if name not in old else "removed" if name not in new else "changed"
            print(f"{change:8} {name}")
    INDEX.write_text(json.dumps(new, indent=1, sort_keys=True) + "\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
