"""Masks: which values a coupling changes. All are bool tensors, True where changed.

They have the shape of an item, or one that broadcasts to it.
"""

import torch
from torch import Tensor

from nvpcodec.errors import InputError
from nvpcodec.flow.layer import Shape


def checkerboard(height: int, width: int, changed: int = 1) -> Tensor:
    """(1, height, width): changed are the positions whose row plus column is odd (1) or even (0).

    Dinh et al. 2017, section 3.4 and figure 3.
    """
    rows, columns = torch.arange(height)[:, None], torch.arange(width)
    return ((rows + columns) % 2 == changed % 2)[None]


def channelwise(channels: int, changed: int = 1) -> Tensor:
    """(channels, 1, 1): changed is the second half of the channels (1) or the first (0).

    Dinh et al. 2017, section 3.4 and figure 3.
    """
    return ((torch.arange(channels) >= (channels + 1) // 2) == bool(changed))[:, None, None]


def alternating(dims: int, changed: int = 1) -> Tensor:
    """(dims,): changed are the odd (1) or even (0) elements of a vector (Dinh et al. 2014, section 5.1)."""
    return torch.arange(dims) % 2 == changed % 2


def random_mask(shape: Shape, generator: torch.Generator | None = None) -> Tensor:
    """A mask of that shape with one half of its elements changed, drawn at random.

    Raises
    ------
    InputError
        There are fewer than two elements.
    """
    size = torch.Size(shape).numel()
    if size < 2:
        raise InputError(f"a mask of shape {tuple(shape)} cannot be halved; it needs two elements or more")
    mask = torch.zeros(size, dtype=torch.bool)
    mask[torch.randperm(size, generator=generator)[: size // 2]] = True
    return mask.view(shape)
