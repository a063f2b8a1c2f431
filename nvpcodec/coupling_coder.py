"""Regions through the RealNVP, on one stack. Payload: the stack and nothing else."""

import time
from collections.abc import Sequence
from itertools import accumulate

import torch

from nvpcodec.coupling_flow import CouplingFlow
from nvpcodec.coupling_layout import coded_pixels
from nvpcodec.exact import find_lowering
from nvpcodec.model import Model
from nvpcodec.report import Accounts
from nvpcodec.stack import Ints, Stack, from_bytes, to_bytes


class CouplingCoder:
    """Codes planes Y, Co, Cg or a single grey one."""

    coarse_first = False

    def __init__(self, model: Model, device: torch.device) -> None:
        self._flow = CouplingFlow(model, device, find_lowering(model, device))

    def encode(self, planes: Ints) -> tuple[bytes, Accounts]:
        """int32 planes (P, H, W), P = 1 or 3, as a payload.

        Raises
        ------
        UnsupportedImageError
            The model takes a value so far that the format cannot hold it.
        """
        return self.encode_chain([planes])

    def encode_chain(self, images: Sequence[Ints]) -> tuple[bytes, Accounts]:
        """Several images' int32 planes (P, H, W), of one P, as one payload: they share the stack.

        The last image is pushed first, so that a decoder meets the images in their order.

        Raises
        ------
        UnsupportedImageError
            The model takes a value so far that the format cannot hold it.
        """
        started, before = time.perf_counter(), self._flow.network_seconds
        stack = Stack()
        behind = _pixels_behind([planes.shape[1:] for planes in images])
        for planes, pixels in reversed(list(zip(images, behind, strict=True))):
            self._flow.push_region(stack, planes, pixels)
        payload = to_bytes(stack)
        network = self._flow.network_seconds - before
        seconds = {"network": network, "stack": time.perf_counter() - started - network}
        ledger = stack.ledger
        return payload, Accounts(ledger.content_bits, ledger.initial_bits, 8 * len(payload), 0, seconds)

    def decode(self, payload: bytes, planes: int, height: int, width: int) -> Ints:
        """int32 planes (P, H, W).

        Raises
        ------
        DamagedFileError
            The payload is not one that `encode` writes.
        """
        return self.decode_chain(payload, planes, [(height, width)])[0]

    def decode_chain(self, payload: bytes, planes: int, sizes: Sequence[tuple[int, int]]) -> list[Ints]:
        """Mirror image of `encode_chain`; `sizes` are height and width of each image.

        Raises
        ------
        DamagedFileError
            The payload is not one that `encode_chain` writes.
        """
        stack = from_bytes(payload)
        images = [
            self._flow.pop_region(stack, planes, *size, pixels)
            for size, pixels in zip(sizes, _pixels_behind(sizes), strict=True)
        ]
        stack.require_empty()
        return images


def _pixels_behind(sizes: Sequence[tuple[int, ...]]) -> list[int]:
    """For each image of these heights and widths, how many pixels of those behind it are coded."""
    pixels = [coded_pixels(*size) for size in reversed(sizes[1:])]
    return list(accumulate(pixels, initial=0))[::-1]
