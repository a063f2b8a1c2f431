"""Values that are left out cost nothing: ranks in their place, there and back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from nvpcodec import codec, container, ranks
from nvpcodec.container import MODE_FLOW, MODE_FLOW_TOP_FIRST, MODE_RANKS, MODE_STORED, RegionPart
from nvpcodec.errors import FormatError
from nvpcodec.options import Options
from nvpcodec.pixels import Image, Kind
from tests import second_decoder
from tests.golden import make
from tests.refusals import check_is_damage, file_of_region, shipped_models

OPTIONS = Options(device="cpu")


def stretched(kind: Kind = Kind.GREY) -> ranks.Bytes:
    return make.stretched(kind).samples.astype(np.uint8, copy=False)


def photograph(kind: Kind) -> ranks.Bytes:
    return make.crop(kind, make.FLOW).samples.astype(np.uint8)


def test_ranks_and_values_are_inverses() -> None:
    samples = np.array([[[7, 0], [9, 1]], [[255, 2], [7, 1]]], np.uint8)
    part = RegionPart(MODE_FLOW, b"coded")
    payload = ranks.join(samples, part)
    assert payload[:32] == bytes([1 << 7, 1 << 1, *bytes(29), 1 << 7])
    assert payload[32:64] == bytes([0b111, *bytes(31)])
    assert payload[64:] == b"\x10coded"
    values, found = ranks.split(payload, 2)
    assert [each.tolist() for each in values] == [[7, 9, 255], [0, 1, 2]]
    assert found == part
    assert ranks.of(samples).tolist() == [[[0, 0], [1, 1]], [[2, 2], [0, 1]]]
    np.testing.assert_array_equal(ranks.values_of(values, ranks.of(samples)), samples, strict=True)


def test_what_ranks_pay_for() -> None:
    assert ranks.pay(stretched(Kind.GREY))
    assert ranks.pay(stretched(Kind.RGBA)[..., :3])
    assert not ranks.pay(photograph(Kind.RGB))
    assert not ranks.pay(stretched(Kind.GREY)[:10, :10])
    assert not ranks.pay(np.zeros((1, 1, 3), np.uint8))


def test_clipping_is_no_gap() -> None:
    """Values far from all others at the ends, as of skies that are white."""
    samples = photograph(Kind.GREY)
    samples[:40] = 255
    samples[-20:] = 0
    assert not ranks.pay(samples)


def test_brighter_photographs_cost_what_they_did_before() -> None:
    """Contrast stretched by a factor for each channel, as white balance does."""
    before = photograph(Kind.RGB) // 2
    after = np.floor(before * np.array([1.9, 1.2, 1.5])).astype(np.uint8)
    assert (ranks.of(after) == ranks.of(before)).all()
    sizes = [len(codec.encode_image(Image(x, Kind.RGB), OPTIONS)) for x in (ranks.of(before), after)]
    assert sizes[1] <= sizes[0] + 3 * ranks.TABLE_BYTES + 1


@pytest.mark.parametrize("kind", [Kind.GREY, Kind.GREY_ALPHA, Kind.RGB, Kind.RGBA])
def test_stretched_images_come_back(kind: Kind) -> None:
    image = Image(stretched(kind), kind)
    data = codec.encode_image(image, OPTIONS)
    (part,) = container.parse(data).regions
    assert part.mode == MODE_RANKS
    assert codec.decode_image(data, OPTIONS).equals(image)
    np.testing.assert_array_equal(second_decoder.decode(data, shipped_models()), image.samples)


def with_payload(payload: bytes, kind: int = container.GREY) -> bytes:
    """A file of one region of ranks."""
    return file_of_region(RegionPart(MODE_RANKS, payload), kind, make.FLOW)


def good_payload() -> bytes:
    return container.parse(codec.encode_image(Image(stretched(), Kind.GREY), OPTIONS)).regions[0].payload


HOSTILE: dict[str, Callable[[bytes], bytes]] = {
    "no bytes": lambda good: b"",
    "the table alone": lambda good: good[:32],
    "ranks that are stored": lambda good: good[:32] + bytes([MODE_STORED]) + good[33:],
    "ranks of ranks": lambda good: good[:32] + bytes([MODE_RANKS]) + good,
    "no values at all": lambda good: bytes(32) + good[32:],
    "a value less": lambda good: good[:31] + bytes([good[31] & good[31] - 1]) + good[32:],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_payload_is_damage(name: str) -> None:
    check_is_damage(with_payload(HOSTILE[name](good_payload())))


def test_palettes_have_no_ranks() -> None:
    with pytest.raises(FormatError, match="grey or colour"):
        with_payload(good_payload(), container.PALETTE)


def test_the_ranks_may_be_in_both_orders() -> None:
    """Mode 16 inside, too: what an earlier model was written in."""
    payload = good_payload()
    assert payload[32] == MODE_FLOW_TOP_FIRST
    colours = payload[33:34] + payload[:33:-1]
    other = payload[:32] + bytes([MODE_FLOW]) + colours
    coder = codec.find_coder(container.parse(with_payload(payload)).model_id, OPTIONS)
    for each in (payload, other):
        part = RegionPart(MODE_RANKS, each)
        decoded = codec.decode_region(part, stretched().shape, Kind.GREY, 8, coder)
        np.testing.assert_array_equal(decoded, stretched())
