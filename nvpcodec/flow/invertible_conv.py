"""Glow's invertible 1x1 convolution: a learned mix of the channels at each position."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nvpcodec.flow.layer import Bijection, places


class InvertibleConv(Bijection):
    """z = W x at each position, W = P L (U + diag(s)) (Kingma and Dhariwal 2018, section 3.2, equation 10).

    P stays as it is, L and U are triangular, and log |det W| is the sum of log |s| (equation 11). It starts
    as a random rotation.
    """

    permutation: Tensor
    sign: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        rotation = torch.linalg.qr(torch.randn(channels, channels, dtype=torch.float64))[0]
        permutation, lower, upper = torch.linalg.lu(rotation)
        diagonal = upper.diagonal()
        dtype = torch.get_default_dtype()
        self.register_buffer("permutation", permutation.to(dtype))
        self.register_buffer("sign", diagonal.sign().to(dtype))
        self.log_size = nn.Parameter(diagonal.abs().log().to(dtype))
        self.lower = nn.Parameter(lower.tril(-1).to(dtype))
        self.upper = nn.Parameter(upper.triu(1).to(dtype))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return _mix(self.weight(), x), (self.log_size.sum() * places(x)).expand(len(x))

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return _mix(torch.linalg.inv(self.weight()), z), (-self.log_size.sum() * places(z)).expand(len(z))

    def weight(self) -> Tensor:
        """W (C, C)."""
        lower = self.lower.tril(-1) + torch.eye(
            len(self.lower), dtype=self.lower.dtype, device=self.lower.device
        )
        upper = self.upper.triu(1) + torch.diag(self.sign * self.log_size.exp())
        return self.permutation @ lower @ upper


def _mix(weight: Tensor, x: Tensor) -> Tensor:
    return F.conv2d(x, weight[:, :, None, None]) if x.dim() == 4 else x @ weight.T
