"""Squeeze: space into channels (Dinh et al. 2017, section 3.6)."""

from torch import Tensor

from nvpcodec.errors import InputError
from nvpcodec.flow.layer import Bijection, Shape

#: Pixels of a 2x2 block, numbered 0 1 in its first row and 2 3 in its second.
PHASES = 4


def squeeze(x: Tensor) -> Tensor:
    """(B, C, H, W) to (B, 4 C, H/2, W/2): channel p C + c is phase p of channel c.

    Raises
    ------
    InputError
        x is no grid, or has an odd side.
    """
    if x.dim() != 4 or x.shape[2] % 2 or x.shape[3] % 2:
        raise InputError(f"a tensor of shape {tuple(x.shape)} cannot be squeezed; its sides must be even")
    batch, channels, height, width = x.shape
    blocks = x.reshape(batch, channels, height // 2, 2, width // 2, 2)
    return blocks.permute(0, 3, 5, 1, 2, 4).reshape(batch, PHASES * channels, height // 2, width // 2)


def unsqueeze(z: Tensor) -> Tensor:
    """Inverse of `squeeze`.

    Raises
    ------
    InputError
        z is no grid, or its channels are no multiple of four.
    """
    if z.dim() != 4 or z.shape[1] % PHASES:
        raise InputError(f"a tensor of shape {tuple(z.shape)} was not squeezed; it needs 4, 8, ... channels")
    batch, channels, height, width = z.shape
    phases = z.reshape(batch, 2, 2, channels // PHASES, height, width)
    return phases.permute(0, 3, 4, 1, 5, 2).reshape(batch, channels // PHASES, 2 * height, 2 * width)


class Squeeze(Bijection):
    """`squeeze` as a layer. It moves values about, so the log-determinant is zero."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return squeeze(x), x.new_zeros(len(x))

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return unsqueeze(z), z.new_zeros(len(z))

    def output_shape(self, shape: Shape) -> Shape:
        channels, height, width = shape
        if height % 2 or width % 2:
            raise InputError(f"a grid of {height}x{width} cannot be squeezed; its sides must be even")
        return PHASES * channels, height // 2, width // 2
