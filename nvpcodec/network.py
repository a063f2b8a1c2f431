"""The network inside one coupling, written once for both arithmetics.

`layers` maps names to callables. In training they are float modules, in coding exact integer convolutions;
the way from one to the next is this module and nothing else, so that the two cannot drift apart.

Residual s,t-network as in Dinh et al. 2017, section 3.6 and figure 5, with a small head for each
group of outputs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

Layer = Callable[..., Tensor]
#: From a trunk and an update, which it may overwrite, to their sum, clamped to the activation range.
Add = Callable[[Tensor, Tensor], Tensor]


def layers_below(layers: Mapping[str, Layer], prefix: str) -> dict[str, Layer]:
    """The layers whose names begin with the prefix, called by what follows it."""
    return {name.removeprefix(prefix): layer for name, layer in layers.items() if name.startswith(prefix)}


@dataclass(frozen=True)
class CouplingNetwork:
    """Features of what a coupling keeps, and heads that read shift and log-scale from them."""

    layers: Mapping[str, Layer]
    add: Add
    blocks: int

    @property
    def reach(self) -> int:
        """Places that features look beyond their own, in each direction: one for each block."""
        return self.blocks

    def features(self, context: Tensor, handed: Tensor | None) -> Tensor:
        """Trunk (B, width, h, w) from the context and the features handed down, if any."""
        trunk = self.layers["stem"](context, handed)
        for i in range(self.blocks):
            hidden = self.layers[f"block{i}_spatial"](trunk)
            trunk = self.add(trunk, self.layers[f"block{i}_mix"](hidden))
        return trunk

    def head(self, group: int, features: Tensor, *residuals: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs (B, outputs, h, w) of one group, given the residuals of the groups before it, and the
        features (B, head width, h, w) that they are read from.
        """
        hidden = self.layers[f"head{group}_hidden"](features, *residuals)
        return self.layers[f"head{group}_out"](hidden), hidden
