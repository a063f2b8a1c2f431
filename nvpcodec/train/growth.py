"""A larger model that begins as a smaller one (function-preserving growth; Chen et al. 2016, Net2Net).

New inputs of old outputs weigh nothing and new blocks add nothing, so the larger network computes what the
smaller one did; new outputs start random and are there to be used.
"""

from collections.abc import Mapping

from torch import Tensor, nn

from nvpcodec.errors import InputError


def grown(weights: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """State of `model`, freshly initialised, that computes what the smaller model with `weights` does.

    Raises
    ------
    InputError
        The weights have a tensor that the model lacks, or a larger one.
    """
    state = {name: fresh.detach().clone() for name, fresh in model.state_dict().items()}
    for name, weight in weights.items():
        if name not in state or any(a > b for a, b in zip(weight.shape, state[name].shape, strict=True)):
            raise InputError(f"training cannot begin with these weights: {name} has no place in the model")
        rows = state[name][: len(weight)]
        rows.zero_()
        rows[tuple(slice(n) for n in weight.shape)] = weight
    return state
