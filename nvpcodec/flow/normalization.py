"""Layers that bring channels to a common scale."""

import torch
from torch import Tensor, nn

from nvpcodec.flow.elementwise import Affine
from nvpcodec.flow.layer import Bijection, Shape, column, places


class BatchNorm(Bijection):
    """Batch normalization of a coupling's output (Dinh et al. 2017, section 3.7 and appendix E).

    In training, mean and variance are running averages into which the present batch has gone; gradients flow
    through the part of the present batch. The log-determinant is minus half the sum of log(variance +
    epsilon). In evaluation, and in `inverse` always, the running averages stay as they are: so the inverse is
    exact in evaluation.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, channels: int, momentum: float = 0.9, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.momentum = momentum
        self.epsilon = epsilon
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, variance = self._blended(x) if self.training else (self.mean, self.variance)
        if self.training:
            self.mean, self.variance = mean.detach(), variance.detach()
        affine = self._affine(mean, variance, x)
        return affine.forward(x)[0], _log_det(affine.log_scale, x)

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        affine = self._affine(self.mean, self.variance, z)
        return affine.inverse(z)[0], _log_det(-affine.log_scale, z)

    def _blended(self, x: Tensor) -> tuple[Tensor, Tensor]:
        axes = [axis for axis in range(x.dim()) if axis != 1]
        old, new = self.momentum, 1 - self.momentum
        variance = x.var(axes, correction=0)
        return old * self.mean + new * x.mean(axes), old * self.variance + new * variance

    def _affine(self, mean: Tensor, variance: Tensor, x: Tensor) -> Affine:
        return Affine(-column(mean, x), -0.5 * torch.log(column(variance, x) + self.epsilon))


class ActNorm(Bijection):
    """A shift and a scale per channel, learned (Kingma and Dhariwal 2018, section 3.1).

    The first batch in training sets them so that each channel leaves with mean 0 and variance 1.
    """

    initialized: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(channels))
        self.log_scale = nn.Parameter(torch.zeros(channels))
        self.register_buffer("initialized", torch.tensor(False))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.training and not self.initialized:
            self._initialize(x.detach())
        affine = self._affine(x)
        return affine.forward(x)[0], _log_det(affine.log_scale, x)

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        affine = self._affine(z)
        return affine.inverse(z)[0], _log_det(-affine.log_scale, z)

    def _affine(self, x: Tensor) -> Affine:
        return Affine(column(self.shift, x), column(self.log_scale, x))

    @torch.no_grad()
    def _initialize(self, x: Tensor) -> None:
        axes = [axis for axis in range(x.dim()) if axis != 1]
        self.shift.copy_(-x.mean(axes))
        self.log_scale.copy_(-torch.log(x.std(axes, correction=0) + 1e-6))
        self.initialized.fill_(True)


class DiagonalScale(Bijection):
    """z = x exp(s), s learned for each element (Dinh et al. 2014, section 3.3)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(shape))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x * self.log_scale.exp(), self.log_scale.sum().expand(len(x))

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return z * (-self.log_scale).exp(), -self.log_scale.sum().expand(len(z))


def _log_det(log_scale: Tensor, x: Tensor) -> Tensor:
    """(B,) of a log-scale per channel."""
    return (log_scale.sum() * places(x)).expand(len(x))
