"""From [0, levels) to where flows like to work."""

import math

import torch
from torch import Tensor

from nvpcodec.errors import InputError
from nvpcodec.flow.layer import Bijection, per_item


class Logit(Bijection):
    """z = logit(alpha + (1 - 2 alpha) x / levels), so that no latent can leave the range of pixels.

    Dinh et al. 2017, section 4.1. Printed there is (1 - alpha); the authors' code keeps alpha away from both
    ends, and so does this.
    """

    def __init__(self, levels: int = 256, alpha: float = 0.05) -> None:
        super().__init__()
        if not 0 < alpha < 0.5:
            raise InputError(f"alpha is {alpha}; it must lie between 0 and 0.5")
        self.levels = levels
        self.alpha = alpha

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        share = self.alpha + (1 - 2 * self.alpha) * x / self.levels
        log_share, log_rest = torch.log(share), torch.log1p(-share)
        slope = math.log((1 - 2 * self.alpha) / self.levels)
        return log_share - log_rest, per_item(slope - log_share - log_rest)

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        share = torch.sigmoid(z)
        x = (share - self.alpha) * self.levels / (1 - 2 * self.alpha)
        slope = math.log(self.levels / (1 - 2 * self.alpha))
        log_det = per_item(slope + torch.nn.functional.logsigmoid(z) + torch.nn.functional.logsigmoid(-z))
        return x, log_det


class Rescale(Bijection):
    """z = x / levels - 1/2 (Glow)."""

    def __init__(self, levels: int = 256) -> None:
        super().__init__()
        self.levels = levels

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x / self.levels - 0.5, self._log_det(x, -1)

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return (z + 0.5) * self.levels, self._log_det(z, 1)

    def _log_det(self, x: Tensor, sign: int) -> Tensor:
        return x.new_full((len(x),), sign * x[0].numel() * math.log(self.levels))
