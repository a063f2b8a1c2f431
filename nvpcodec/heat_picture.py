"""Maps of bits as pictures: dark where bits are few, and a legend that says how many."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

#: From no bits to the most: lightness rises evenly, so that the maps read well in grey, too.
COLOURS = (
    (13, 8, 38),
    (48, 18, 92),
    (97, 24, 114),
    (147, 38, 103),
    (196, 60, 78),
    (232, 97, 50),
    (249, 146, 32),
    (247, 201, 72),
    (252, 250, 204),
)
#: So many shades are told apart; few make small PNGs.
_SHADES = 128
_INK, _PAPER = (205, 205, 214), (20, 20, 26)
_GAP, _BAR = 12, 10


def top_of(maps: Sequence[NDArray[np.float32]]) -> int:
    """The number of bits that gets the last colour: even, and few pixels of these maps have more."""
    highest = max(float(np.percentile(bits, 99.5)) for bits in maps)
    return max(2, 2 * math.ceil(highest / 2))


def draw(bits: NDArray[np.float32], top: int) -> Image.Image:
    """A map (H, W) as a palette picture, 0 ... `top` bits from the first to the last colour."""
    shades = np.clip(np.rint(bits * ((_SHADES - 1) / top)), 0, _SHADES - 1).astype(np.uint8)
    picture = Image.frombytes("P", (bits.shape[1], bits.shape[0]), shades.tobytes())
    picture.putpalette(_palette().tobytes())
    return picture


def shrunk(bits: NDArray[np.float32], longest: int) -> NDArray[np.float32]:
    """The map, or if a side is longer than `longest` a smaller one of means over areas."""
    height, width = bits.shape
    factor = longest / max(height, width)
    if factor >= 1:
        return bits
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(Image.fromarray(bits).resize(size, Image.Resampling.BOX), np.float32)


def sheet(panels: Sequence[tuple[str, NDArray[np.float32]]], top: int) -> Image.Image:
    """Named maps below each other, each with its name, and the legend once at the end.

    Small maps are enlarged to about the size of the first, pixel by pixel.
    """
    first = panels[0][1].shape[1]
    drawn = [(name, _enlarged(draw(bits, top).convert("RGB"), first)) for name, bits in panels]
    line = _GAP + 2 * _BAR
    width = max(max(picture.width for _, picture in drawn), 240) + 2 * _GAP
    height = sum(picture.height + line + _GAP for _, picture in drawn) + _BAR + line + _GAP
    page = Image.new("RGB", (width, height), _PAPER)
    pen, at = ImageDraw.Draw(page), _GAP
    for name, picture in drawn:
        pen.text((_GAP, at), name, _INK, _font())
        page.paste(picture, (_GAP, at + line - _GAP // 2))
        at += picture.height + line + _GAP
    _legend(page, pen, at, top)
    return page


def _legend(page: Image.Image, pen: ImageDraw.ImageDraw, at: int, top: int) -> None:
    """The colours from left to right, and what they mean."""
    length = min(page.width - 2 * _GAP, 360)
    ramp = np.linspace(0, top, length, dtype=np.float32)[None].repeat(_BAR, 0)
    page.paste(draw(ramp, top).convert("RGB"), (_GAP, at))
    below = at + _BAR + 4
    pen.text((_GAP, below), "0", _INK, _font())
    pen.text((_GAP + length // 2, below), f"{top // 2}", _INK, _font(), anchor="ma")
    pen.text((_GAP + length, below), f"{top} bits/pixel", _INK, _font(), anchor="ra")


def _enlarged(picture: Image.Image, width: int) -> Image.Image:
    factor = max(1, round(width / picture.width))
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)


def _palette() -> NDArray[np.uint8]:
    """uint8 (shades, 3)."""
    places = np.linspace(0, len(COLOURS) - 1, _SHADES)
    known = np.array(COLOURS, np.float64)
    channels = [np.interp(places, np.arange(len(COLOURS)), known[:, channel]) for channel in range(3)]
    return np.rint(np.stack(channels, 1)).astype(np.uint8)


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default()
