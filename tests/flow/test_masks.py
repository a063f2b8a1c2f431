"""Masks against literal patterns, partitions against their definition."""

from __future__ import annotations

import pytest
import torch

from nvpcodec.errors import InputError
from nvpcodec.flow import (
    Channels,
    Learned,
    Masked,
    Opposite,
    alternating,
    channelwise,
    checkerboard,
    halves,
    random_mask,
)
from nvpcodec.flow.partitions import Partition
from tests.flow.helpers import batch


def test_a_checkerboard() -> None:
    assert checkerboard(2, 3).int().tolist() == [[[0, 1, 0], [1, 0, 1]]]
    assert checkerboard(2, 3, 0).int().tolist() == [[[1, 0, 1], [0, 1, 0]]]


def test_halves_of_channels_and_elements() -> None:
    assert channelwise(5).flatten().int().tolist() == [0, 0, 0, 1, 1]
    assert channelwise(4, 0).flatten().int().tolist() == [1, 1, 0, 0]
    assert alternating(5).int().tolist() == [0, 1, 0, 1, 0]
    assert (halves(5).kept, halves(5).changed) == ((0, 1, 2), (3, 4))
    assert (halves(4, 0).kept, halves(4, 0).changed) == ((2, 3), (0, 1))


def test_a_random_mask_is_half_true_and_seeded() -> None:
    first, again = (random_mask((3, 4, 4), torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(first, again)
    assert first.sum() == 24
    with pytest.raises(InputError, match="two elements"):
        random_mask((1,))


def partitions() -> dict[str, Partition]:
    torch.manual_seed(3)
    learned = Learned((4, 2, 2))
    return {
        "channels": Channels((1, 2), (0, 3)),
        "mask": Masked(checkerboard(2, 2)),
        "learned": learned,
        "opposite": Opposite(learned),
    }


@pytest.mark.parametrize("name", ["channels", "mask", "learned", "opposite"])
def test_parts_join_to_the_whole(name: str) -> None:
    partition, x = partitions()[name], batch(2, 4, 2, 2)
    kept, changed = partition.split(x)
    assert torch.equal(partition.join(kept, changed), x)
    moved = partition.join(kept, changed + 10)
    assert torch.equal(partition.split(moved)[0], kept)
    assert ((moved - x).abs() > 9).float().mean() == 0.5
    counted = partition.counted(torch.ones_like(changed))
    assert counted.sum() == x.numel() / 2


def test_channels_go_back_to_their_places() -> None:
    x = torch.arange(4.0).view(1, 4)
    kept, changed = Channels((1, 2), (0, 3)).split(x)
    assert (kept.tolist(), changed.tolist()) == ([[1, 2]], [[0, 3]])
    assert Channels((1, 2), (0, 3)).join(kept, -changed).tolist() == [[0, 1, 2, -3]]


def test_a_learned_mask_follows_its_scores() -> None:
    mask = Learned((4,))
    with torch.no_grad():
        mask.scores.copy_(torch.tensor([0.3, -1.0, 2.0, 0.1]))
    assert mask.weights().tolist() == [1, 0, 1, 0]
    kept, changed = mask.split(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
    mask.join(kept, 3 * changed).sum().backward()  # type: ignore[no-untyped-call]
    assert mask.scores.grad is not None
    assert (mask.scores.grad > 0).all()  # each value would add to the sum if it were changed more


@pytest.mark.parametrize("shape", [(2, 3, 2, 2), (2, 4, 2, 3), (2, 4)])
def test_shapes_that_do_not_fit_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="shape"):
        Masked(random_mask((4, 2, 2))).split(torch.zeros(shape))


def test_a_wrong_number_of_channels_is_refused() -> None:
    with pytest.raises(InputError, match="does not have 4 channels"):
        halves(4).split(torch.zeros(2, 3, 2, 2))
