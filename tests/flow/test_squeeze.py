"""Squeeze against literal places."""

from __future__ import annotations

import pytest
import torch

from nvpcodec.errors import InputError
from nvpcodec.flow import Squeeze, squeeze, unsqueeze


def test_each_phase_of_a_block_is_a_channel() -> None:
    x = torch.arange(16).view(1, 1, 4, 4)
    assert squeeze(x)[0].tolist() == [
        [[0, 2], [8, 10]],
        [[1, 3], [9, 11]],
        [[4, 6], [12, 14]],
        [[5, 7], [13, 15]],
    ]


def test_channels_of_one_phase_stay_together() -> None:
    x = torch.arange(2 * 4 * 6).view(1, 2, 4, 6)
    assert squeeze(x)[0, :, 0, 0].tolist() == [0, 24, 1, 25, 6, 30, 7, 31]
    assert torch.equal(unsqueeze(squeeze(x)), x)


@pytest.mark.parametrize("shape", [(1, 3, 4, 5), (1, 3, 3, 4), (3, 4, 4)])
def test_odd_sides_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="must be even"):
        squeeze(torch.zeros(shape))


def test_what_was_not_squeezed_is_refused() -> None:
    with pytest.raises(InputError, match="not squeezed"):
        unsqueeze(torch.zeros(1, 6, 2, 2))
    with pytest.raises(InputError, match="3x4 cannot be squeezed"):
        Squeeze().output_shape((1, 3, 4))
