"""Trained presets as files."""

import pickle
from pathlib import Path
from typing import Any

import torch

from nvpcodec.errors import InputError
from nvpcodec.flow.multiscale import Flow
from nvpcodec.flow.presets import PRESETS


def build(preset: str, sizes: dict[str, Any]) -> Flow:
    """The preset of that name with those sizes.

    Raises
    ------
    InputError
        There is no such preset, or it has no such sizes.
    """
    if preset not in PRESETS:
        raise InputError(f"there is no preset {preset!r}; choose {', '.join(PRESETS)}")
    try:
        return PRESETS[preset](**sizes)
    except TypeError as cause:
        raise InputError(f"the sizes of the preset {preset} are not valid: {cause}") from cause


def save(path: str | Path, flow: Flow, preset: str, sizes: dict[str, Any]) -> None:
    """Write a flow that `build` made of this preset and these sizes."""
    torch.save({"preset": preset, "sizes": sizes, "weights": flow.state_dict()}, path)


def load(path: str | Path) -> Flow:
    """The flow that `save` wrote, in evaluation.

    Raises
    ------
    InputError
        The file cannot be read or holds no such flow.
    """
    try:
        record = torch.load(path, map_location="cpu", weights_only=True)
        flow = build(record["preset"], record["sizes"])
        flow.load_state_dict(record["weights"])
    except (OSError, EOFError, KeyError, TypeError, RuntimeError, pickle.UnpicklingError) as cause:
        reason = str(cause).splitlines()[0] if str(cause) else type(cause).__name__
        raise InputError(f"{path} holds no trained flow: {reason}") from cause
    return flow.eval()
