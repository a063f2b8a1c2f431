"""Normalizing flows in torch: layers, whole flows, and the published ones. Usable without the codec.

>>> flow = realnvp(shape=(3, 32, 32))
>>> loss = flow.bits_per_dim(images).mean()      # images: integers 0 ... 255, (B, 3, 32, 32)
>>> flow.eval().sample(16, temperature=0.8)

Every layer is a `Bijection`: `forward` and `inverse` return values and log |det| (B,). `Flow` joins layers
and a base distribution.
"""

from nvpcodec.flow.bases import (
    Base,
    StandardLogistic,
    StandardNormal,
    logistic_log_density,
    logistic_log_mass,
    normal_log_density,
)
from nvpcodec.flow.bits import bits_per_dim
from nvpcodec.flow.couplings import Coupling, couple, uncouple
from nvpcodec.flow.dequantization import UniformDequantization, VariationalDequantization
from nvpcodec.flow.elementwise import (
    Additive,
    AdditiveHead,
    Affine,
    AffineHead,
    LogisticMixture,
    MixtureHead,
)
from nvpcodec.flow.invertible_conv import InvertibleConv
from nvpcodec.flow.layer import Bijection, Chain
from nvpcodec.flow.masks import alternating, channelwise, checkerboard, random_mask
from nvpcodec.flow.multiscale import FactorOut, Flow
from nvpcodec.flow.networks import MLP, ConvAttention, ResNet, ThreeConvs
from nvpcodec.flow.normalization import ActNorm, BatchNorm, DiagonalScale
from nvpcodec.flow.partitions import Channels, Learned, Masked, Opposite, halves
from nvpcodec.flow.pixels import Logit, Rescale
from nvpcodec.flow.presets import PRESETS, flowpp, glow, nice, realnvp
from nvpcodec.flow.saved import build, load, save
from nvpcodec.flow.squeeze import Squeeze, squeeze, unsqueeze

__all__ = [
    "MLP",
    "PRESETS",
    "ActNorm",
    "Additive",
    "AdditiveHead",
    "Affine",
    "AffineHead",
    "Base",
    "BatchNorm",
    "Bijection",
    "Chain",
    "Channels",
    "ConvAttention",
    "Coupling",
    "DiagonalScale",
    "FactorOut",
    "Flow",
    "InvertibleConv",
    "Learned",
    "LogisticMixture",
    "Logit",
    "Masked",
    "MixtureHead",
    "Opposite",
    "ResNet",
    "Rescale",
    "Squeeze",
    "StandardLogistic",
    "StandardNormal",
    "ThreeConvs",
    "UniformDequantization",
    "VariationalDequantization",
    "alternating",
    "bits_per_dim",
    "build",
    "channelwise",
    "checkerboard",
    "couple",
    "flowpp",
    "glow",
    "halves",
    "load",
    "logistic_log_density",
    "logistic_log_mass",
    "nice",
    "normal_log_density",
    "random_mask",
    "realnvp",
    "save",
    "squeeze",
    "uncouple",
    "unsqueeze",
]
