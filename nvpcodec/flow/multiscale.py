"""A whole flow: layers, channels that leave between them, and the base distribution of what has left.

Dinh et al. 2017, section 3.6 and figure 4.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nvpcodec.errors import InputError
from nvpcodec.flow.bases import Base, StandardNormal
from nvpcodec.flow.bits import bits_per_dim
from nvpcodec.flow.layer import Bijection, Shape
from nvpcodec.flow.partitions import Channels, halves


class FactorOut(nn.Module):
    """Channels that leave the flow here, as latents: by default the second half."""

    def __init__(self, channels: int, partition: Channels | None = None) -> None:
        super().__init__()
        self.partition = partition or halves(channels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What goes on and what leaves."""
        return self.partition.split(x)

    def inverse(self, kept: Tensor, left: Tensor) -> Tensor:
        return self.partition.join(kept, left)

    def output_shapes(self, shape: Shape) -> tuple[Shape, Shape]:
        """Shapes of what goes on and of what leaves."""
        kept, changed = len(self.partition.kept), len(self.partition.changed)
        if shape[0] != kept + changed:
            raise InputError(f"{shape[0]} channels cannot be parted into {kept} and {changed}")
        return (kept, *shape[1:]), (changed, *shape[1:])


class Flow(nn.Module):
    """A density of items of one shape, such as images (C, H, W), that can be evaluated and sampled from.

    `forward` goes from x (B, *shape) to latents, a list of tensors in the order in which they leave, and log
    |det| (B,). Where layers use statistics of a batch, call `eval()` before `inverse` and `sample`.

    Raises
    ------
    InputError
        The layers do not fit the shape.
    """

    def __init__(
        self, shape: Shape, layers: Sequence[Bijection | FactorOut], base: Base | None = None
    ) -> None:
        super().__init__()
        self.shape = tuple(shape)
        self.layers = nn.ModuleList(layers)
        self.base = base or StandardNormal()
        self.latent_shapes = self._latent_shapes()

    def forward(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        if x.shape[1:] != self.shape:
            raise InputError(
                f"this flow is for items of shape {self.shape}, not for a batch of shape {tuple(x.shape)}"
            )
        if not x.is_floating_point():
            x = x.to(self._like().dtype)
        total = x.new_zeros(len(x))
        latents = []
        for layer in self.layers:
            if isinstance(layer, FactorOut):
                x, left = layer(x)
                latents.append(left)
            else:
                x, log_det = layer(x)
                total = total + log_det
        return [*latents, x], total

    def inverse(self, latents: Sequence[Tensor]) -> Tensor:
        """x (B, *shape) from the latents that `forward` gives."""
        if [z.shape[1:] for z in latents] != self.latent_shapes:
            raise InputError(f"this flow has latents of the shapes {self.latent_shapes}, not those given")
        *waiting, x = latents
        for layer in reversed(list(self.layers)):
            if isinstance(layer, FactorOut):
                x = layer.inverse(x, waiting.pop())
            else:
                assert isinstance(layer, Bijection)
                x = layer.inverse(x)[0]
        return x

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density (B,) in nats; where layers dequantize, an estimate of a lower bound of log P(x)."""
        latents, log_det = self(x)
        total: Tensor = log_det + torch.stack([self.base.log_prob(z) for z in latents]).sum(0)
        return total

    def bits_per_dim(self, x: Tensor) -> Tensor:
        """-log2 density for each element of an item: (B,)."""
        return bits_per_dim(-self.log_prob(x), torch.Size(self.shape).numel())

    @torch.no_grad()
    def sample(
        self, count: int, temperature: float = 1.0, generator: torch.Generator | None = None
    ) -> Tensor:
        """(count, *shape): latents of the base, times the temperature, taken back.

        Below 1 the temperature trades variety for likelihood (Kingma and Dhariwal 2018, section 6).
        """
        like = self._like()
        latents = [
            temperature * self.base.sample((count, *shape), like, generator) for shape in self.latent_shapes
        ]
        return self.inverse(latents)

    def _like(self) -> Tensor:
        """A tensor of the dtype and on the device of the parameters."""
        return next(self.parameters(), torch.zeros(()))

    def _latent_shapes(self) -> list[Shape]:
        shape, shapes = self.shape, []
        for layer in self.layers:
            if isinstance(layer, FactorOut):
                shape, left = layer.output_shapes(shape)
                shapes.append(left)
            else:
                assert isinstance(layer, Bijection)
                shape = layer.output_shape(shape)
        return [*shapes, shape]
