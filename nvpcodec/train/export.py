"""From a trained phase model to the integer model that codes."""

from dataclasses import replace

import numpy as np
from torch import Tensor, nn

from nvpcodec.model import Model
from nvpcodec.phase_model import PhaseModel
from nvpcodec.train.base_table import base_table, logistic
from nvpcodec.train.quantize import integer_layers
from nvpcodec.train.shapes import fit_shapes


def export_phase(trained: nn.Module, images: list[Tensor]) -> Model:
    """The integer model of the present weights; its base distribution is fitted to planes (3, H, W) of
    training images.

    Raises
    ------
    ModelError
        A layer's sums cannot be kept in the exact range.
    """
    if not isinstance(trained, PhaseModel):
        raise TypeError("only a phase model is exported here")
    draft = draft_phase(trained)
    shapes = fit_shapes(draft, [image.numpy().astype(np.int32) for image in images])
    return replace(draft, tensors={**draft.tensors, "base": base_table(shapes.cumulative)})


def draft_phase(trained: PhaseModel) -> Model:
    """The integer model of the present weights, its base distribution a plain logistic.

    Raises
    ------
    ModelError
        A layer's sums cannot be kept in the exact range.
    """
    tensors = integer_layers(trained.config.layers(), trained.layer)
    return Model("phase", trained.config, tensors | {"base": base_table(logistic)})
