"""Other lossless codecs beside ours: how many bytes the same pixels take in PNG, WebP and JPEG XL.

Pixels only: neither their files nor ours carry metadata when they are compared.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image as PillowImage

from nvpcodec import arrays, pictures
from nvpcodec.errors import UnsupportedImageError
from nvpcodec.pixels import Image, Kind


@dataclass(frozen=True)
class Peer:
    """Another codec, by its name and settings; `size` is of an image without metadata, in bytes.

    It raises OSError, ValueError or RuntimeError for what the codec cannot hold, and ImportError if it is
    not installed.
    """

    name: str
    settings: str
    size: Callable[[Image], int]


@dataclass(frozen=True)
class PeerSize:
    """What one codec made of one image; `why_not` says why there is no size."""

    file_bytes: int | None
    why_not: str = ""


def measure(image: Image) -> dict[str, PeerSize]:
    """All peers, by name."""
    return {peer.name: _measured(peer, image) for peer in PEERS}


def _measured(peer: Peer, image: Image) -> PeerSize:
    try:
        return PeerSize(peer.size(image))
    except ImportError:
        return PeerSize(None, "imagecodecs is not installed")
    except (UnsupportedImageError, OSError, ValueError, RuntimeError):
        return PeerSize(None, "cannot hold this kind or size")


def _png(image: Image) -> int:
    picture = pictures.to_picture(image)
    if image.palette is not None:
        picture.putpalette(image.palette)
    return _saved(picture, format="PNG", optimize=True)


def _webp(image: Image) -> int:
    if image.bit_depth != 8 and image.kind is not Kind.BILEVEL:
        raise UnsupportedImageError("WebP has 8 bits")
    # exact: without it WebP changes the colour of transparent pixels, which is not lossless.
    picture = PillowImage.fromarray(_shown(image))
    return _saved(picture, format="WEBP", lossless=True, quality=100, method=6, exact=True)


def _jpegxl(image: Image) -> int:
    import imagecodecs

    return len(imagecodecs.jpegxl_encode(_shown(image), lossless=True, effort=7, numthreads=1))


def _shown(image: Image) -> arrays.Array:
    """The array that the image shows, palettes resolved; black and white as 0 and 255."""
    array = arrays.from_image(image)
    return array.astype(np.uint8) * np.uint8(255) if array.dtype == np.bool_ else array


def _saved(picture: PillowImage.Image, **settings: object) -> int:
    stream = io.BytesIO()
    picture.save(stream, **settings)  # type: ignore[arg-type]  # Pillow types each option by its format
    return stream.tell()


PEERS = (
    Peer("PNG", "Pillow, optimised", _png),
    Peer("WebP", "lossless, quality 100, method 6", _webp),
    Peer("JPEG XL", "lossless, effort 7", _jpegxl),
)
