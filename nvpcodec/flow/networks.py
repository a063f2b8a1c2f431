"""The networks inside couplings. Their last layers begin as zero: a coupling begins near the identity."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm


class MLP(nn.Module):
    """(B, inputs) to (B, outputs): `hidden` rectified layers of `width` units.

    Dinh et al. 2014, section 5.1.
    """

    def __init__(self, inputs: int, outputs: int, width: int, hidden: int) -> None:
        super().__init__()
        sizes = [inputs, *[width] * hidden]
        self.hidden = nn.ModuleList(nn.Linear(before, after) for before, after in pairwise(sizes))
        self.out = _zeroed(nn.Linear(sizes[-1], outputs))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.hidden:
            x = F.relu(layer(x))
        out: Tensor = self.out(x)
        return out


class ResNet(nn.Module):
    """(B, inputs, H, W) to (B, outputs, H, W): residual blocks with batch and weight normalization.

    Dinh et al. 2017, section 3.7; blocks as in He et al. 2016, "Identity mappings in deep residual networks".
    """

    def __init__(self, inputs: int, outputs: int, width: int, blocks: int) -> None:
        super().__init__()
        self.stem = weight_norm(nn.Conv2d(inputs, width, 3, padding=1))
        self.blocks = nn.ModuleList(ResidualBlock(width) for _ in range(blocks))
        self.norm = nn.BatchNorm2d(width)
        self.out = _zeroed(nn.Conv2d(width, outputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        features = self.stem(x)
        for block in self.blocks:
            features = block(features)
        out: Tensor = self.out(F.relu(self.norm(features)))
        return out


class ResidualBlock(nn.Module):
    """Norm, rectifier and 3x3 convolution, twice, added to what came in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for _ in range(2))
        self.convolutions = nn.ModuleList(
            weight_norm(nn.Conv2d(width, width, 3, padding=1, bias=False)) for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        update = x
        for norm, convolution in zip(self.norms, self.convolutions, strict=True):
            update = convolution(F.relu(norm(update)))
        return x + update


class ThreeConvs(nn.Module):
    """3x3, 1x1 and 3x3 convolutions with rectifiers between (Kingma and Dhariwal 2018, section 5)."""

    def __init__(self, inputs: int, outputs: int, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 1)
        self.out = _zeroed(nn.Conv2d(width, outputs, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out(F.relu(self.second(F.relu(self.first(x)))))
        return out


class ConvAttention(nn.Module):
    """Gated convolutions and self-attention in turn (Flow++; Ho et al. 2019, section 3.2.2).

    There is no embedding of positions, so one network serves any size of grid.
    """

    def __init__(self, inputs: int, outputs: int, width: int, blocks: int, heads: int = 4) -> None:
        super().__init__()
        self.stem = nn.Conv2d(inputs, width, 3, padding=1)
        pairs = [(GatedConv(width), GatedAttention(width, heads)) for _ in range(blocks)]
        self.blocks = nn.ModuleList(layer for pair in pairs for layer in pair)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in self.blocks)
        self.out = _zeroed(nn.Conv2d(width, outputs, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        features = self.stem(x)
        for block, norm in zip(self.blocks, self.norms, strict=True):
            features = norm((features + block(features)).movedim(1, -1)).movedim(-1, 1)
        out: Tensor = self.out(features)
        return out


class GatedConv(nn.Module):
    """A 3x3 convolution and a gated 1x1 one."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.spatial = nn.Conv2d(2 * width, width, 3, padding=1)
        self.gate = nn.Conv2d(2 * width, 2 * width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.glu(self.gate(_both_signs(self.spatial(_both_signs(x)))), 1)


class GatedAttention(nn.Module):
    """Multi-head self-attention over all positions, and a gated 1x1 convolution."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.projection = nn.Conv2d(width, 3 * width, 1)
        self.gate = nn.Conv2d(width, 2 * width, 1)

    def forward(self, x: Tensor) -> Tensor:
        split = self.projection(x).flatten(2).unflatten(1, (3, self.heads, -1))  # B, 3, heads, width, places
        query, key, value = split.transpose(-1, -2).unbind(1)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return F.glu(self.gate(mixed.transpose(-1, -2).reshape(x.shape)), 1)


def _both_signs(x: Tensor) -> Tensor:
    """ELU of x and of -x, as further channels."""
    return F.elu(torch.cat([x, -x], 1))


def _zeroed(layer: nn.Linear | nn.Conv2d) -> nn.Module:
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
