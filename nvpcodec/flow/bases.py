"""Base distributions of the latents, and the densities and masses that they are made of."""

import math
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from nvpcodec.flow.layer import Shape, per_item


def normal_log_density(z: Tensor) -> Tensor:
    """Of the standard normal distribution, elementwise, in nats."""
    return -0.5 * z.square() - 0.5 * math.log(2 * math.pi)


def logistic_log_density(z: Tensor) -> Tensor:
    """Of the standard logistic distribution, elementwise, in nats (Dinh et al. 2014, section 3.4)."""
    return F.logsigmoid(z) + F.logsigmoid(-z)


def logistic_log_mass(x: Tensor, mean: Tensor, rate: Tensor, low: int, high: int) -> Tensor:
    """Natural log of the mass of [x - 1/2, x + 1/2] under a logistic of scale 1 / rate, elementwise.

    The cells of the extremes, low and high, are open-ended (Salimans et al. 2017, "PixelCNN++", section 2.1).
    With a and b the standardised edges, sigma(b) - sigma(a) = sigma(b) sigma(-a) (1 - exp(a - b)), which does
    not cancel.
    """
    above = (x + 0.5 - mean) * rate
    below = (x - 0.5 - mean) * rate
    inner = F.logsigmoid(-below) + F.logsigmoid(above) + torch.log(-torch.expm1(-rate))
    return torch.where(x <= low, F.logsigmoid(above), torch.where(x >= high, F.logsigmoid(-below), inner))


class Base(Protocol):
    """A distribution of independent elements."""

    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density (B,) of z (B, ...) in nats."""
        ...

    def sample(self, shape: Shape, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """A sample of that shape, with the dtype and on the device of `like`."""
        ...


class StandardNormal:
    """Mean 0, variance 1, independent."""

    def log_prob(self, z: Tensor) -> Tensor:
        return per_item(normal_log_density(z))

    def sample(self, shape: Shape, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return torch.randn(shape, dtype=like.dtype, device=like.device, generator=generator)


class StandardLogistic:
    """Mean 0, scale 1, independent."""

    def log_prob(self, z: Tensor) -> Tensor:
        return per_item(logistic_log_density(z))

    def sample(self, shape: Shape, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
        # In double: float32 knows no number between 1 - 2^-24 and 1, which cuts the upper tail.
        uniform = torch.rand(shape, dtype=torch.float64, device=like.device, generator=generator)
        return torch.logit(uniform, eps=1e-15).to(like.dtype)
