"""A flow of `nvpcodec.flow` as a model to train. It codes no files: there is no integer twin of it."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nvpcodec.colour import rgb
from nvpcodec.flow.saved import build, save


class FlowModel(nn.Module):
    """The preset of that name for crops of `side` x `side` pixels.

    `forward` takes planes (B, 3, side, side) Y, Co, Cg as trainings do, turns them to the same red, green and
    blue that they were, and returns nats (B,). The colour transform is one to one on integers, so these are
    nats of either.
    """

    def __init__(self, preset: str, side: int, sizes: dict[str, Any]) -> None:
        super().__init__()
        self.preset = preset
        self.sizes = {"shape": (3, side, side), **sizes}
        self.flow = build(preset, self.sizes)

    def forward(self, planes: Tensor) -> Tensor:
        colours = torch.stack(rgb(*planes.to(torch.int32).unbind(1)), 1)
        return -self.flow.log_prob(colours)


def write_flow(trained: nn.Module, _images: list[Tensor], folder: Path, name: str) -> Path:
    """The present weights as `<name>.pt`, which `nvpcodec.flow.load` reads."""
    if not isinstance(trained, FlowModel):
        raise TypeError("only a flow model is written here")
    path = folder / f"{name}.pt"
    save(path, trained.flow, trained.preset, trained.sizes)
    return path
