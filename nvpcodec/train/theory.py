"""What the float models say of an image, to set beside the integer models that code it."""

import math
from pathlib import Path

import torch
from torch import Tensor

from nvpcodec.distribution import BaseTable
from nvpcodec.float_layers import Conv
from nvpcodec.model import CouplingConfig, Model, PhaseConfig
from nvpcodec.network import Layer
from nvpcodec.phase_coder import PhaseCoder, search_of
from nvpcodec.phase_flow import PhaseFlow
from nvpcodec.phase_model import PhaseModel
from nvpcodec.stack import Ints
from nvpcodec.tables import ACTIVATION_UNIT
from nvpcodec.train.coupling_model import CouplingModel

CPU = torch.device("cpu")


def float_bits(model: Model, state: Path, planes: Ints) -> float:
    """-log2 p of int32 planes (P, H, W) under the float weights, in a training state, that the model has.

    A phase flow is walked like the integer one, fits and tables included, with layers that round nothing. A
    RealNVP's density is taken at one sample of the dequantization noise.
    """
    weights = torch.load(state, map_location=CPU, weights_only=True)["ema"]
    if isinstance(model.config, PhaseConfig):
        phase_model = PhaseModel(model.config)
        phase_model.load_state_dict(weights)
        return float_coder(phase_model, BaseTable(model.tensors["base"])).encode(planes)[1].theory_bits
    if isinstance(model.config, CouplingConfig):
        coupling_model = CouplingModel(model.config)
        coupling_model.load_state_dict(weights)
        with torch.no_grad():
            nats = coupling_model(torch.from_numpy(planes)[None].float()).sum()
        return float(nats) / math.log(2)
    raise TypeError(f"no float model belongs to {model.kind}")


def float_coder(trained: PhaseModel, table: BaseTable) -> PhaseCoder:
    layers = {spec.name: _in_integer_units(trained.layer(spec.name)) for spec in trained.config.layers()}
    return PhaseCoder(PhaseFlow(trained.config, layers), table, CPU, search_of(trained.config))


def _in_integer_units(conv: Conv) -> Layer:
    """The layer on activations that count in steps of 2^-5, as integer layers' do, but rounded nowhere."""

    def layer(*inputs: Tensor | None) -> Tensor:
        out: Tensor = conv(*(None if x is None else x / ACTIVATION_UNIT for x in inputs))
        return out * ACTIVATION_UNIT

    return layer
