"""The parts of a flow payload come back in both orders, and lie where they are said to."""

from __future__ import annotations

import pytest

from nvpcodec import flow_payload
from nvpcodec.container import MODE_DEFLATE, MODE_FLOW, MODE_FLOW_TOP_FIRST, RegionPart
from nvpcodec.errors import DamagedFileError

COLOURS = bytes(range(1, 20))
ALPHA = RegionPart(MODE_DEFLATE, b"alpha" * 40)
MODES = (MODE_FLOW, MODE_FLOW_TOP_FIRST)


def test_the_orders_of_the_modes() -> None:
    alpha = RegionPart(MODE_DEFLATE, b"AB")
    assert flow_payload.join(MODE_FLOW, b"gabc", None) == b"gabc"
    assert flow_payload.join(MODE_FLOW_TOP_FIRST, b"gabc", None) == b"gcba"
    assert flow_payload.join(MODE_FLOW, b"gabc", alpha) == b"\1\2ABgabc"
    assert flow_payload.join(MODE_FLOW_TOP_FIRST, b"gabc", alpha) == b"\1\2gcbaAB"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("colours", [b"", b"g", COLOURS])
@pytest.mark.parametrize("alpha", [None, RegionPart(2, b""), ALPHA], ids=["none", "empty", "some"])
def test_parts_come_back(mode: int, colours: bytes, alpha: RegionPart | None) -> None:
    payload = flow_payload.join(mode, colours, alpha)
    assert flow_payload.split(mode, payload, has_alpha=alpha is not None) == (colours, alpha)


@pytest.mark.parametrize("mode", MODES)
def test_the_head_tells_where_the_parts_are(mode: int) -> None:
    payload = flow_payload.join(mode, COLOURS, ALPHA)
    head = payload[: flow_payload.HEAD_BYTES]
    places = flow_payload.find(mode, head, len(payload), has_alpha=True)
    assert places == flow_payload.find(mode, payload, len(payload), has_alpha=True)
    assert payload[places.alpha] == ALPHA.payload
    assert flow_payload.turned(mode, payload[places.colours]) == COLOURS


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("payload", [b"", b"\1", b"\1\x80", b"\1\5abcd"])
def test_too_short_for_its_alpha(mode: int, payload: bytes) -> None:
    with pytest.raises(DamagedFileError):
        flow_payload.split(mode, payload, has_alpha=True)
