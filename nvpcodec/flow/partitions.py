"""Ways to part what a coupling keeps from what it changes.

Channels are picked out by index; a mask leaves all values where they are, and shows a network zeros in place
of what changes (Dinh et al. 2017, equation 9). Both ways answer the same three questions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from nvpcodec.errors import InputError
from nvpcodec.flow.layer import Shape


class Partition(Protocol):
    """Parts x (B, ...). What `split` gives as changed may be moved, and is put back by `join`."""

    def split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What a network may see, and what it may move."""
        ...

    def join(self, kept: Tensor, changed: Tensor) -> Tensor:
        """x again."""
        ...

    def counted(self, elementwise: Tensor) -> Tensor:
        """Logarithms of derivatives of what `split` gave as changed, zero where nothing changes."""
        ...


@dataclass(frozen=True)
class Channels:
    """Channels by number: those kept and those changed, both ascending."""

    kept: Sequence[int]
    changed: Sequence[int]

    def split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        channels = len(self.kept) + len(self.changed)
        if x.dim() < 2 or x.shape[1] != channels:
            raise InputError(f"a tensor of shape {tuple(x.shape)} does not have {channels} channels")
        return x[:, list(self.kept)], x[:, list(self.changed)]

    def join(self, kept: Tensor, changed: Tensor) -> Tensor:
        together = [*self.kept, *self.changed]
        order = sorted(range(len(together)), key=together.__getitem__)
        return torch.cat([kept, changed], 1)[:, order]

    def counted(self, elementwise: Tensor) -> Tensor:
        return elementwise


def halves(channels: int, changed: int = 1) -> Channels:
    """Changed is the second half of the channels (1) or the first (0)."""
    middle = (channels + 1) // 2
    first, second = tuple(range(middle)), tuple(range(middle, channels))
    return Channels(first, second) if changed else Channels(second, first)


class Masked(nn.Module):
    """A fixed mask, see `masks`."""

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask)

    def weights(self) -> Tensor:
        """1 where changed, 0 where kept."""
        return self.mask

    def split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        shape, mask = x.shape[1:], self.mask.shape
        if len(mask) != len(shape) or any(m not in (1, n) for m, n in zip(mask, shape, strict=True)):
            raise InputError(f"a mask of shape {tuple(mask)} does not fit a tensor of shape {tuple(x.shape)}")
        return x * (1 - self.weights().to(x.dtype)), x

    def join(self, kept: Tensor, changed: Tensor) -> Tensor:
        return kept + changed * self.weights().to(changed.dtype)

    def counted(self, elementwise: Tensor) -> Tensor:
        return elementwise * self.weights().to(elementwise.dtype)


class Learned(Masked):
    """A mask that is trained with the flow: changed is the half of the elements with the highest scores.

    In numbers the mask is 0 or 1 always, so the flow stays exact; its gradient is that of a sigmoid of the
    scores (the straight-through estimator of Bengio et al. 2013, "Estimating or propagating gradients through
    stochastic neurons for conditional computation").
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__(torch.zeros(shape, dtype=torch.bool))
        self.scores = nn.Parameter(0.1 * torch.randn(shape))

    def weights(self) -> Tensor:
        flat = self.scores.flatten()
        hard = torch.zeros_like(flat)
        hard[flat.detach().argsort()[(len(flat) + 1) // 2 :]] = 1
        soft = torch.sigmoid(flat - flat.detach().median())
        return (hard + (soft - soft.detach())).view(self.scores.shape)


class Opposite(nn.Module):
    """Keeps what another mask changes, and the other way round. A learned mask is shared, not copied."""

    def __init__(self, other: Masked) -> None:
        super().__init__()
        self.other = other

    def split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        kept, _ = self.other.split(x)
        return x - kept, x

    def join(self, kept: Tensor, changed: Tensor) -> Tensor:
        return kept + (changed - self.other.counted(changed))

    def counted(self, elementwise: Tensor) -> Tensor:
        return elementwise - self.other.counted(elementwise)
