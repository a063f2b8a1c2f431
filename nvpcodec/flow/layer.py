"""The contract of all layers, and layers in a row."""

from abc import ABC, abstractmethod
from collections.abc import Iterable

import torch
from torch import Tensor, nn

#: Shape of one item of a batch.
Shape = tuple[int, ...]


class Bijection(nn.Module, ABC):
    """An invertible map of items in a batch, and the logarithm of how it changes volume.

    `forward` goes from the data x (B, ...) to latents z (B, ...) and returns z and log |det dz/dx| (B,);
    `inverse` goes back and returns x and log |det dx/dz| (B,), in nats.
    """

    @abstractmethod
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]: ...

    @abstractmethod
    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]: ...

    def output_shape(self, shape: Shape) -> Shape:
        """Shape of an item of z, given that of x."""
        return shape


class Chain(Bijection):
    """Layers one after another: the log-determinants add up (Dinh et al. 2017, equations 10 and 11)."""

    def __init__(self, layers: Iterable[Bijection]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        total = x.new_zeros(len(x), dtype=floating(x))
        for layer in self.layers:
            x, log_det = layer(x)
            total = total + log_det
        return x, total

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        total = z.new_zeros(len(z))
        for layer in reversed(list(self.layers)):
            assert isinstance(layer, Bijection)
            z, log_det = layer.inverse(z)
            total = total + log_det
        return z, total

    def output_shape(self, shape: Shape) -> Shape:
        for layer in self.layers:
            assert isinstance(layer, Bijection)
            shape = layer.output_shape(shape)
        return shape


def per_item(elementwise: Tensor) -> Tensor:
    """The sum (B,) over all but the first axis."""
    return elementwise.flatten(1).sum(1)


def column(values: Tensor, x: Tensor) -> Tensor:
    """Values (C,) so that they go with the channels of x (B, C, ...)."""
    return values.view(1, -1, *[1] * (x.dim() - 2))


def places(x: Tensor) -> int:
    """Positions of a grid x (B, C, H, W); 1 for vectors (B, C)."""
    return x[0, 0].numel()


def floating(x: Tensor) -> torch.dtype:
    """The dtype that results of x are in: its own, or the default one where x counts."""
    return x.dtype if x.is_floating_point() else torch.get_default_dtype()
