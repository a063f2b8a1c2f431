"""The float models' value of a picture, where the state of their training is at hand; that of flows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from common import Picture

TRAININGS = Path(__file__).with_name("training")
#: The float RealNVP wants sides of whole blocks.
BLOCK = 8
#: Images that a flow of the library sees at once.
FLOW_BATCH = 64


def float_bits(model: str, picture: Picture) -> float | None:
    """-log2 p of the picture under the float twin of a shipped model; None where that cannot be said.

    It can for grey and RGB pictures of one region, with sides of multiples of 8.
    """
    import torch

    from nvpcodec import stand_ins, zoo
    from nvpcodec.regions import region_size
    from nvpcodec.train import theory

    state = TRAININGS / model / "state.pt"  # there is none at another effort
    height, width, channels = picture.samples.shape
    whole = region_size(height, width) == (height, width) and height % BLOCK == width % BLOCK == 0
    if not state.exists() or channels not in (1, 3) or not whole:
        return None
    planes = stand_ins.find(picture.samples).planes
    torch.set_flush_denormal(True)  # floats that small change nothing here and take many times as long
    return theory.float_bits(zoo.by_name(model), state, planes)


def is_flow(model: str) -> bool:
    """Whether a model is a flow of the library, which codes nothing."""
    return model.endswith(".pt")


def flow_bits(path: Path, pictures: Sequence[Picture]) -> float | None:
    """-log2 p of the pictures together under a trained flow; None unless all are of its size."""
    import torch

    from nvpcodec import flow

    trained = flow.load(path)
    shape = tuple(trained.shape)
    stack = [picture.samples.transpose(2, 0, 1) for picture in pictures]
    if any(samples.shape != shape for samples in stack):
        return None
    torch.manual_seed(0)
    with torch.no_grad():
        parts = torch.split(torch.from_numpy(np.stack(stack).astype(np.int64)), FLOW_BATCH)
        return -sum(float(trained.log_prob(part).sum()) for part in parts) / math.log(2)
