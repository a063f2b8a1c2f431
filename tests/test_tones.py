"""Colours of one scale of tones cost what grey does, there and back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from nvpcodec import codec, container, tones
from nvpcodec.container import MODE_FLOW, MODE_RANKS, MODE_TONES, RegionPart
from nvpcodec.errors import FormatError
from nvpcodec.options import Options
from nvpcodec.pixels import Image, Kind
from nvpcodec.ranks import Bytes
from tests import second_decoder
from tests.golden import make
from tests.refusals import check_is_damage, file_of_region, shipped_models

OPTIONS = Options(device="cpu")


def toned(kind: Kind = Kind.RGB) -> Bytes:
    return make.toned(kind).samples.astype(np.uint8)


def test_a_scale_and_its_places() -> None:
    samples = np.array([[[9, 8, 7], [0, 0, 0]], [[9, 8, 7], [4, 4, 4]]], np.uint8).repeat(12, 0)
    scale = tones.find(samples)
    assert scale is not None
    assert scale.colours.tolist() == [[0, 0, 0], [4, 4, 4], [9, 8, 7]]
    assert scale.places[::12].tolist() == [[[2], [0]], [[2], [1]]]
    np.testing.assert_array_equal(tones.colours_of(scale.colours, scale.places), samples, strict=True)
    payload = tones.join(scale.colours, RegionPart(MODE_FLOW, b"coded"))
    assert payload[0] == 3
    colours, part = tones.split(payload)
    np.testing.assert_array_equal(colours, scale.colours, strict=True)
    assert part == RegionPart(MODE_FLOW, b"coded")


def test_what_is_a_scale() -> None:
    assert tones.find(toned()) is not None
    assert tones.find(make.crop(Kind.RGB, make.FLOW).samples.astype(np.uint8)) is None
    assert tones.find(make.crop(Kind.GREY, make.FLOW).samples.astype(np.uint8)) is None
    assert tones.find(toned()[:20, :20]) is None, "more tones than are worth a list"
    heap = np.random.default_rng(1).integers(0, 256, (64, 3), np.uint8)
    assert tones.find(heap[np.random.default_rng(2).integers(0, 64, (32, 32))]) is None


def test_sepia_costs_what_grey_does() -> None:
    places = tones.find(toned())
    assert places is not None
    grey = codec.encode_image(Image(places.places, Kind.GREY), OPTIONS)
    data = codec.encode_image(Image(toned(), Kind.RGB), OPTIONS)
    assert len(data) < len(grey) + 3 * tones.MAX_TONES


@pytest.mark.parametrize("kind", [Kind.RGB, Kind.RGBA])
def test_toned_images_come_back(kind: Kind) -> None:
    image = Image(toned(kind), kind)
    data = codec.encode_image(image, OPTIONS)
    assert [part.mode for part in container.parse(data).regions] == [MODE_TONES]
    assert codec.decode_image(data, OPTIONS).equals(image)
    np.testing.assert_array_equal(second_decoder.decode(data, shipped_models()), image.samples)


def with_payload(payload: bytes, kind: int = container.RGB) -> bytes:
    """A file of one region of tones."""
    return file_of_region(RegionPart(MODE_TONES, payload), kind, make.FLOW)


def good_parts() -> tuple[Bytes, RegionPart]:
    data = codec.encode_image(Image(toned(), Kind.RGB), OPTIONS)
    return tones.split(container.parse(data).regions[0].payload)


HOSTILE: dict[str, Callable[[Bytes, RegionPart], bytes]] = {
    "no bytes": lambda colours, part: b"",
    "the tones alone": lambda colours, part: tones.join(colours, part)[: -len(part.payload) - 1],
    "no tones": lambda colours, part: b"\0" + tones.join(colours, part)[2:],
    "ranks of tones": lambda colours, part: tones.join(colours, RegionPart(MODE_RANKS, part.payload)),
    "a tone less": lambda colours, part: tones.join(colours[:-1], part),
    "a palette that is cut": lambda colours, part: (
        tones.join(colours, part)[:2] + b"\x01\0\x11" + part.payload
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_payload_is_damage(name: str) -> None:
    check_is_damage(with_payload(HOSTILE[name](*good_parts())))


def test_grey_has_no_tones() -> None:
    with pytest.raises(FormatError, match="colour only"):
        with_payload(b"", container.GREY)
