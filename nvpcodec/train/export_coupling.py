"""From a trained RealNVP to the integer model that codes."""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nvpcodec.coupling_layout import COUPLING_SCALES, masks
from nvpcodec.model import CouplingConfig, Model
from nvpcodec.tables import (
    ACTIVATION_MAX,
    ACTIVATION_MIN,
    ACTIVATION_UNIT,
    SCALE_MIN_LOG2,
    SCALE_STEPS_PER_OCTAVE,
    SCALES,
    SHIFT_UNIT,
)
from nvpcodec.train.base_table import base_table
from nvpcodec.train.coupling_model import CouplingModel
from nvpcodec.train.quantize import integer_layers


def export_coupling(trained: nn.Module, _images: list[Tensor]) -> Model:
    """The integer model of the present weights. Its base is a Gaussian, so it needs no images.

    Raises
    ------
    ModelError
        A layer's sums cannot be kept in the exact range.
    """
    if not isinstance(trained, CouplingModel):
        raise TypeError("only a coupling model is exported here")
    config = trained.config
    tensors: dict[str, NDArray[Any]] = {"base": base_table(gaussian), "scale_num": _scale_nums(trained)}
    tensors["base_mean"], tensors["base_scale"] = _base(trained, config)
    return Model("realnvp", config, tensors | integer_layers(config.layers(), trained.layer))


def gaussian(_index: int, edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cumulative function of the normal distribution."""
    cumulative: NDArray[np.float64] = torch.special.ndtr(torch.from_numpy(edges)).numpy()
    return cumulative


def _scale_nums(trained: CouplingModel) -> NDArray[np.int32]:
    """round(2^scale_bits exp(bound tanh(out))) for every coupling and network output."""
    outputs = np.arange(ACTIVATION_MIN, ACTIVATION_MAX + 1) / ACTIVATION_UNIT
    bounds = [
        trained.bound(scale, coupling).item()
        for scale in range(COUPLING_SCALES)
        for coupling in range(len(masks(scale)))
    ]
    log_scale = np.array(bounds)[:, None] * np.tanh(outputs)
    scale_nums: NDArray[np.int32] = np.rint(np.exp(log_scale) * 2**trained.config.scale_bits).astype(np.int32)
    return scale_nums


def _base(trained: CouplingModel, config: CouplingConfig) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Means in sixteenths of a grid step, of the middles of cells; the nearest scale indices."""
    steps = 1 << config.dequant_bits
    means = trained.means.detach().double().cpu().numpy() * steps - 0.5
    log2_scales = trained.log_scales.detach().double().cpu().numpy() / math.log(2) + config.dequant_bits
    indices = np.rint((log2_scales - SCALE_MIN_LOG2) * SCALE_STEPS_PER_OCTAVE)
    return (
        np.rint(means * SHIFT_UNIT).astype(np.int32),
        np.clip(indices, 0, SCALES - 1).astype(np.int32),
    )
