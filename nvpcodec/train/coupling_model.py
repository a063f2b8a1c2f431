"""The float RealNVP: the same masks and the same networks as the coder, continuous shifts and scales.

What the paper does with batch normalization is done here by three things that cost a coder nothing:
activations are clamped, the last layers start at zero, so that the flow starts as the identity, and the base
has a learned mean and scale per channel. Statistics per batch would only be one more constant scale per
channel in the coder, and each such scale is an exchange with the stack.

Numbers are in pixel steps throughout: a latent has the magnitude of a prediction error, so that the coder's
grid suits all of them. A coupling moves first and scales then, z = (x + t) exp(s); the paper's t is ours
times exp(s). The shift has a linear part, which is most of a prediction and which no clamp disturbs.

Couplings, squeeze and factor-out are those of `nvpcodec.flow`. What is special here are the networks: they
are made of layers that have an integer twin.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nvpcodec.coupling_layout import (
    COUPLING_SCALES,
    Mask,
    factored,
    latent_channels,
    masks,
)
from nvpcodec.float_layers import HIGH, LOW, Conv, add, build_layers, find_layer, key
from nvpcodec.flow.bases import normal_log_density
from nvpcodec.flow.couplings import Conditioner, couple, uncouple
from nvpcodec.flow.elementwise import Affine
from nvpcodec.flow.layer import column, per_item
from nvpcodec.flow.partitions import Channels
from nvpcodec.flow.squeeze import squeeze, unsqueeze
from nvpcodec.model import CouplingConfig
from nvpcodec.network import CouplingNetwork, layers_below
from nvpcodec.tables import ACTIVATION_UNIT

#: What is taken from luma to bring mid-grey to zero.
MID_GREY = 128
#: Activations a pixel step: the coarse and the fine input, the linear shift and the rest of the shift.
COARSE_INPUT, FINE_INPUT, LINEAR_SHIFT, FINE_SHIFT = (n / ACTIVATION_UNIT for n in (4, 16, 4, 8))
#: Cells of the coder's network input in a pixel step.
INPUT_CELLS = 4
#: Largest |s| of a coupling, in nats: where it starts, and what it may reach.
START_BOUND, LEAST_BOUND, LARGEST_BOUND = 1.5, 0.1, 3.0
#: Base parameters are learned in units of these: AdamW moves each parameter by about the learning rate a
#: step.
MEAN_UNIT, LOG_SCALE_UNIT = 10.0, 3.0
#: Standard deviation of the base in pixel steps. Narrow, so that couplings mostly shrink: growing takes bits
#: off the stack.
START_SCALE, LARGEST_SCALE = 5.0, 24.0


class CouplingModel(nn.Module):
    """Maximum-likelihood twin of the coding model.

    `forward` takes planes (B, 3, H, W), float32 integers Y, Co, Cg with H and W multiples of 8, and returns
    nats (B,), under uniform dequantization noise.
    """

    def __init__(self, config: CouplingConfig, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.config = config
        self.dtype = dtype
        self.layers = build_layers(config.layers())
        self.bounds = nn.ParameterList(
            [nn.Parameter(torch.full((len(masks(i)),), START_BOUND)) for i in range(COUPLING_SCALES)]
        )
        latents = len(list(latent_channels()))
        self.base_mean = nn.Parameter(torch.zeros(latents))
        self.base_log_scale = nn.Parameter(torch.full((latents,), math.log(START_SCALE) / LOG_SCALE_UNIT))

    def forward(self, planes: Tensor) -> Tensor:
        return -self.log_prob(centre(planes + torch.rand_like(planes)))

    def log_prob(self, x: Tensor) -> Tensor:
        """Log density (B,) in nats of centred, dequantized planes (B, 3, H, W)."""
        latents, total = self.latents(x)
        sizes = [z.shape[1] for z in latents]
        base = zip(torch.split(self.means, sizes), torch.split(self.log_scales, sizes), strict=True)
        for z, (mean, log_scale) in zip(latents, base, strict=True):
            standard, log_derivative = Affine(-column(mean, z), -column(log_scale, z)).forward(z)
            total = total + per_item(normal_log_density(standard) + log_derivative)
        return total

    def latents(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """Latents (B, c, h, w) of each scale, and log |det| (B,)."""
        log_det = x.new_zeros(x.shape[0])
        out = []
        for scale in range(COUPLING_SCALES):
            x = squeeze(x)
            for coupling, mask in enumerate(masks(scale)):
                x, change = couple(x, channels(mask), self.conditioner(scale, coupling))
                log_det = log_det + change
            x, leaving = channels(factored(scale)).split(x)
            out.append(leaving)
        return out, log_det

    def inverse(self, latents: list[Tensor]) -> Tensor:
        """Centred planes (B, 3, H, W) from the latents of each scale."""
        x: Tensor | None = None
        for scale in reversed(range(COUPLING_SCALES)):
            z = latents[scale]
            x = channels(factored(scale)).join(z[:, :0] if x is None else x, z)
            for coupling, mask in reversed(list(enumerate(masks(scale)))):
                x, _ = uncouple(x, channels(mask), self.conditioner(scale, coupling))
            x = unsqueeze(x)
        assert x is not None
        return x

    def conditioner(self, scale: int, coupling: int) -> Conditioner:
        return lambda kept: Affine(*self.coupling(scale, coupling, kept))

    def coupling(self, scale: int, coupling: int, kept: Tensor) -> tuple[Tensor, Tensor]:
        """Shift in pixel steps and log-scale in nats (B, changed, h, w) from what is kept."""
        network = self.network(scale, coupling)
        coarse, fine = self.inputs(kept)
        linear = network.layers["linear"](coarse)
        trunk = network.features(coarse, fine)
        shift, raw = network.head(0, trunk)[0].to(kept.dtype).chunk(2, 1)
        return linear / LINEAR_SHIFT + shift / FINE_SHIFT, self.bound(scale, coupling) * torch.tanh(raw)

    def inputs(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        """Coarse and fine network inputs. The coder sees the lower edges of quarter pixel steps."""
        if self.quantized:
            edges = kept + (torch.floor(kept * INPUT_CELLS) / INPUT_CELLS - kept).detach()
        else:
            edges = kept - 0.5 / INPUT_CELLS
        coarse, fine = (F.hardtanh(edges * unit, LOW, HIGH) for unit in (COARSE_INPUT, FINE_INPUT))
        return coarse, fine

    def layer(self, name: str) -> Conv:
        return find_layer(self.layers, name)

    @property
    def quantized(self) -> bool:
        return any(isinstance(layer, Conv) and layer.quantized for layer in self.layers.values())

    def network(self, scale: int, coupling: int) -> CouplingNetwork:
        """The trunk is in `dtype`; what touches pixels is in float32, as bfloat16 rounds 257 to 256."""
        layers = layers_below(dict(self.layers.items()), key(self.config.prefix(scale, coupling)))
        stem = layers["stem"]

        def trunk_stem(coarse: Tensor, fine: Tensor | None) -> Tensor:
            out: Tensor = stem(coarse, fine)
            return out.to(self.dtype, memory_format=torch.channels_last)

        return CouplingNetwork({**layers, "stem": trunk_stem}, add, self.config.blocks)

    def bound(self, scale: int, coupling: int) -> Tensor:
        """Largest |s| of a coupling."""
        bound: Tensor = self.bounds[scale][coupling]
        return bound.clamp(LEAST_BOUND, LARGEST_BOUND)

    @property
    def means(self) -> Tensor:
        """Base mean of each latent channel, in forward order."""
        return self.base_mean * MEAN_UNIT

    @property
    def log_scales(self) -> Tensor:
        """Natural log of the base's standard deviation in pixel steps."""
        return (self.base_log_scale * LOG_SCALE_UNIT).clamp(max=math.log(LARGEST_SCALE))


def centre(planes: Tensor) -> Tensor:
    """Planes (B, 3, H, W) with mid-grey at zero."""
    return torch.cat([planes[:, :1] - MID_GREY, planes[:, 1:]], 1)


def channels(mask: Mask) -> Channels:
    """The mask as the partition that it is."""
    return Channels(mask.kept, mask.changed)
