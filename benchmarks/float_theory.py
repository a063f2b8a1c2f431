"""The float models' value of a picture, where the state of their training is at hand."""

from __future__ import annotations

from pathlib import Path

from common import Picture

TRAININGS = Path(__file__).with_name("training")
#: The float RealNVP wants sides of whole blocks.
BLOCK = 8


def float_bits(model: str, picture: Picture) -> float | None:
    """-log2 p of the picture under the float twin of a shipped model; None where that cannot be said.

    It can for grey and RGB pictures of one region, with sides of multiples of 8.
    """
    from nvpcodec import colour, zoo
    from nvpcodec.regions import region_size
    from nvpcodec.train import theory

    state = TRAININGS / model / "state.pt"
    height, width, channels = picture.samples.shape
    whole = region_size(height, width) == (height, width) and height % BLOCK == width % BLOCK == 0
    if not state.exists() or channels not in (1, 3) or not whole:
        return None
    return theory.float_bits(zoo.by_name(model), state, colour.to_planes(picture.samples))
