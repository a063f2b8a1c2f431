"""Tuning: results of all layers, moved and scaled to suit one image; carried in its file.

A shift moves the results of one channel by as many steps, before they are clamped, and a gain scales the
weights they come from. Coding with them takes the time that it takes without.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from nvpcodec.distribution import BaseTable
from nvpcodec.errors import DamagedFileError, ModelError
from nvpcodec.fixedpoint import FLOAT32_EXACT, WEIGHT_MAX
from nvpcodec.model import LayerSpec, Model
from nvpcodec.orientation import Views
from nvpcodec.recorder import Recorder
from nvpcodec.stack import Ints, Stack
from nvpcodec.steps import pop_around_zero, push_around_zero

SHIFTS = SHIFT_MIN, SHIFT_MAX = -128, 127
#: A step of a shift is two of the units that activations count in.
STEP_BITS = 1
#: From weights of nothing to nearly twice as large.
GAINS = -32, 31
#: A step of a gain is one in so many.
GAIN_UNIT = 32


@dataclass(frozen=True)
class Tuning:
    """int32 shifts and gains (out,) of each layer, by its name, in steps; older files have no gains, and a
    model as it is has neither.

    What a tuning learns of rows need not hold for columns, nor what is left be like what is right: it says in
    which `views` the model sees the image.
    """

    shifts: Mapping[str, Ints]
    gains: Mapping[str, Ints] = field(default_factory=dict)
    views: Views = Views.ALL

    def applied(self, model: Model) -> Model:
        """The model with these biases and weights.

        Raises
        ------
        DamagedFileError
            Sums of a layer could leave what float32 holds exactly.
        """
        tensors = dict(model.tensors)
        for name, shifts in self.shifts.items():
            bias = shifted_bias(model, name, shifts)
            if np.abs(bias).max() >= FLOAT32_EXACT:
                raise _too_large()
            tensors[f"{name}.bias"] = bias.astype(np.int32)
        for name, gains in self.gains.items():
            weights = scaled_weights(model, name, gains)
            tensors |= {f"{name}.weight{i}": weight.astype(np.int8) for i, weight in enumerate(weights)}
        try:
            return replace(model, tensors=tensors)
        except ModelError as cause:
            raise _too_large() from cause


UNTUNED = Tuning({})


def shifted_bias(model: Model, layer: str, shifts: Ints) -> NDArray[np.int64]:
    """int64 (out,)."""
    unit = model.tensors[f"{layer}.shift"].astype(np.int64) + STEP_BITS
    shifted: NDArray[np.int64] = model.tensors[f"{layer}.bias"] + (shifts.astype(np.int64) << unit)
    return shifted


def scaled_weights(model: Model, layer: str, gains: Ints) -> list[Ints]:
    """int32 (out, channels, k, k) for each input of the layer, rounded and clipped to the legal range."""
    factor = GAIN_UNIT + gains[:, None, None, None]
    scaled: list[Ints] = []
    while (weight := model.tensors.get(f"{layer}.weight{len(scaled)}")) is not None:
        product = weight.astype(np.int32) * factor
        scaled.append(np.clip((product + GAIN_UNIT // 2) // GAIN_UNIT, -WEIGHT_MAX, WEIGHT_MAX))
    return scaled


def push_tuning(recorder: Recorder, table: BaseTable, tuning: Tuning, before: int) -> None:
    """Shifts, then gains: for each part of the model a scale index and an array of symbols around zero."""
    for values, legal in ((tuning.shifts, SHIFTS), (tuning.gains, GAINS)):
        for names in _parts(values, is_gained=bool(tuning.gains)):
            together = np.concatenate([values[name] for name in names])
            push_around_zero(recorder, table, together, legal, before)


def pop_tuning(
    stack: Stack, table: BaseTable, layers: Iterable[LayerSpec], before: int, growth: int, is_gained: bool
) -> Tuning:
    """Mirror image of `push_tuning`."""
    outputs = {spec.name: spec.outputs for spec in layers}

    def pop(legal: tuple[int, int]) -> dict[str, Ints]:
        values: dict[str, Ints] = {}
        for names in _parts(outputs, is_gained):
            ends = np.cumsum([outputs[name] for name in names])
            together = pop_around_zero(stack, table, int(ends[-1]), legal, before, growth)
            values |= dict(zip(names, np.split(together, ends[:-1]), strict=True))
        return values

    shifts = pop(SHIFTS)
    return Tuning(shifts, pop(GAINS) if is_gained else {})


def _parts(names: Iterable[str], is_gained: bool) -> Iterator[list[str]]:
    """Sorted names of layers: coupling by coupling and phase by phase, or, without gains, level by level."""
    for _, of_part in groupby(sorted(names), lambda name: name.split(".")[: 1 + is_gained]):
        yield list(of_part)


def _too_large() -> DamagedFileError:
    return DamagedFileError("the tuning of a region lies out of range; get a good copy of the file")
