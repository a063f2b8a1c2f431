"""Flows of one model on one device, as it is and tuned, and how long a tuning is looked for."""

from dataclasses import dataclass

import torch

from nvpcodec import exact
from nvpcodec.model import Model, phase_config
from nvpcodec.moves import Moves
from nvpcodec.orientation import Views, orientations
from nvpcodec.phase_flow import PhaseFlow
from nvpcodec.stack import Ints
from nvpcodec.tuning import UNTUNED, Tuning

#: Gradient steps of a tuning, by effort, in rounds: linear parts are found anew after each.
TUNING_STEPS_OF_EFFORT: tuple[tuple[int, ...], ...] = (*7 * ((),), (40,), (60, 60, 60))


@dataclass(frozen=True)
class Tuner:
    """Flows of a model as it is and tuned; a search for a tuning takes so many steps in each round."""

    model: Model
    device: torch.device
    lowering: exact.Lowering
    steps: tuple[int, ...]

    def flow(self, tuning: Tuning = UNTUNED) -> PhaseFlow:
        """
        Raises
        ------
        DamagedFileError
            The tuning makes sums too large.
        """
        model = tuning.applied(self.model) if tuning.shifts else self.model
        layers = exact.layers(model, self.device, self.lowering)
        return PhaseFlow(phase_config(model), layers, tuning.views)

    def is_for(self, planes: Ints) -> bool:
        """Whether a tuning to planes (P, H, W) is worth a search."""
        if not self.steps:
            return False
        from nvpcodec import tuning_search

        return tuning_search.can_be_tuned(planes)

    def views(self) -> tuple[Views, ...]:
        """Those that differ to the model."""
        count = phase_config(self.model).orientations
        return tuple({orientations(count, views): views for views in reversed(Views)}.values())

    def find(self, planes: Ints, steps: int, moves: Moves, start: Tuning) -> Tuning:
        """One that suits planes (P, H, W) better than `start`, in its views, beside linear parts that make
        `moves`.
        """
        from nvpcodec import tuning_search

        return tuning_search.find_tuning(self.model, planes, self.device, steps, moves, start)
