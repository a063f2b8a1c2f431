"""Image files to image records: PNG with all it carries, other formats as the pixels Pillow makes of them.

Accepted beside PNG: JPEG, WebP, TIFF, BMP, GIF, PPM.  What Pillow would cut to 8 bits, or drop, is refused:
the record must hold all that the file shows.  Image files are written as PNG only (``png.write``).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image as PillowImage
from PIL import TiffImagePlugin

from nvpcodec import container, png
from nvpcodec.errors import InputError, UnsupportedImageError
from nvpcodec.pixels import MAX_PALETTE, Density, Image, Kind, Metadata, Samples, check_size
from nvpcodec.rasters import Source, opened

FORMATS = ("JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM")

_KINDS = {
    "1": Kind.BILEVEL,
    "L": Kind.GREY,
    "LA": Kind.GREY_ALPHA,
    "P": Kind.PALETTE,
    "RGB": Kind.RGB,
    "RGBA": Kind.RGBA,
    "I;16": Kind.GREY,
    "I;16B": Kind.GREY,
}
_CONVERTED = {"YCbCr": "RGB", "PA": "RGBA"}
_EXIF_PREFIX = b"Exif\0\0"
_BITS_PER_SAMPLE, _ORIENTATION, _SAMPLES_PER_PIXEL = 258, 274, 277


def read(data: bytes, *, max_pixels: int) -> Source:
    """The image in the bytes of an image file.

    Raises
    ------
    InputError
        ``data`` is no image file or a damaged one; UnsupportedImageError for what cannot be held without
        loss (animations, CMYK, floats, ...), ImageTooLargeError above ``max_pixels`` pixels.
    """
    if not data:
        raise InputError("the file is empty; it should hold an image")
    if data.startswith(container.MAGIC):
        raise InputError("it is an .nvp file already; decode it")
    if data.startswith(png.SIGNATURE):
        return png.read(data, max_pixels=max_pixels)
    with opened(data, FORMATS) as picture:
        check_size(*picture.size, max_pixels)
        _refuse_loss(picture)
        notes = tuple(_notes(picture))
        return Source(_image_of(picture), notes)


def _refuse_loss(picture: PillowImage.Image) -> None:
    """Refuse what Pillow can open but not give back whole."""
    # A camera's MPO is a JPEG with previews or a gain map behind it: its first picture is the picture.
    if getattr(picture, "is_animated", False) and picture.format != "MPO":
        raise UnsupportedImageError(
            f"the {picture.format} has more than one frame or page; save the one that you want as a picture"
        )
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        _refuse_tiff_loss(picture)
    if picture.format == "PPM" and _ppm_is_rescaled(picture):
        raise UnsupportedImageError("the PPM's largest value is not 255, or 65535 in grey; convert it to PNG")
    if picture.mode not in _KINDS and picture.mode not in _CONVERTED and not _is_wide_ppm(picture):
        raise UnsupportedImageError(
            f"its pixels are of mode {picture.mode}, which is not supported (nor are CMYK, floats and "
            "32-bit integers); convert it to RGB"
        )


def _refuse_tiff_loss(picture: TiffImagePlugin.TiffImageFile) -> None:
    bits = picture.tag_v2.get(_BITS_PER_SAMPLE, (1,))
    if max(bits) > 8 and not picture.mode.startswith(("I", "F")):
        raise UnsupportedImageError(
            f"a colour TIFF of {max(bits)} bits is not read; convert it to a 16-bit PNG"
        )
    if picture.tag_v2.get(_SAMPLES_PER_PIXEL, 1) > len(picture.getbands()):
        raise UnsupportedImageError("the TIFF has channels beyond its colours; convert it to RGB or RGBA")


def _ppm_is_rescaled(picture: PillowImage.Image) -> bool:
    """Whether Pillow stretches the values: they end neither at 255 nor, in grey, at 65535."""
    decoder, _, _, arguments = picture.tile[0]  # type: ignore[attr-defined]  # every ImageFile has it
    if decoder == "raw" or picture.mode == "1":
        return False
    return bool(arguments[1] != (65535 if _is_wide_ppm(picture) else 255))


def _is_wide_ppm(picture: PillowImage.Image) -> bool:
    return picture.format == "PPM" and picture.mode == "I"


def _notes(picture: PillowImage.Image) -> Iterator[str]:
    if picture.format in ("JPEG", "MPO"):
        yield "the pixels of the JPEG are kept, not the JPEG file"
    if isinstance(picture, TiffImagePlugin.TiffImageFile) and picture.tag_v2.get(_ORIENTATION, 1) != 1:
        yield "the TIFF is kept as it is shown, turned upright"
    if picture.format == "TIFF":
        yield "of the TIFF's tags only colour profile, XMP and density are kept"


def _image_of(picture: PillowImage.Image) -> Image:
    metadata = _metadata_of(picture)
    wide = _is_wide_ppm(picture)
    if picture.mode in _CONVERTED:
        picture = picture.convert(_CONVERTED[picture.mode])
    kind = Kind.GREY if wide else _KINDS[picture.mode]
    samples = _samples_of(picture)
    if kind is Kind.PALETTE:
        palette = bytes(picture.getpalette("RGB") or ())[: 3 * MAX_PALETTE]
        return Image(samples, kind, palette, _palette_alpha(picture, len(palette) // 3), metadata)
    return Image(samples, kind, transparency=_colour_key(picture, kind), metadata=metadata)


def _samples_of(picture: PillowImage.Image) -> Samples:
    """Decode; uint8 or uint16 (H, W, C)."""
    picture.load()
    pixels = np.asarray(picture)
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    if pixels.dtype.itemsize == 1:
        return np.ascontiguousarray(pixels, dtype=np.uint8)
    return np.ascontiguousarray(pixels, dtype=np.uint16)


def _palette_alpha(picture: PillowImage.Image, entries: int) -> bytes | None:
    """The alpha of the first palette entries; GIF names one transparent index instead."""
    transparency = picture.info.get("transparency")
    if isinstance(transparency, int):
        transparency = b"\xff" * transparency + b"\0"
    return transparency[:entries] if isinstance(transparency, bytes) else None


def _colour_key(picture: PillowImage.Image, kind: Kind) -> bytes | None:
    """The transparent grey value of a grey GIF."""
    transparency = picture.info.get("transparency")
    if kind not in (Kind.GREY, Kind.BILEVEL) or not isinstance(transparency, int):
        return None
    return transparency.to_bytes(2, "big")


def _metadata_of(picture: PillowImage.Image) -> Metadata:
    info = picture.info
    exif = info.get("exif")
    return Metadata(
        icc=info.get("icc_profile") or None,
        exif=exif.removeprefix(_EXIF_PREFIX) if exif and picture.format != "TIFF" else None,
        xmp=info.get("xmp") or None,
        density=_density_of(info.get("dpi")),
    )


def _density_of(dpi: object) -> Density | None:
    """The density, where the file states one that makes sense."""
    try:
        x, y = (float(value) for value in dpi)  # type: ignore[attr-defined]  # TypeError is handled
        return Density.from_dpi(x, y) if x > 0 and y > 0 else None
    except (TypeError, ValueError, OverflowError, ZeroDivisionError, UnsupportedImageError):
        return None
