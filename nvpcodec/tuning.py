"""Tuning: biases of all layers, shifted to suit one image and carried in its file.

A shift moves the results of one channel by as many steps, before they are clamped. Coding with shifted biases
takes the time that it takes without.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from nvpcodec.distribution import BaseTable
from nvpcodec.errors import DamagedFileError, ModelError
from nvpcodec.fixedpoint import FLOAT32_EXACT
from nvpcodec.model import LayerSpec, Model
from nvpcodec.recorder import Recorder
from nvpcodec.stack import Ints, Stack
from nvpcodec.steps import pop_around_zero, push_around_zero

SHIFTS = SHIFT_MIN, SHIFT_MAX = -128, 127
#: A step is two of the units that activations count in.
STEP_BITS = 1


@dataclass(frozen=True)
class Tuning:
    """int32 shifts (out,) of the biases of each layer, by its name, in steps.

    If `upright`, the model sees the image in no orientation that is transposed: what a tuning learns of rows
    need not hold for columns.
    """

    shifts: Mapping[str, Ints]
    upright: bool = False

    def applied(self, model: Model) -> Model:
        """The model with these biases.

        Raises
        ------
        DamagedFileError
            Sums of a layer could leave what float32 holds exactly.
        """
        tensors = dict(model.tensors)
        for name, shifts in self.shifts.items():
            unit = tensors[f"{name}.shift"].astype(np.int64) + STEP_BITS
            bias = tensors[f"{name}.bias"] + (shifts.astype(np.int64) << unit)
            if np.abs(bias).max() >= FLOAT32_EXACT:
                raise _too_large()
            tensors[f"{name}.bias"] = bias.astype(np.int32)
        try:
            return replace(model, tensors=tensors)
        except ModelError as cause:
            raise _too_large() from cause


def push_tuning(recorder: Recorder, table: BaseTable, tuning: Tuning, before: int) -> None:
    """For each level a scale index and an array of symbols around zero."""
    for names in _levels(tuning.shifts):
        shifts = np.concatenate([tuning.shifts[name] for name in names])
        push_around_zero(recorder, table, shifts, SHIFTS, before)


def pop_tuning(
    stack: Stack, table: BaseTable, layers: Iterable[LayerSpec], before: int, growth: int
) -> Tuning:
    """Mirror image of `push_tuning`."""
    outputs = {spec.name: spec.outputs for spec in layers}
    shifts: dict[str, Ints] = {}
    for names in _levels(outputs):
        ends = np.cumsum([outputs[name] for name in names])
        level = pop_around_zero(stack, table, int(ends[-1]), SHIFTS, before, growth)
        shifts |= dict(zip(names, np.split(level, ends[:-1]), strict=True))
    return Tuning(shifts)


def _levels(names: Iterable[str]) -> Iterator[list[str]]:
    """Sorted names of layers, level by level."""
    for _, of_level in groupby(sorted(names), lambda name: name.split(".")[0]):
        yield list(of_level)


def _too_large() -> DamagedFileError:
    return DamagedFileError("the tuning of a region lies out of range; get a good copy of the file")
