"""From a trained phase model to the integer model that codes."""

from nvpcodec.model import Model
from nvpcodec.train.base_table import Cumulative, base_table, logistic
from nvpcodec.train.phase_model import PhaseModel
from nvpcodec.train.quantize import integer_layer


def export(trained: PhaseModel, cumulative: Cumulative = logistic) -> Model:
    """The integer model of the present weights.

    Raises
    ------
    ModelError
        A layer's sums cannot be kept in the exact range.
    """
    tensors = {"base": base_table(cumulative)}
    for spec in trained.config.layers():
        tensors |= integer_layer(spec.name, trained.layer(spec.name))
    return Model("phase", trained.config, tensors)
