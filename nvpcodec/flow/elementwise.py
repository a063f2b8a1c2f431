"""What a coupling does to each value that it changes, once its network has spoken.

Each map has its parameters with it, tensors of the shape of the values, and returns values and the
logarithm of the derivative at each of them. A `Head` makes a map of a network's outputs.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Halvings of the bracket in the inverse of a mixture: what float64 can tell apart.
BISECTIONS = 64
#: The narrowest component of a mixture, in nats.
LEAST_LOG_SCALE = -7.0


class ElementMap(Protocol):
    """`forward` and `inverse` each return values and log-derivatives, both of the shape of their argument."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]: ...

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]: ...


@dataclass(frozen=True)
class Additive:
    """z = x + shift (NICE; Dinh et al. 2014, section 3.2)."""

    shift: Tensor

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x + self.shift, torch.zeros_like(x)

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return z - self.shift, torch.zeros_like(z)


@dataclass(frozen=True)
class Affine:
    """z = (x + shift) exp(log_scale).

    It moves first and scales then, as Glow's code does. The t of Dinh et al. 2017, equations 7 and 8, is the
    shift times exp(log_scale).
    """

    shift: Tensor
    log_scale: Tensor

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return (x + self.shift) * self.log_scale.exp(), self.log_scale

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return z * (-self.log_scale).exp() - self.shift, -self.log_scale


@dataclass(frozen=True)
class LogisticMixture:
    """z = outer(logit F(x)), F the cumulative function of a mixture of K logistics.

    Flow++ (Ho et al. 2019, section 3.2.1). The parameters of the mixture are (B, K, ...).
    """

    log_weights: Tensor
    means: Tensor
    log_scales: Tensor
    outer: Affine

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        logit, log_derivative = self._logit(x)
        z, outer = self.outer.forward(logit)
        return z, log_derivative + outer

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """By bisection. The quantile of a mixture lies between the quantiles of its components."""
        logit, outer = self.outer.inverse(z)
        with torch.no_grad():
            quantiles = self.means + logit[:, None] * self.log_scales.exp()
            low, high = quantiles.amin(1), quantiles.amax(1)
            for _ in range(BISECTIONS):
                middle = (low + high) / 2
                above = self._logit(middle)[0] > logit
                low, high = torch.where(above, low, middle), torch.where(above, middle, high)
            x = (low + high) / 2
        return x, outer - self._logit(x)[1]

    def _logit(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """log F - log (1 - F), and the logarithm of its derivative, f / (F (1 - F))."""
        standard = (x[:, None] - self.means) * (-self.log_scales).exp()
        log_below, log_above = F.logsigmoid(standard), F.logsigmoid(-standard)
        log_f = torch.logsumexp(self.log_weights - self.log_scales + log_below + log_above, 1)
        log_cumulative = torch.logsumexp(self.log_weights + log_below, 1)
        log_rest = torch.logsumexp(self.log_weights + log_above, 1)
        return log_cumulative - log_rest, log_f - log_cumulative - log_rest


class Head(nn.Module):
    """Makes an element map of a network's outputs (B, outputs * C, ...), for values (B, C, ...)."""

    #: Outputs that it takes for each value.
    outputs = 1

    def maps(self, outputs: Tensor) -> ElementMap:
        raise NotImplementedError

    def _parts(self, outputs: Tensor) -> tuple[Tensor, ...]:
        return outputs.chunk(self.outputs, 1)


class AdditiveHead(Head):
    def maps(self, outputs: Tensor) -> Additive:
        return Additive(outputs)


class AffineHead(Head):
    """Shift, then log-scale, which a tanh keeps below a bound that is learned."""

    outputs = 2

    def __init__(self, bound: float = 1.0) -> None:
        super().__init__()
        self.bound = nn.Parameter(torch.tensor(bound))

    def maps(self, outputs: Tensor) -> Affine:
        shift, raw = self._parts(outputs)
        return Affine(shift, self.bound * torch.tanh(raw))


class MixtureHead(Head):
    """Shift and log-scale as in `AffineHead`, then weights, means and log-scales of K logistics.

    Where a network gives zeros, the components spread from -1 to 1: close to the identity, and yet no two of
    them are the same, so that they can part in training.
    """

    offsets: Tensor

    def __init__(self, components: int = 32, bound: float = 1.0) -> None:
        super().__init__()
        self.outputs = 2 + 3 * components
        self.affine = AffineHead(bound)
        self.register_buffer(
            "offsets", torch.linspace(-1, 1, components) if components > 1 else torch.zeros(1)
        )

    def maps(self, outputs: Tensor) -> LogisticMixture:
        parts = torch.stack(self._parts(outputs), 1)
        weights, means, log_scales = parts[:, 2:].chunk(3, 1)
        start = self.offsets.view(1, -1, *[1] * (means.dim() - 2))
        return LogisticMixture(
            torch.log_softmax(weights, 1),
            means + start,
            log_scales.clamp(min=LEAST_LOG_SCALE),
            self.affine.maps(parts[:, :2].flatten(1, 2)),
        )
