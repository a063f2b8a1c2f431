"""Nats to bits."""

import math
from typing import TypeVar

from torch import Tensor

Nats = TypeVar("Nats", float, Tensor)


def bits_per_dim(nats: Nats, dims: int) -> Nats:
    """-log p in nats, of `dims` values together, as bits for each of them."""
    return nats / (math.log(2) * dims)
