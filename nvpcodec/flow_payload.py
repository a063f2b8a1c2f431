"""Where the parts of a flow region's payload lie; docs/format.md, "Flow payload".

    mode 16    [alpha: mode, length, bytes], colours
    mode 17    [alpha: mode, length], colours, their stack's bytes reversed, [alpha: bytes]

In mode 17 the top of the stack, which is decoded first, comes first. So the beginning of a payload holds the
coarse scales.
"""

from __future__ import annotations

from dataclasses import dataclass

from nvpcodec.container import (
    MODE_FLOW_TOP_FIRST,
    RegionPart,
    varint_from_bytes,
    varint_to_bytes,
)
from nvpcodec.errors import DamagedFileError

#: So many bytes of a payload tell where its parts are, and hold the first of the colours in mode 17.
HEAD_BYTES = 7


@dataclass(frozen=True, slots=True)
class Places:
    """Where colours and alpha lie in a payload; ``alpha_mode`` is None where there is no alpha."""

    colours: slice
    alpha: slice
    alpha_mode: int | None


def find(mode: int, head: bytes, payload_bytes: int, *, has_alpha: bool) -> Places:
    """The places in a payload of ``payload_bytes``, of which ``head`` is the beginning or the whole.

    Raises
    ------
    DamagedFileError
        The payload is too short for its alpha.
    """
    if not has_alpha:
        return Places(slice(0, payload_bytes), slice(0, 0), None)
    if not head:
        raise DamagedFileError("a region with alpha is empty; get a good copy of the file")
    length, start = varint_from_bytes(head, 1)
    if start + length > payload_bytes:
        raise DamagedFileError("the alpha of a region goes beyond its end; get a good copy of the file")
    if mode == MODE_FLOW_TOP_FIRST:
        end = payload_bytes - length
        return Places(slice(start, end), slice(end, payload_bytes), head[0])
    end = start + length
    return Places(slice(end, payload_bytes), slice(start, end), head[0])


def join(mode: int, colours: bytes, alpha: RegionPart | None) -> bytes:
    """The payload of these parts; ``colours`` are a growth, if the model's kind has one, and a stack."""
    if alpha is None:
        return turned(mode, colours)
    head = bytes((alpha.mode,)) + varint_to_bytes(len(alpha.payload))
    if mode == MODE_FLOW_TOP_FIRST:
        return head + turned(mode, colours) + alpha.payload
    return head + alpha.payload + colours


def split(mode: int, payload: bytes, *, has_alpha: bool) -> tuple[bytes, RegionPart | None]:
    """Colours and alpha of a payload: mirror image of ``join``.

    Raises
    ------
    DamagedFileError
        As for ``find``.
    """
    places = find(mode, payload, len(payload), has_alpha=has_alpha)
    alpha = None
    if places.alpha_mode is not None:
        alpha = RegionPart(places.alpha_mode, payload[places.alpha])
    return turned(mode, payload[places.colours]), alpha


def turned(mode: int, colours: bytes) -> bytes:
    """Colours as a coder has them, to or from colours as a payload of ``mode`` has them."""
    return colours[:1] + colours[:0:-1] if mode == MODE_FLOW_TOP_FIRST else colours
