"""What a coupling sees of the pixels it keeps: base prediction, differences, activity.

Every tensor is float32 with integer values, so the same lines serve training and coding, and the result is
the same on every device: each operation below is exact because its operands stay under 2^24.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from nvpcodec.layout import NEAREST, NEIGHBOURHOOD, REACH
from nvpcodec.model import PLANES
from nvpcodec.tables import (
    ACTIVATION_MAX,
    ACTIVATION_MIN,
    ACTIVITY_RECIPROCAL,
    ACTIVITY_RECIPROCAL_BITS,
    ACTIVITY_THRESHOLDS,
)


@dataclass(frozen=True)
class Neighbourhood:
    """The known surroundings of the pixels of one phase, on the squeezed grid.

    base4:       (B, P, h, w), four times the base prediction (the sum of the nearest four pixels)
    activity:    (B, P, h, w) int64, index of the mean absolute difference, in half octaves
    differences: (B, 16, P, h, w), neighbours minus base in quarter pixel steps; nine tenths of the memory, so
                 they are left out where nobody asks for them
    """

    base4: Tensor
    activity: Tensor
    differences: Tensor = field(default_factory=lambda: torch.empty(0))

    def normalised(self) -> Tensor:
        """Differences divided by the activity, as network inputs (B, 16 * P, h, w)."""
        return normalise(self.differences, self.activity.unsqueeze(1)).flatten(1, 2)


def pad_phase(phase: Tensor) -> Tensor:
    """Replicate the border of one phase (B, P, h, w) as far as neighbourhoods reach."""
    return F.pad(phase, (REACH,) * 4, mode="replicate")


def neighbourhood(phase: int, padded: dict[int, Tensor]) -> Neighbourhood:
    """Surroundings of `phase` from the padded known phases."""
    height, width = (n - 2 * REACH for n in padded[0].shape[-2:])
    taps = torch.stack(
        [
            padded[t.phase][
                ..., REACH + t.down : REACH + t.down + height, REACH + t.right : REACH + t.right + width
            ]
            for t in NEIGHBOURHOOD[phase]
        ],
        dim=1,
    )
    base4 = taps[:, :NEAREST].sum(1)
    differences = taps * 4 - base4.unsqueeze(1)
    activity = activity_index(differences.abs().sum(1))
    return Neighbourhood(base4, activity, differences)


def context_inputs(surroundings: Sequence[Neighbourhood]) -> Tensor:
    """Network inputs (B, C, h, w): each phase's normalised differences, activity and brightness."""
    return torch.cat(
        [part for s in surroundings for part in (s.normalised(), (s.activity - 8) * 8, brightness(s.base4))],
        dim=1,
    )


def brightness(base4: Tensor) -> Tensor:
    """Base prediction (B, 3, h, w) as an input: Y around mid-grey, chroma halved."""
    return torch.cat([(base4[:, :1] * 0.25).floor() - 128, (base4[:, 1:] * 0.125).floor()], 1)


def activity_index(total: Tensor) -> Tensor:
    """Half-octave index of the sum of 16 absolute differences (quarter steps)."""
    return torch.bucketize(total, table(ACTIVITY_THRESHOLDS, total), right=True)


def normalise(differences: Tensor, activity: Tensor) -> Tensor:
    """floor(d * 2^5 / activity + 1/2), clamped to the activation range."""
    half = 2.0 ** (ACTIVITY_RECIPROCAL_BITS - 1)
    scaled = (
        differences * table(ACTIVITY_RECIPROCAL, differences)[activity] + half
    ) * 2.0**-ACTIVITY_RECIPROCAL_BITS
    return scaled.floor().clamp(ACTIVATION_MIN, ACTIVATION_MAX)


def all_planes(x: Tensor) -> Tensor:
    """Planes (..., 3, h, w) of (..., P, h, w): a grey image has chroma zero."""
    return F.pad(x, (0, 0, 0, 0, 0, PLANES - x.shape[-3]))


def table(entries: tuple[int, ...], like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """A table of integers as a tensor on the device of another, and of its type unless another is given."""
    return _table(entries, dtype or like.dtype, like.device)


@cache
def _table(entries: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(entries, dtype=dtype, device=device)
