"""Why a coupling's determinant is cheap: Jacobians, computed number by number and drawn.

    python examples/jacobian.py

Each Jacobian is that of automatic differentiation, its log-determinant that of an LU decomposition; beside it
stands what the layer says. The inverse is compared with where it started, in single and double precision.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import torch
from torch import Tensor

from nvpcodec.flow import (
    AffineHead,
    BatchNorm,
    Bijection,
    Chain,
    Coupling,
    InvertibleConv,
    Masked,
    MixtureHead,
    Squeeze,
    ThreeConvs,
    checkerboard,
    halves,
)
from pictures import bare, options, save

SHAPE = (2, 4, 4)
DIMS = 32


def layers() -> dict[str, Bijection]:
    """What is shown, far from the identity that couplings start as."""
    mask = Masked(checkerboard(4, 4))
    coupling = Coupling(mask, ThreeConvs(2, 4, 16), AffineHead())
    shown: dict[str, Bijection] = {
        "one checkerboard coupling": coupling,
        "mixture coupling": Coupling(mask, ThreeConvs(2, 2 * 14, 16), MixtureHead(4)),
        "squeeze and 1x1 convolution": Chain([Squeeze(), InvertibleConv(8)]),
        "a whole flow": Chain(
            [
                Coupling(mask, ThreeConvs(2, 4, 16), AffineHead()),
                BatchNorm(2),
                Coupling(Masked(checkerboard(4, 4, 0)), ThreeConvs(2, 4, 16), AffineHead()),
                Squeeze(),
                InvertibleConv(8),
                Coupling(halves(8), ThreeConvs(4, 8, 16), AffineHead()),
                Coupling(halves(8, 0), ThreeConvs(4, 8, 16), AffineHead()),
            ]
        ),
    }
    for layer in shown.values():
        layer.double().eval()
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
    return shown


def jacobian(layer: Bijection, x: Tensor) -> Tensor:
    """(DIMS, DIMS) of one item."""

    def flat(values: Tensor) -> Tensor:
        z: Tensor = layer(values.view(1, *SHAPE))[0]
        return z.flatten()

    found: Tensor = torch.autograd.functional.jacobian(flat, x.flatten())  # type: ignore[no-untyped-call]
    return found


@torch.no_grad()
def inverse_error(layer: Bijection, x: Tensor) -> float:
    back = layer.inverse(layer(x)[0])[0]
    return float((back - x).abs().max())


def kept_first() -> Tensor:
    """Numbers of the values that the checkerboard keeps, then those that it changes."""
    changed = checkerboard(4, 4).expand(SHAPE).flatten()
    return torch.cat([torch.where(~changed)[0], torch.where(changed)[0]])


def main(arguments: Sequence[str] | None = None) -> None:
    chosen = options("jacobian", __doc__, arguments, steps=1, quick_steps=1)
    shown, x = layers(), torch.randn(1, *SHAPE, dtype=torch.float64)
    pictures: list[tuple[str, Tensor]] = []
    print(f"{'':28} log|det| claimed   of the matrix   inverse, float64   float32")
    for name, layer in shown.items():
        matrix = jacobian(layer, x)
        claimed, numerical = layer(x)[1].item(), torch.linalg.slogdet(matrix).logabsdet.item()
        double, single = inverse_error(layer, x), inverse_error(layer.float(), x.float())
        print(f"{name:28} {claimed:15.6f} {numerical:15.6f} {double:18.1e} {single:9.1e}")
        pictures.append((name, matrix))
        if name == "one checkerboard coupling":
            order = kept_first()
            triangular = matrix[order][:, order]
            above = triangular[: DIMS // 2, DIMS // 2 :].abs().max().item()
            inside = triangular[DIMS // 2 :, DIMS // 2 :]
            off = (inside - torch.diag(inside.diagonal())).abs().max().item()
            print(f"  kept values first: largest entry above the blocks {above}, beside the diagonal {off}")
            pictures.append(("the same, kept values first", triangular))
    figure, axes = plt.subplots(1, len(pictures), figsize=(12, 2.8), layout="constrained")
    for axis, (title, matrix) in zip(axes, pictures, strict=True):
        axis.imshow(matrix.abs().clamp(1e-4).log10().numpy(), cmap="magma", vmin=-4, vmax=0.5)
        axis.set_title(title, fontsize=9)
    bare(*axes)
    save(figure, chosen.out)
    plt.close(figure)


if __name__ == "__main__":
    main()
