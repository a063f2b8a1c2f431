"""A grown model computes what the smaller one did, and can learn more."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from nvpcodec.errors import InputError
from nvpcodec.model import PhaseConfig
from nvpcodec.phase_model import PhaseModel
from nvpcodec.train.growth import grown

SMALL = PhaseConfig(levels=2, width=8, blocks=(1, 1), head_width=8, handed_width=4)
LARGE = PhaseConfig(levels=2, width=12, blocks=(2, 3), head_width=10, handed_width=6)


def trained(config: PhaseConfig, seed: int) -> PhaseModel:
    """A model whose zero-initialised layers are not zero any more."""
    torch.manual_seed(seed)
    model = PhaseModel(config)
    for p in model.parameters():
        p.data.add_(0.05 * torch.randn_like(p))
    return model


def planes() -> torch.Tensor:
    return torch.randint(0, 200, (2, 3, 16, 24), generator=torch.Generator().manual_seed(3)).float()


def test_it_computes_the_same() -> None:
    small = trained(SMALL, 1)
    torch.manual_seed(2)
    large = PhaseModel(LARGE)
    large.load_state_dict(grown(small.state_dict(), large))
    assert torch.allclose(small(planes()), large(planes()), rtol=1e-5)


def test_what_is_new_receives_gradients() -> None:
    torch.manual_seed(2)
    large = PhaseModel(LARGE)
    large.load_state_dict(grown(trained(SMALL, 1).state_dict(), large))
    large(planes()).sum().backward()
    name = "level0.coupling0.block0_spatial"
    (weight,) = large.layer(name).weights
    assert weight.grad is not None
    assert weight.grad[:, SMALL.width :].abs().max() > 0


def test_a_model_of_the_same_size_is_taken_as_it_is() -> None:
    small = trained(SMALL, 1)
    for name, weight in grown(small.state_dict(), PhaseModel(SMALL)).items():
        assert torch.equal(weight, small.state_dict()[name])


@pytest.mark.parametrize("change", [{"width": 6}, {"blocks": (0, 1)}])
def test_nothing_shrinks(change: dict[str, int]) -> None:
    with pytest.raises(InputError, match="has no place"):
        grown(trained(SMALL, 1).state_dict(), PhaseModel(replace(SMALL, **change)))  # type: ignore[arg-type]
