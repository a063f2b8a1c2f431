"""Pillow's pictures to image records and back: pixels, palettes and metadata.

Metadata stand in ``info`` under the names that Pillow's PNG plugin gives them: ``icc_profile``, ``exif``,
``xmp``, ``dpi``, ``aspect``, ``transparency``, ``gamma``, and each text under its keyword.  PNG's colour
chunks are in ``colour_chunks`` as they were: Pillow has names for a few of them only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from PIL import Image as PillowImage
from PIL.PngImagePlugin import iTXt

from nvpcodec.errors import UnsupportedImageError
from nvpcodec.pixels import Density, Image, Kind, Metadata, Samples, Text

_MODES = {
    (Kind.BILEVEL, 1): "1",
    (Kind.GREY, 8): "L",
    (Kind.GREY, 16): "I;16",
    (Kind.GREY_ALPHA, 8): "LA",
    (Kind.RGB, 8): "RGB",
    (Kind.RGBA, 8): "RGBA",
    (Kind.PALETTE, 8): "P",
}
_KINDS = {mode: kind for (kind, _), mode in _MODES.items()} | {"I;16B": Kind.GREY, "I;16L": Kind.GREY}
_EXIF_PREFIX = b"Exif\0\0"
_INCH = 0.0254
#: Pillow's name of the XMP packet among the texts of a PNG.
_XMP_KEYWORD = "XML:com.adobe.xmp"


def mode_of(kind: Kind, bit_depth: int) -> str:
    """Pillow's mode for such images.

    Raises
    ------
    UnsupportedImageError
        It has none.
    """
    mode = _MODES.get((kind, bit_depth))
    if mode is None:
        raise UnsupportedImageError(
            f"Pillow has no mode for {kind.name} of {bit_depth} bits; read the file with nvpcodec.read"
        )
    return mode


def to_picture(image: Image) -> PillowImage.Image:
    """The pixels of ``image``; no palette and no metadata.

    Raises
    ------
    UnsupportedImageError
        As for ``mode_of``.
    """
    mode = mode_of(image.kind, image.bit_depth)
    size = (image.width, image.height)
    # In "raw", I;16 is little-endian, and 1;8 has a byte a pixel.
    data = image.samples.astype("<u2" if mode == "I;16" else np.uint8, copy=False).tobytes()
    return PillowImage.frombytes(mode, size, data, "raw", "1;8" if mode == "1" else mode)


def info_of(image: Image) -> dict[Any, Any]:
    """``info`` of a picture of ``image``; its samples are not looked at."""
    metadata = image.metadata
    entries: dict[str, Any] = {
        "icc_profile": metadata.icc,
        "exif": None if metadata.exif is None else _EXIF_PREFIX + metadata.exif,
        "xmp": metadata.xmp,
        "transparency": _transparency_to_info(image),
        "colour_chunks": metadata.colour or None,
    }
    if (density := metadata.density) is not None:
        if density.unit == 1:
            entries["dpi"] = (density.x * _INCH, density.y * _INCH)
        else:
            entries["aspect"] = (density.x, density.y)
    for name, content in metadata.colour:
        if name == "gAMA" and len(content) == 4:
            entries["gamma"] = int.from_bytes(content, "big") / 100000
    present: dict[Any, Any] = {k: v for k, v in entries.items() if v is not None}
    return {**texts_of(metadata), **present}


def texts_of(metadata: Metadata) -> dict[str, str]:
    """Texts by keyword, of equal keywords the last; those with a language know it, as Pillow's of PNG do."""
    return {
        text.keyword: iTXt(text.text, text.language, text.translated)
        if text.language or text.translated
        else text.text
        for text in metadata.text
    }


def to_image(picture: PillowImage.Image, settings: Mapping[Any, Any]) -> Image:
    """The record of ``picture``; ``settings`` go before what its ``info`` says, None takes an entry away.

    Texts are those of ``settings["text"]``, or of the attribute ``text`` that pictures from PNG and .nvp
    files have.

    Raises
    ------
    UnsupportedImageError
        Its mode has no place in the format, or its metadata have none.
    """
    kind = _KINDS.get(picture.mode)
    if kind is None:
        raise UnsupportedImageError(
            f"cannot write mode {picture.mode} as NVP; convert it to RGB, RGBA, L, LA, P, 1 or I;16"
        )
    said: dict[Any, Any] = {**picture.info, **settings}
    palette = _palette_of(picture) if kind is Kind.PALETTE else None
    return Image(
        _samples_of(picture),
        kind,
        palette,
        _transparency_from_info(picture, kind, said.get("transparency"), len(palette or b"") // 3),
        _metadata_of(picture, said),
    )


def _samples_of(picture: PillowImage.Image) -> Samples:
    """uint8 or uint16 (H, W, C)."""
    pixels = np.asarray(picture)
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    if pixels.dtype.itemsize == 1:
        return np.ascontiguousarray(pixels, dtype=np.uint8)
    return np.ascontiguousarray(pixels, dtype=np.uint16)


def _palette_of(picture: PillowImage.Image) -> bytes:
    """Triples; Pillow's palettes may be empty, and then all indices are black."""
    return bytes(picture.getpalette("RGB") or ())[:768] or bytes(3)


def _transparency_to_info(image: Image) -> Any:
    if (content := image.transparency) is None:
        return None
    if image.kind is Kind.PALETTE:
        return content
    colour = tuple(int.from_bytes(content[i : i + 2], "big") for i in range(0, len(content), 2))
    if image.kind is Kind.BILEVEL:
        return 255 * min(1, colour[0])
    return colour if image.kind is Kind.RGB else colour[0]


def _transparency_from_info(picture: PillowImage.Image, kind: Kind, said: Any, entries: int) -> bytes | None:
    """PNG's tRNS of what ``info`` or the caller says of one transparent colour, or of the palette's alpha."""
    if kind is Kind.PALETTE:
        return _palette_alpha(picture, said, entries)
    if said is None or kind not in (Kind.GREY, Kind.BILEVEL, Kind.RGB):
        return None
    colour = said if isinstance(said, list | tuple) else (said,)
    if len(colour) != kind.channels or not all(isinstance(c, int) and 0 <= c < 2**16 for c in colour):
        raise UnsupportedImageError(f"the transparency {said!r} is no colour of mode {picture.mode}")
    if kind is Kind.BILEVEL:
        colour = (min(1, colour[0]),)
    return b"".join(int(c).to_bytes(2, "big") for c in colour)


def _palette_alpha(picture: PillowImage.Image, said: Any, entries: int) -> bytes | None:
    if picture.palette is not None and picture.palette.mode == "RGBA":
        alpha = bytes((picture.getpalette("RGBA") or ())[3::4])[:entries].rstrip(b"\xff")
        # Whether to say that all is opaque is left to what was said.
        if alpha:
            return said[:entries] if isinstance(said, bytes) and said.rstrip(b"\xff") == alpha else alpha
    if isinstance(said, int):
        said = b"\xff" * said + b"\0"
    return said[:entries] if isinstance(said, bytes) and said else None


def _metadata_of(picture: PillowImage.Image, said: Mapping[Any, Any]) -> Metadata:
    exif = said.get("exif")
    if isinstance(exif, PillowImage.Exif):
        exif = exif.tobytes()
    xmp = said.get("xmp")
    return Metadata(
        icc=said.get("icc_profile") or None,
        exif=exif.removeprefix(_EXIF_PREFIX) if exif else None,
        xmp=xmp.encode() if isinstance(xmp, str) else xmp or None,
        density=_density_of(said),
        colour=tuple(said.get("colour_chunks") or ()),
        text=tuple(_texts_from(said["text"] if "text" in said else getattr(picture, "text", None))),
    )


def _density_of(said: Mapping[Any, Any]) -> Density | None:
    if (dpi := said.get("dpi")) is not None:
        try:
            x, y = (float(value) for value in dpi)
            return Density.from_dpi(x, y) if x > 0 and y > 0 else None
        except (TypeError, ValueError, OverflowError) as error:
            raise UnsupportedImageError(f"{dpi!r} are no dots per inch; give two numbers") from error
    if (aspect := said.get("aspect")) is not None:
        x, y = aspect
        return Density(x, y, unit=0)
    return None


def _texts_from(texts: object) -> Iterator[Text]:
    """Texts by keyword; Pillow's international ones are strings with a language."""
    if texts is None:
        return
    if not isinstance(texts, Mapping):
        raise UnsupportedImageError("texts must be given as a dict of keywords and strings")
    for keyword, text in texts.items():
        if keyword != _XMP_KEYWORD:
            yield Text(
                str(keyword), str(text), getattr(text, "lang", None) or "", getattr(text, "tkey", None) or ""
            )
