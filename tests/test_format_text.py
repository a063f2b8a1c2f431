"""The examples of docs/format.md, read from the text itself, are what the program reads and writes."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from nvpcodec import container, deep_fit, drawing, plain, wide_symbols
from nvpcodec.container import Container, RegionPart

TEXT = (Path(__file__).parent.parent / "docs" / "format.md").read_text(encoding="utf-8")


def hex_of(pattern: str) -> list[bytes]:
    """The hexadecimal bytes that the first group of ``pattern`` matches, for each match."""
    found = [bytes.fromhex(match) for match in re.findall(pattern, TEXT, re.MULTILINE)]
    assert found, f"docs/format.md has nothing like {pattern}"
    return found


def section(title: str) -> str:
    """The text under a heading, up to the next of its level."""
    return re.split(r"^## ", TEXT.split(f"\n## {title}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def test_the_whole_file() -> None:
    lines = re.findall(r"^    ((?:[0-9a-f]{2} ?)+?)  +\S", section("A whole file"), re.MULTILINE)
    data = bytes.fromhex("".join(lines))
    samples = np.array([[10, 20, 30], [12, 22, 32]], np.uint8)
    record = Container(
        kind=container.GREY,
        bit_depth=8,
        width=3,
        height=2,
        region_height=2,
        region_width=3,
        model_id=None,
        side_data=b"",
        regions=(RegionPart(*plain.encode(samples[:, :, None], 8)),),
        pixel_checksum=container.checksum(samples.tobytes()),
    )
    assert container.write(record) == data
    assert container.parse(data) == record


def test_the_plain_payload() -> None:
    (payload,) = hex_of(r"^    payload +((?:[0-9a-f]{2} ?)+)$")
    (raw,) = hex_of(r"^    bytes +((?:[0-9a-f]{2} *)+)$")
    rows = hex_of(r"^    row \d +((?:[0-9a-f]{2} ?)+)$")
    assert plain._inflate(payload[1:], 1, len(raw)) == raw
    decoded = plain.decode(container.MODE_DEFLATE, payload, (4, 8, 1), 8)
    assert decoded.tobytes() == b"".join(rows)


def test_limits_and_constants_are_those_of_the_program() -> None:
    assert container.MAGIC.hex(" ") in section("Overview")
    limits = section("Limits")
    assert container.MAX_DIMENSION == 2**31 - 1
    assert "| width, height | 2^31 − 1 |" in limits
    assert container.MAX_LENGTH == 2**35 - 1
    assert "| side data, payload | 2^35 − 1 bytes |" in limits
    assert container.MAX_REGIONS == 2**20
    assert "| regions | 2^20 |" in limits
    assert plain.MAX_MEDIAN_STEPS == 2**16
    assert "| h + w of a median filter | 2^16 |" in limits
    assert drawing.MAX_STEPS == 2**16
    assert "| C + 2 R of a drawing | 2^16 |" in limits
    assert drawing.MAX_COLOURS == 2**12
    assert "| colours of a drawing | 2^12 |" in limits
    assert container.DEFAULT_MAX_SAMPLES == 2**28
    assert "2^28 unless told otherwise" in limits


def test_what_drawings_look_at_is_what_the_program_looks_at() -> None:
    text = section("Drawings")
    assert ", ".join(map(str, drawing.AROUND)) in text
    pairs = ", ".join(f"a({a}) a({b})" for a, b in drawing._PAIRS.T)
    assert pairs in text


def test_bounds_of_deep_regions_are_those_of_the_program() -> None:
    text = section("Deep regions")
    assert f"if they are {deep_fit.FIT_PIXELS} or more" in text
    assert f"legal values −{-deep_fit.COEFFICIENT_MIN} to {deep_fit.COEFFICIENT_MAX}" in text
    assert f"legal values −{wide_symbols.REACH} to {wide_symbols.REACH}" in text
    assert f"max(0, (s − {wide_symbols.WIDEST - 6}) div 6)" in text
    weights = deep_fit.unfitted(16, 9).weights.tolist()
    assert weights == [64, 0, 512, 512, 512, 0, 0, 0, 0]
    assert "the weights of magnitudes 1 and 2 are 64\nand 0, the three of item 3 are 512" in text


def test_kinds_are_those_of_the_program() -> None:
    table = re.findall(
        r"^\| (\d) \| ([A-Z_]+) \| (\d) \| ([\d, ]+) \|", section("Header fields"), re.MULTILINE
    )
    written = {int(kind): (name, int(channels), depths) for kind, name, channels, depths in table}
    assert written == {
        kind: (name, container.CHANNELS[kind], ", ".join(map(str, container.BIT_DEPTHS[kind])))
        for name, kind in (
            ("GREY", container.GREY),
            ("GREY_ALPHA", container.GREY_ALPHA),
            ("RGB", container.RGB),
            ("RGBA", container.RGBA),
            ("PALETTE", container.PALETTE),
            ("BILEVEL", container.BILEVEL),
        )
    }
