"""What papers printed, in bits/dim, with their sources."""

from __future__ import annotations

from dataclasses import dataclass

THEORY = "theory"
CODED = "coded"


@dataclass(frozen=True)
class Published:
    """One row: bits/dim of the test or validation set, None where the paper has no figure.

    kind:   `THEORY`, the model's likelihood, or `CODED`, the length of a code that was decoded again
    source: paper, where it appeared
    """

    name: str
    cifar10: float | None
    imagenet32: float | None
    imagenet64: float | None
    kind: str
    source: str


ROWS = (
    Published(
        "PixelCNN", 3.14, None, None, THEORY,
        "van den Oord et al., Pixel Recurrent Neural Networks, ICML 2016",
    ),
    Published(
        "PixelRNN", 3.00, 3.86, 3.63, THEORY,
        "van den Oord et al., Pixel Recurrent Neural Networks, ICML 2016",
    ),
    Published(
        "Gated PixelCNN", 3.03, 3.83, 3.57, THEORY,
        "van den Oord et al., Conditional Image Generation with PixelCNN Decoders, NeurIPS 2016",
    ),
    Published(
        "PixelCNN++", 2.92, None, None, THEORY,
        "Salimans et al., PixelCNN++, ICLR 2017",
    ),
    Published(
        "RealNVP", 3.49, 4.28, 3.98, THEORY,
        "Dinh et al., Density estimation using Real NVP, ICLR 2017",
    ),
    Published(
        "Glow", 3.35, 4.09, 3.81, THEORY,
        "Kingma and Dhariwal, Glow: Generative Flow with Invertible 1×1 Convolutions, NeurIPS 2018",
    ),
    Published(
        "Flow++", 3.08, 3.86, 3.69, THEORY,
        "Ho et al., Flow++, ICML 2019",
    ),
    Published(
        "IDF", 3.34, 4.18, 3.90, CODED,
        "Hoogeboom et al., Integer Discrete Flows and Lossless Compression, NeurIPS 2019",
    ),
    Published(
        "IDF++", 3.26, 4.12, 3.81, CODED,
        "van den Berg et al., IDF++: Analyzing and Improving Integer Discrete Flows, ICLR 2021",
    ),
    Published(
        "LBB", 3.12, 3.88, 3.70, CODED,
        "Ho et al., Compression with Flows via Local Bits-Back Coding, NeurIPS 2019; initial bits amortised",
    ),
    Published(
        "iVPF", 3.20, 4.03, 3.75, CODED,
        "Zhang et al., iVPF: Numerical Invertible Volume Preserving Flow, CVPR 2021; initial bits amortised",
    ),
    Published(
        "iFlow", 3.12, 3.88, 3.70, CODED,
        "Zhang et al., iFlow: Numerically Invertible Flows, NeurIPS 2021; initial bits amortised",
    ),
)  # fmt: skip
