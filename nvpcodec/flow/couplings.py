"""Couplings: what is kept says how the rest changes (Dinh et al. 2017, section 3.2).

The Jacobian is triangular, so the log-determinant is a sum of log-derivatives, and the inverse asks the very
same network, because it sees the same kept values.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from nvpcodec.flow.elementwise import ElementMap, Head
from nvpcodec.flow.layer import Bijection, per_item
from nvpcodec.flow.partitions import Partition

#: From kept values to the map of the changed ones.
Conditioner = Callable[[Tensor], ElementMap]


def couple(x: Tensor, partition: Partition, conditioner: Conditioner) -> tuple[Tensor, Tensor]:
    """z (B, ...) and log |det dz/dx| (B,)."""
    kept, changed = partition.split(x)
    moved, log_derivative = conditioner(kept).forward(changed)
    return partition.join(kept, moved), per_item(partition.counted(log_derivative))


def uncouple(z: Tensor, partition: Partition, conditioner: Conditioner) -> tuple[Tensor, Tensor]:
    """Inverse of `couple`: x (B, ...) and log |det dx/dz| (B,)."""
    kept, moved = partition.split(z)
    changed, log_derivative = conditioner(kept).inverse(moved)
    return partition.join(kept, changed), per_item(partition.counted(log_derivative))


class Coupling(Bijection):
    """A partition, a network and a head, which makes the coupling additive, affine or a mixture's.

    The network takes kept values (B, C, ...) to `head.outputs` numbers for each changed one,
    (B, outputs * C', ...).
    A context (B, c, ...), if one is given, follows the kept values as further channels.
    """

    def __init__(self, partition: Partition, network: nn.Module, head: Head) -> None:
        super().__init__()
        self.partition = partition
        self.network = network
        self.head = head

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return couple(x, self.partition, lambda kept: self._maps(kept, context))

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return uncouple(z, self.partition, lambda kept: self._maps(kept, context))

    def _maps(self, kept: Tensor, context: Tensor | None) -> ElementMap:
        seen = kept if context is None else torch.cat([kept, context], 1)
        return self.head.maps(self.network(seen))
