"""Images of other kinds than photographs, made here from seeds: drawings, screens, scans, instruments, and
photographs that were worked on.

    python benchmarks/kinds.py FOLDER          # writes them as PNG files, to look at

Each maker draws one picture of (H, W, C) samples, uint8 or, where its name says so, uint16. The same seed
gives the same picture under one version of Pillow, whose default font draws the text.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Samples = NDArray[np.uint8] | NDArray[np.uint16]
Colour = tuple[int, ...]

DEMO = Path(__file__).resolve().parent.parent / "demo"
WORDS = (
    *("file", "edit", "view", "the", "quick", "brown", "fox", "jumps", "over", "lazy", "dog", "open", "save"),
    *("as", "report", "total", "sum", "of", "all", "values", "Monday", "window", "settings", "2048", "3.14"),
    *(
        "100%",
        "error:",
        "none",
        "found,",
        "please",
        "try",
        "again",
        "later",
        "OK",
        "Cancel",
        "north",
        "river",
    ),
)
SOFT = 4  # drawings with soft edges are drawn this many times larger, then averaged


def random(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def as_samples(image: Image.Image) -> Samples:
    samples = np.array(image)
    return samples.reshape(*samples.shape[:2], -1)


def photograph(name: str = "chelsea.png", size: tuple[int, int] = (240, 320)) -> Image.Image:
    """The middle of a demo photograph; size is height and width."""
    with Image.open(DEMO / name) as image:
        left, top = (image.width - size[1]) // 2, (image.height - size[0]) // 2
        return image.convert("RGB").crop((left, top, left + size[1], top + size[0]))


def sentence(generator: np.random.Generator, words: int) -> str:
    return " ".join(generator.choice(WORDS, words))


def write(draw: ImageDraw.ImageDraw, place: tuple[float, float], text: str, fill: Any, size: int) -> None:
    draw.text(place, text, fill=fill, font=ImageFont.load_default(size))


def colour(generator: np.random.Generator, channels: int = 3, low: int = 0) -> Colour:
    return tuple(int(value) for value in generator.integers(low, 256, channels))


# --- screens ------------------------------------------------------------------------------------------------


def screenshot(seed: int = 1) -> Samples:
    """Windows with title bars that shade off, anti-aliased text, buttons, a list."""
    generator = random(seed)
    image = Image.new("RGB", (640, 440), (58, 110, 165))
    draw = ImageDraw.Draw(image)
    for left, top, right, bottom in ((20, 16, 420, 330), (250, 120, 620, 420)):
        draw.rectangle((left, top, right, bottom), (240, 240, 240), (90, 90, 90))
        for row in range(22):
            draw.line(
                (left + 1, top + 1 + row, right - 1, top + 1 + row),
                (40 + 3 * row, 80 + 3 * row, 150 + 3 * row),
            )
        write(draw, (left + 8, top + 4), sentence(generator, 3), "white", 13)
        draw.rectangle((left + 8, top + 50, right - 8, bottom - 40), "white", (160, 160, 160))
        write(draw, (left + 10, top + 28), sentence(generator, 6), "black", 12)
        for row, y in enumerate(range(top + 54, bottom - 60, 16)):
            if row % 7 == 3:
                draw.rectangle((left + 9, y, right - 9, y + 15), (0, 120, 215))
            write(draw, (left + 28, y), sentence(generator, 7)[:44], "white" if row % 7 == 3 else "black", 12)
            draw.rectangle((left + 13, y + 3, left + 22, y + 12), colour(generator), (60, 60, 60))
        for button in range(2):
            corner = (right - 90 * (button + 1), bottom - 32)
            draw.rounded_rectangle(
                (*corner, corner[0] + 80, corner[1] + 24), 5, (225, 225, 225), (120, 120, 120)
            )
            write(draw, (corner[0] + 22, corner[1] + 5), ("OK", "Cancel")[button], "black", 12)
    return as_samples(image)


def terminal(seed: int = 2) -> Samples:
    """Coloured anti-aliased text on black."""
    generator = random(seed)
    image = Image.new("RGB", (560, 360), (12, 12, 12))
    draw = ImageDraw.Draw(image)
    for y in range(4, 345, 15):
        ink = ((204, 204, 204), (22, 198, 12), (59, 120, 255), (231, 72, 86))[int(generator.integers(0, 4))]
        write(draw, (6, y), sentence(generator, int(generator.integers(2, 12)))[:80], ink, 13)
    return as_samples(image)


def screenshot_with_photo(seed: int = 3) -> Samples:
    """A page with text around a photograph."""
    generator = random(seed)
    image = Image.new("RGB", (560, 420), "white")
    draw = ImageDraw.Draw(image)
    write(draw, (20, 12), sentence(generator, 4), (20, 20, 20), 24)
    image.paste(photograph("coffee.png", (200, 260)), (20, 56))
    for y in range(56, 400, 18):
        left = 300 if y < 262 else 20
        write(draw, (left, y), sentence(generator, 14)[: (540 - left) // 7], (60, 60, 60), 13)
    return as_samples(image)


# --- paper --------------------------------------------------------------------------------------------------


def page(seed: int, size: tuple[int, int] = (400, 320)) -> Image.Image:
    """Grey text on white, anti-aliased; size is height and width."""
    generator = random(seed)
    image = Image.new("L", size[::-1], 255)
    draw = ImageDraw.Draw(image)
    write(draw, (24, 16), sentence(generator, 3), 0, 20)
    for y in range(52, size[0] - 24, 15):
        write(draw, (24, y), sentence(generator, 12)[: (size[1] - 48) // 6], 0, 12)
    return image


def text_grey(seed: int = 4) -> Samples:
    return as_samples(page(seed))


def text_bilevel(seed: int = 5) -> Samples:
    """A large page, black and white in 8 bits, as fax machines send it."""
    grey = page(seed).resize((960, 1200), Image.Resampling.BICUBIC)
    return np.where(as_samples(grey) < 140, 0, 255).astype(np.uint8)


def text_scan(seed: int = 6) -> Samples:
    """A page under uneven light, blurred and noisy."""
    grey = as_samples(page(seed).resize((340, 425), Image.Resampling.BICUBIC)).astype(np.float64)
    height, width, _ = grey.shape
    light = np.add.outer(np.linspace(-14, 6, height), np.linspace(-8, 8, width))[..., None]
    scan = 30 + 0.78 * grey + light + random(seed).normal(0, 3, grey.shape)
    return scan.round().clip(0, 255).astype(np.uint8)


def line_art(seed: int = 7) -> Samples:
    """Soft grey pen strokes on white."""
    generator = random(seed)
    side = 320 * SOFT
    image = Image.new("L", (side, side), 255)
    draw = ImageDraw.Draw(image)
    for _ in range(28):
        place = generator.uniform(0, side, 2)
        walk = np.cumsum(generator.normal(0, 26, (60, 2)).cumsum(0) / 3, 0) + place
        draw.line([tuple(point) for point in walk], 0, int(generator.integers(3, 12)), joint="curve")
    return as_samples(image.reduce(SOFT))


# --- few colours --------------------------------------------------------------------------------------------


def sprites(seed: int, side: int) -> NDArray[np.uint8]:
    """Mirrored figures of 16 colours on tiles, (side, side, 3)."""
    generator = random(seed)
    palette = generator.integers(0, 256, (16, 3)).astype(np.uint8)
    tiles = [np.where(generator.random((16, 16)) < 0.15, 1, 0) + 2 * kind for kind in range(3)]
    canvas = np.block(
        [
            [tiles[int(generator.choice(3, p=(0.6, 0.3, 0.1)))] for _ in range(side // 16)]
            for _ in range(side // 16)
        ]
    )
    for top, left in generator.integers(0, side - 16, (side // 6, 2)):
        half = generator.integers(6, 16, (14, 7))
        half = np.where(generator.random((14, 7)) < 0.6, half[:, :1], half)
        shape = np.hypot(np.arange(14)[:, None] - 7, 7 - np.arange(7)) < generator.uniform(5, 8)
        figure, mask = np.hstack([half, half[:, ::-1]]), np.hstack([shape, shape[:, ::-1]])
        window = canvas[top : top + 14, left : left + 14]
        window[mask] = figure[mask]
    picture: NDArray[np.uint8] = palette[canvas]
    return picture


def pixel_art(seed: int = 8) -> Samples:
    return sprites(seed, 192)


def pixel_art_scaled(seed: int = 9) -> Samples:
    """Each pixel sixteen times as wide and high."""
    return sprites(seed, 48).repeat(16, 0).repeat(16, 1)


def map_of_regions(seed: int = 10) -> Samples:
    """Flat areas with winding borders, rivers and names."""
    generator = random(seed)
    height, width = 360, 480
    wobble = [
        4 * np.sin(np.arange(n) / p + q) + 2 * np.sin(np.arange(n) / 3.1)
        for n, p, q in ((height, 11.0, 1.0), (width, 13.0, 2.0))
    ]
    y = np.arange(height)[:, None] + wobble[1][None, :]
    x = np.arange(width)[None, :] + wobble[0][:, None]
    seeds = generator.uniform(0, 1, (40, 2)) * (height, width)
    nearest = np.argmin([np.hypot(y - top, x - left) for top, left in seeds], 0)
    shades = np.array([colour(generator, 3, 150) for _ in range(7)], np.uint8)
    samples = shades[nearest % 7]
    border = (nearest[1:, 1:] != nearest[:-1, 1:]) | (nearest[1:, 1:] != nearest[1:, :-1])
    samples[1:, 1:][border] = (120, 100, 90)
    image = Image.fromarray(samples)
    draw = ImageDraw.Draw(image)
    for top, left in seeds:
        write(draw, (float(left) - 16, float(top) - 6), str(generator.choice(WORDS)), (40, 40, 40), 12)
    return as_samples(image)


def dithered_bilevel() -> Samples:
    """A photograph in black and white by error diffusion, in 8 bits."""
    return as_samples(photograph().convert("1").convert("L"))


def dithered_colours() -> Samples:
    """A photograph in 32 colours by error diffusion."""
    return as_samples(
        photograph("coffee.png").quantize(32, dither=Image.Dither.FLOYDSTEINBERG).convert("RGB")
    )


def few_colours() -> Samples:
    """A photograph in 64 colours without dithering."""
    return as_samples(photograph("coffee.png").quantize(64, dither=Image.Dither.NONE).convert("RGB"))


# --- photographs that were worked on ------------------------------------------------------------------------


def contrast_stretched() -> Samples:
    """Levels pulled apart in 8 bits, so that some are never used."""
    samples = as_samples(photograph()).astype(np.float64)
    return ((samples - 30) * 1.4).round().clip(0, 255).astype(np.uint8)


def white_balanced() -> Samples:
    """Each colour brighter by a factor of its own, in 8 bits."""
    samples = as_samples(photograph("coffee.png")) * np.array([1.15, 1.0, 1.3])
    balanced: Samples = samples.round().clip(0, 255).astype(np.uint8)
    return balanced


def sepia() -> Samples:
    grey = as_samples(photograph("coffee.png").convert("L"))
    toned: Samples = (grey * np.array([1.0, 0.85, 0.65]) + 10).clip(0, 255).astype(np.uint8)
    return toned


def false_colours() -> Samples:
    """An instrument's values, with noise, on a scale from violet over green to yellow."""
    field = phantom(19, 200, 240) + random(19).normal(0, 0.01, (200, 240))
    level = (255 * field.clip(0, 1)).astype(np.intp)
    colours = [
        np.interp(np.arange(256), (0, 128, 255), c) for c in ((68, 33, 253), (1, 145, 231), (84, 140, 37))
    ]
    return np.stack(colours, 1).round().astype(np.uint8)[level]


def palette_photo() -> Samples:
    """A photograph in 256 colours by error diffusion, as GIF has it."""
    image = photograph().quantize(256, dither=Image.Dither.FLOYDSTEINBERG)
    return as_samples(image.convert("RGB"))


def through_jpeg(samples: Samples, quality: int) -> NDArray[np.uint8]:
    """What a JPEG file of grey or RGB samples, its chroma halved, decodes to."""
    stream = io.BytesIO()
    Image.fromarray(samples.squeeze()).save(stream, "jpeg", quality=quality, subsampling=2)
    with Image.open(stream) as image:
        return as_samples(image).astype(np.uint8, copy=False)


def decoded_jpeg() -> Samples:
    return through_jpeg(as_samples(photograph("coffee.png")), 90)


def enlarged() -> Samples:
    """A photograph made twice as large, smoothly."""
    image = photograph("chelsea.png", (150, 200))
    return as_samples(image.resize((400, 300), Image.Resampling.BICUBIC))


def letterbox() -> Samples:
    """A photograph between black bars."""
    bars: Samples = np.pad(as_samples(photograph("coffee.png")).astype(np.uint8), ((40, 40), (0, 0), (0, 0)))
    return bars


# --- drawings -----------------------------------------------------------------------------------------------


def chart(seed: int = 11) -> Samples:
    """Soft lines over bars, a grid and labels."""
    generator = random(seed)
    width, height = 520, 360
    image = Image.new("RGB", (width * SOFT, height * SOFT), "white")
    draw = ImageDraw.Draw(image)
    for index in range(12):
        left, top = 60 + 36 * index, float(generator.uniform(80, 280))
        box = [SOFT * value for value in (left, top, left + 22, 320)]
        draw.rectangle(box, (158, 202, 225))
    for ink in ((214, 39, 40), (44, 160, 44), (255, 127, 14)):
        level = 200 + np.cumsum(generator.normal(0, 9, 44))
        points = [(SOFT * (56 + 10.0 * i), SOFT * float(v)) for i, v in enumerate(level)]
        draw.line(points, ink, 2 * SOFT, joint="curve")
    image = image.reduce(SOFT)
    draw = ImageDraw.Draw(image)
    for y in range(80, 321, 40):
        draw.line((50, y, 500, y), (200, 200, 200))
        write(draw, (16, y - 7), f"{(320 - y) / 40:.1f}", (40, 40, 40), 12)
    draw.line((50, 40, 50, 320), "black")
    draw.line((50, 320, 500, 320), "black")
    for index in range(12):
        write(draw, (62 + 36 * index, 325), str(2001 + index)[2:], (40, 40, 40), 12)
    write(draw, (140, 12), sentence(generator, 4), "black", 18)
    return as_samples(image)


def gradients() -> Samples:
    """Smooth colour without any noise."""
    y, x = np.mgrid[0:1:240j, 0:1:360j]
    planes = [np.sin(2 * x + y), x * (1 - y), np.hypot(x - 0.5, y - 0.4)]
    return np.stack([(250 * plane / plane.max()).round() for plane in planes], 2).astype(np.uint8)


def shapes(seed: int, side: int, count: int, background: Colour) -> Image.Image:
    """Soft RGBA ellipses and strokes, some shaded, on what may be nothing."""
    generator = random(seed)
    image = Image.new("RGBA", (side * SOFT, side * SOFT), background)
    draw = ImageDraw.Draw(image)
    for index in range(count):
        ink = (*colour(generator), 255)
        left, top = generator.uniform(0, 0.7, 2) * side * SOFT
        wide, high = generator.uniform(0.1, 0.4, 2) * side * SOFT
        if index % 3 == 2:
            walk = np.cumsum(generator.normal(0, side / 10, (12, 2)), 0) + np.array((left, top))
            draw.line([tuple(point) for point in walk], ink, side * SOFT // 50, joint="curve")
        else:
            draw.ellipse((left, top, left + wide, top + high), ink)
    return image.reduce(SOFT)


def drawing_rgba(seed: int = 12) -> Samples:
    """Flat shapes with soft edges; nothing around them."""
    return as_samples(shapes(seed, 320, 12, (255, 255, 255, 0)))


def logo_rgba(seed: int = 13) -> Samples:
    """Shapes that shade off in colour, with soft edges and a soft shadow."""
    samples = as_samples(shapes(seed, 400, 9, (0, 0, 0, 0))).astype(np.int32)
    y, x = np.mgrid[:400, :400]
    shade = (0.6 + 0.4 * np.sin(x / 130 + y / 210))[..., None]
    seen = samples[..., 3:] > 0
    samples[..., :3] = np.where(seen, (samples[..., :3] * shade).round(), samples[..., :3])
    shadow = np.roll(samples[..., 3], (6, 6), (0, 1)) // 3
    samples[..., 3] = np.maximum(samples[..., 3], np.where(samples[..., 3] == 0, shadow, 0))
    return samples.clip(0, 255).astype(np.uint8)


def icon_rgba(seed: int = 14) -> Samples:
    return as_samples(shapes(seed, 64, 5, (0, 0, 0, 0)))


def hidden_colours(seed: int = 15) -> Samples:
    """A cut-out photograph, whose colours go on where it is transparent."""
    rgb = as_samples(photograph())
    alpha = as_samples(shapes(seed, 320, 5, (0, 0, 0, 0)))[:240, :, 3:]
    return np.concatenate([rgb, alpha], 2)


# --- grey and instruments -----------------------------------------------------------------------------------


def photo_grey() -> Samples:
    return as_samples(photograph("coffee.png").convert("L"))


def phantom(seed: int, height: int, width: int) -> NDArray[np.float64]:
    """Smooth bright bodies, 0 to 1, as an instrument sees them."""
    generator = random(seed)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    field = np.zeros((height, width))
    for _ in range(14):
        top, left, high, wide = generator.uniform((0.1, 0.1, 0.05, 0.05), (0.9, 0.9, 0.3, 0.3))
        distance = np.hypot((y - top) / high, (x - left) / wide)
        field += generator.uniform(-0.2, 0.5) / (1 + np.exp(24 * (distance - 1)))
    scaled: NDArray[np.float64] = (field - field.min()) / np.ptp(field)
    return scaled


def microscopy_grey(seed: int = 16) -> Samples:
    """Small, smooth, next to no noise."""
    return (20 + 90 * phantom(seed, 110, 100)).round().astype(np.uint8)[..., None]


def medical_12_in_16(seed: int = 17) -> Samples:
    """Twelve bits with noise in sixteen."""
    field = phantom(seed, 200, 220) * 3200 + 300
    return (
        (field + random(seed).normal(0, 12, field.shape)).round().clip(0, 4095).astype(np.uint16)[..., None]
    )


def medical_16(seed: int = 18) -> Samples:
    """Sixteen bits, noise growing with the signal, nothing outside of the body."""
    field = phantom(seed, 200, 220)
    counts = random(seed).poisson(field * 4000) * 12.0
    return np.where(field > 0.06, counts, 0).round().clip(0, 65535).astype(np.uint16)[..., None]


KINDS: dict[str, Callable[[], Samples]] = {
    maker.__name__: maker
    for maker in (
        screenshot,
        terminal,
        screenshot_with_photo,
        text_grey,
        text_bilevel,
        text_scan,
        line_art,
        pixel_art,
        pixel_art_scaled,
        map_of_regions,
        dithered_bilevel,
        dithered_colours,
        few_colours,
        contrast_stretched,
        white_balanced,
        sepia,
        false_colours,
        palette_photo,
        decoded_jpeg,
        enlarged,
        letterbox,
        chart,
        gradients,
        drawing_rgba,
        logo_rgba,
        icon_rgba,
        hidden_colours,
        photo_grey,
        microscopy_grey,
        medical_12_in_16,
        medical_16,
    )
}


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: python benchmarks/kinds.py FOLDER", file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    for name, maker in KINDS.items():
        samples = maker()
        Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples).save(folder / f"{name}.png")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
