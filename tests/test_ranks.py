"""Values that are left out cost nothing: ranks in their place, there and back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from nvpcodec import codec, container, ranks, zoo
from nvpcodec.container import MODE_FLOW, MODE_FLOW_TOP_FIRST, MODE_RANKS, MODE_STORED, RegionPart
from nvpcodec.errors import DamagedFileError, FormatError
from nvpcodec.options import Options
from nvpcodec.pixels import Image, Kind, Samples
from tests import second_decoder
from tests.golden import make

OPTIONS = Options(device="cpu")


def stretched() -> Samples:
    return make.stretched_case().image.samples


def test_ranks_and_values_are_inverses() -> None:
    samples = np.array([[[7], [9]], [[255], [7]]], np.uint8)
    part = RegionPart(MODE_FLOW, b"coded")
    payload = ranks.join(samples, part)
    assert payload[:32] == bytes([1 << 7, 1 << 1, *bytes(29), 1 << 7])
    assert payload[32:] == b"\x10coded"
    values, found = ranks.split(payload)
    assert values.tolist() == [7, 9, 255]
    assert found == part
    assert ranks.of(samples).ravel().tolist() == [0, 1, 2, 0]
    np.testing.assert_array_equal(ranks.values_of(ranks.of(samples), values), samples, strict=True)


def test_what_is_sparse() -> None:
    assert ranks.are_worth_a_try(stretched())
    assert not ranks.are_worth_a_try(make.crop(Kind.GREY, make.FLOW).samples)
    assert not ranks.are_worth_a_try(stretched()[:20, :20])


def test_a_stretched_photograph_costs_what_it_did_before() -> None:
    image = Image(stretched(), Kind.GREY)
    dense = Image(ranks.of(stretched()), Kind.GREY)
    data = codec.encode_image(image, OPTIONS)
    (part,) = container.parse(data).regions
    assert part.mode == MODE_RANKS
    assert len(data) == len(codec.encode_image(dense, OPTIONS)) + ranks.TABLE_BYTES + 1
    assert codec.decode_image(data, OPTIONS).equals(image)


def with_payload(payload: bytes, kind: int = container.GREY) -> bytes:
    """A file of one region of ranks."""
    samples = stretched()
    model_id = container.parse(codec.encode_image(Image(samples, Kind.GREY), OPTIONS)).model_id
    height, width, _ = samples.shape
    parts = (RegionPart(MODE_RANKS, payload),)
    return container.write(
        container.Container(kind, 8, width, height, height, width, model_id, b"", parts, pixel_checksum=0)
    )


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
    data = with_payload(HOSTILE[name](good_payload()))
    with pytest.raises(DamagedFileError) as caught:
        codec.decode_image(data, OPTIONS)
    assert "\n" not in str(caught.value)
    models = dict(second_decoder.read_model(path.read_bytes()) for path in zoo.WEIGHTS.glob("*"))
    with pytest.raises(second_decoder.RefusedError):
        second_decoder.decode(data, models)


def test_colours_have_no_ranks() -> None:
    with pytest.raises(FormatError, match="grey only"):
        with_payload(good_payload(), container.RGB)


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
