"""Regressors: windows where they should lie, sums and samples of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nvpcodec.layout import AROUND
from nvpcodec.regressors import Regressors, Source

SIZE = (5, 7)


def regressors(size: tuple[int, int] = SIZE) -> tuple[Regressors, torch.Tensor, torch.Tensor]:
    """Two planes as they are and one seen at nine offsets, on a grid that is larger than `size`."""
    generator = np.random.default_rng(1)
    plain, around = (
        torch.from_numpy(generator.integers(-2040, 2041, (n, size[0] + 1, size[1] + 1))).float()
        for n in (2, 1)
    )
    return Regressors([Source(plain), Source(around, AROUND)], size), plain, around


def test_rows_are_the_windows() -> None:
    found, plain, around = regressors()
    rows = found.rows()
    assert rows.shape == (len(found), *SIZE) == (11, *SIZE)
    assert torch.equal(rows[:2], plain[:, :5, :7])
    assert torch.equal(rows[2 + 4], around[0, :5, :7])  # the offset (0, 0)
    assert torch.equal(rows[2 + 8], around[0, 1:6, 1:8])  # (1, 1)
    assert torch.equal(rows[2][1:, 1:], around[0, :4, :6])  # (-1, -1)
    assert not rows[2][0].any()
    assert not rows[2][:, 0].any()


@pytest.mark.parametrize("stride", [1, 3, 8])
def test_samples_are_taken_from_the_rows(stride: int) -> None:
    found, _, _ = regressors()
    assert torch.equal(found.sample(stride), found.rows().flatten(1)[:, ::stride])


@pytest.mark.parametrize("size", [SIZE, (1, 1), (40, 33)])
def test_weighted_sums_are_exact(size: tuple[int, int]) -> None:
    found, _, _ = regressors(size)
    weights = torch.from_numpy(np.random.default_rng(2).integers(-512, 512, len(found)))
    expected = (weights.view(-1, 1, 1) * found.rows().long()).sum(0)
    assert torch.equal(found.weighted_sum(weights.float()).long(), expected)


def test_a_source_without_planes_has_no_rows() -> None:
    found = Regressors([Source(torch.zeros(0, *SIZE), AROUND)], SIZE)
    assert len(found) == 0
    assert not found.weighted_sum(torch.zeros(0)).any()
