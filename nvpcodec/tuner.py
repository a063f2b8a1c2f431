"""Flows of one model on one device, as it is and tuned, and how long a tuning is looked for."""

from dataclasses import dataclass

import torch

from nvpcodec import exact
from nvpcodec.heard import Heard
from nvpcodec.model import Model, phase_config
from nvpcodec.orientation import Views
from nvpcodec.phase_flow import PhaseFlow
from nvpcodec.stack import Ints
from nvpcodec.tuning import UNTUNED, Tuning


@dataclass(frozen=True)
class Round:
    """Gradient steps of a search for a tuning, and the pace at which they are taken."""

    steps: int
    pace: float = 1.0


#: By effort. Linear parts are found anew after each round.
ROUNDS_OF_EFFORT: tuple[tuple[Round, ...], ...] = (
    *7 * ((),),
    (Round(40),),
    (Round(60), Round(60, 0.5), Round(60, 0.25)),
)


@dataclass(frozen=True)
class Tuner:
    """Flows of a model as it is and tuned; a tuning is looked for in these rounds."""

    model: Model
    device: torch.device
    lowering: exact.Lowering
    rounds: tuple[Round, ...]

    def flow(self, tuning: Tuning = UNTUNED) -> PhaseFlow:
        """
        Raises
        ------
        DamagedFileError
            The tuning makes sums too large.
        """
        model = tuning.applied(self.model) if tuning.shifts else self.model
        layers = exact.layers(model, self.device, self.lowering)
        beside = self.flow() if tuning.views is Views.BESIDE else None
        return PhaseFlow(phase_config(model), layers, tuning.views, beside)

    def is_for(self, planes: Ints) -> bool:
        """Whether a tuning to planes (P, H, W) is worth a search."""
        if not self.rounds:
            return False
        from nvpcodec import tuning_search

        return tuning_search.can_be_tuned(planes)

    @property
    def views(self) -> tuple[Views, ...]:
        """Those in which a tuning is looked for. A model that takes the time for several orientations can as
        well stay as it is beside the tuned one.
        """
        return (Views.ALL, Views.BESIDE) if phase_config(self.model).orientations > 1 else (Views.ALL,)

    def find(self, planes: Ints, of_round: Round, heard: Heard, start: Tuning) -> Tuning:
        """One that suits planes (P, H, W) better than `start`, in its views, beside what was heard."""
        from nvpcodec import tuning_search

        steps, pace = of_round.steps, of_round.pace
        return tuning_search.find_tuning(self.model, planes, self.device, steps, pace, heard, start)
