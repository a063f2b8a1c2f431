"""From integers to reals: noise on [0, 1) fills each cell.

Neither layer is one to one: `forward` draws noise, `inverse` drops it. In place of the log-determinant
`forward` returns -log q(noise | x); with it a flow's log-density is, on average, a lower bound of the log
probability of the integers (Theis et al. 2016, "A note on the evaluation of generative models", section 3.1).
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nvpcodec.flow.bases import normal_log_density
from nvpcodec.flow.couplings import Coupling
from nvpcodec.flow.layer import Bijection, floating, per_item


class UniformDequantization(Bijection):
    """x + u, u uniform on [0, 1): q is 1, so nothing is added to the log-density."""

    def __init__(self, levels: int = 256) -> None:
        super().__init__()
        self.levels = levels

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.to(floating(x))
        return _inside(x, torch.rand_like(x)), x.new_zeros(len(x))

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return _integers(z, self.levels), z.new_zeros(len(z))


class VariationalDequantization(Bijection):
    """x + u, u from a conditional flow that learns which noise suits x (Flow++; Ho et al. 2019, section 3.1).

    Normal noise goes through `couplings`, which see `context(x)` of x in [-1, 1], and then through a
    sigmoid.
    """

    def __init__(self, context: nn.Module, couplings: Iterable[Coupling], levels: int = 256) -> None:
        super().__init__()
        self.context = context
        self.couplings = nn.ModuleList(couplings)
        self.levels = levels

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.to(floating(x))
        context = self.context(2 * x / (self.levels - 1) - 1)
        noise = torch.randn_like(x)
        log_q = per_item(normal_log_density(noise))
        for coupling in self.couplings:
            noise, log_det = coupling(noise, context)
            log_q = log_q - log_det
        log_q = log_q - per_item(F.logsigmoid(noise) + F.logsigmoid(-noise))
        return _inside(x, torch.sigmoid(noise)), -log_q

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return _integers(z, self.levels), z.new_zeros(len(z))


def _inside(x: Tensor, noise: Tensor) -> Tensor:
    """x + noise, but never x + 1, which rounding may give."""
    return torch.minimum(x + noise, torch.nextafter(x + 1, x))


def _integers(z: Tensor, levels: int) -> Tensor:
    return z.floor().clamp(0, levels - 1)
