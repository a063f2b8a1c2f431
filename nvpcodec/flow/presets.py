"""Published flows. Sizes are parameters; what they are by default is what the papers had.

All take integers 0 ... levels - 1 and dequantize them. One thing is the same in all: log-scales of affine
couplings are bounded by a tanh with a learned bound, as in the RealNVP.
"""

from collections.abc import Callable, Iterator

from torch import nn

from nvpcodec.flow.bases import StandardLogistic
from nvpcodec.flow.couplings import Coupling
from nvpcodec.flow.dequantization import UniformDequantization, VariationalDequantization
from nvpcodec.flow.elementwise import AdditiveHead, AffineHead, MixtureHead
from nvpcodec.flow.invertible_conv import InvertibleConv
from nvpcodec.flow.layer import Bijection, Shape
from nvpcodec.flow.masks import checkerboard
from nvpcodec.flow.multiscale import FactorOut, Flow
from nvpcodec.flow.networks import MLP, ConvAttention, ResNet, ThreeConvs
from nvpcodec.flow.normalization import ActNorm, BatchNorm, DiagonalScale
from nvpcodec.flow.partitions import Channels, Masked, Partition, halves
from nvpcodec.flow.pixels import Logit, Rescale
from nvpcodec.flow.squeeze import PHASES, Squeeze


def nice(dims: int = 784, width: int = 1000, hidden: int = 5, couplings: int = 4, levels: int = 256) -> Flow:
    """NICE for vectors (B, dims), by default for MNIST (Dinh et al. 2014, section 5.1).

    Additive couplings of the even and the odd elements in turn, a scale for each element, a logistic base.
    """
    parts = [tuple(range(start, dims, 2)) for start in (0, 1)]
    layers: list[Bijection] = [UniformDequantization(levels), Rescale(levels)]
    for i in range(couplings):
        kept, changed = parts[i % 2], parts[(i + 1) % 2]
        network = MLP(len(kept), len(changed), width, hidden)
        layers.append(Coupling(Channels(kept, changed), network, AdditiveHead()))
    layers.append(DiagonalScale((dims,)))
    return Flow((dims,), layers, StandardLogistic())


def realnvp(
    shape: Shape = (3, 32, 32), scales: int = 2, width: int = 64, blocks: int = 8, levels: int = 256
) -> Flow:
    """RealNVP for images, by default for CIFAR-10 (Dinh et al. 2017, sections 3.6, 3.7 and 4.1).

    At each scale three checkerboard couplings, a squeeze, three channel-wise couplings, and half the
    channels leave; the networks of the next scale are twice as wide. At the last one, four checkerboard
    couplings.
    """
    layers: list[Bijection | FactorOut] = [UniformDequantization(levels), Logit(levels)]
    channels, height, columns = shape
    for _ in range(scales - 1):
        layers += _checkerboards(channels, height, columns, 3, width, blocks)
        layers.append(Squeeze())
        channels, height, columns = PHASES * channels, height // 2, columns // 2
        layers += _channelwise(channels, 3, width, blocks)
        layers.append(FactorOut(channels))
        channels, width = channels // 2, 2 * width
    layers += _checkerboards(channels, height, columns, 4, width, blocks)
    return Flow(shape, layers)


def glow(
    shape: Shape = (3, 32, 32), scales: int = 3, steps: int = 32, width: int = 512, levels: int = 256
) -> Flow:
    """Glow, by default for CIFAR-10 (Kingma and Dhariwal 2018, section 3 and figure 2).

    At each scale a squeeze and `steps` of activation norm, invertible 1x1 convolution and affine coupling;
    after all scales but the last, half the channels leave.
    """
    layers: list[Bijection | FactorOut] = [UniformDequantization(levels), Rescale(levels)]
    channels = shape[0]
    for scale in range(scales):
        layers.append(Squeeze())
        channels *= PHASES
        for _ in range(steps):
            part = halves(channels)
            network = ThreeConvs(len(part.kept), AffineHead.outputs * len(part.changed), width)
            layers += [ActNorm(channels), InvertibleConv(channels), Coupling(part, network, AffineHead())]
        if scale < scales - 1:
            layers.append(FactorOut(channels))
            channels = (channels + 1) // 2
    return Flow(shape, layers)


def flowpp(
    shape: Shape = (3, 32, 32),
    width: int = 96,
    blocks: int = 10,
    components: int = 32,
    noise_width: int = 32,
    noise_blocks: int = 2,
    heads: int = 4,
    levels: int = 256,
) -> Flow:
    """Flow++, by default for CIFAR-10 (Ho et al. 2019, section 3 and supplement).

    Variational dequantization; four checkerboard couplings, a squeeze, two channel-wise couplings and three
    checkerboard ones, each of them after an activation norm and a 1x1 convolution. Nothing leaves early.
    """
    channels, height, columns = shape

    def coupled(part: Partition, kept: int, changed: int) -> list[Bijection]:
        head = MixtureHead(components)
        network = ConvAttention(kept, head.outputs * changed, width, blocks, heads)
        return [ActNorm(channels), InvertibleConv(channels), Coupling(part, network, head)]

    layers: list[Bijection] = [_learned_noise(shape, noise_width, noise_blocks, heads, levels), Logit(levels)]
    for i in range(4):
        layers += coupled(Masked(checkerboard(height, columns, i)), channels, channels)
    layers.append(Squeeze())
    channels, height, columns = PHASES * channels, height // 2, columns // 2
    for i in range(2):
        part = halves(channels, (i + 1) % 2)
        layers += coupled(part, len(part.kept), len(part.changed))
    for i in range(3):
        layers += coupled(Masked(checkerboard(height, columns, i)), channels, channels)
    return Flow(shape, layers)


#: Presets by name.
PRESETS: dict[str, Callable[..., Flow]] = {"nice": nice, "realnvp": realnvp, "glow": glow, "flowpp": flowpp}


def _checkerboards(
    channels: int, height: int, columns: int, count: int, width: int, blocks: int
) -> Iterator[Bijection]:
    for i in range(count):
        network = ResNet(channels, AffineHead.outputs * channels, width, blocks)
        yield Coupling(Masked(checkerboard(height, columns, (i + 1) % 2)), network, AffineHead())
        yield BatchNorm(channels)


def _channelwise(channels: int, count: int, width: int, blocks: int) -> Iterator[Bijection]:
    for i in range(count):
        part = halves(channels, (i + 1) % 2)
        network = ResNet(len(part.kept), AffineHead.outputs * len(part.changed), width, blocks)
        yield Coupling(part, network, AffineHead())
        yield BatchNorm(channels)


def _learned_noise(
    shape: Shape, width: int, blocks: int, heads: int, levels: int
) -> VariationalDequantization:
    """Four checkerboard couplings of the noise, which see features of the image."""
    channels, height, columns = shape
    context = nn.Conv2d(channels, width, 3, padding=1)
    couplings = [
        Coupling(
            Masked(checkerboard(height, columns, i)),
            ConvAttention(channels + width, AffineHead.outputs * channels, width, blocks, heads),
            AffineHead(),
        )
        for i in range(4)
    ]
    return VariationalDequantization(context, couplings, levels)
