"""One region through the RealNVP, on one stack. Payload: the stack and nothing else."""

import time

import torch

from nvpcodec.coupling_flow import CouplingFlow
from nvpcodec.exact import find_lowering
from nvpcodec.model import Model
from nvpcodec.report import Accounts
from nvpcodec.stack import Ints, Stack, from_bytes, to_bytes


class CouplingCoder:
    """Codes planes Y, Co, Cg or a single grey one."""

    def __init__(self, model: Model, device: torch.device) -> None:
        self._flow = CouplingFlow(model, device, find_lowering(model, device))

    def encode(self, planes: Ints) -> tuple[bytes, Accounts]:
        """int32 planes (P, H, W), P = 1 or 3, as a payload.

        Raises
        ------
        UnsupportedImageError
            The model takes a value so far that the format cannot hold it.
        """
        started, before = time.perf_counter(), self._flow.network_seconds
        stack = Stack()
        self._flow.push_region(stack, planes)
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
        stack = from_bytes(payload)
        region = self._flow.pop_region(stack, planes, height, width)
        stack.require_empty()
        return region
