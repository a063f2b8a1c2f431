"""Flows of one model on one device, as it is and tuned, and how long a tuning is looked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nvpcodec import exact
from nvpcodec.heard import Remembered
from nvpcodec.model import Model, phase_config
from nvpcodec.orientation import Views
from nvpcodec.phase_flow import PhaseFlow, Voice
from nvpcodec.stack import Ints
from nvpcodec.tuning import Tuning

if TYPE_CHECKING:
    from nvpcodec.tuning_search import TuningSearch


@dataclass(frozen=True)
class Round:
    """Gradient steps of a search for a tuning, and the pace at which they are taken."""

    steps: int
    pace: float = 1.0


#: By effort. Linear parts are found anew after each round.
ROUNDS_OF_EFFORT: tuple[tuple[Round, ...], ...] = (
    *7 * ((),),
    (Round(40),),
    tuple(Round(30, pace) for pace in (1.0, 1.0, 0.7, 0.5, 0.35, 0.25)),
)


@dataclass(frozen=True)
class Tuner:
    """Flows of a model as it is and tuned; a tuning is looked for in these rounds."""

    model: Model
    device: torch.device
    lowering: exact.Lowering
    rounds: tuple[Round, ...]

    @cached_property
    def untuned(self) -> PhaseFlow:
        """That of the model as it is."""
        return self._flow(self.model)

    def tuned(self, tuning: Tuning, words: Sequence[Tensor] | None = None) -> PhaseFlow:
        """The flow of the model with a tuning, for an image of which the model as it is is known to have said
        these `words`, if any.

        Raises
        ------
        DamagedFileError
            The tuning makes sums too large.
        """
        beside: Voice | None = None
        if tuning.views is Views.BESIDE:
            beside = self.untuned if words is None else Remembered(words)
        return self._flow(tuning.applied(self.model), tuning.views, beside)

    def _flow(self, model: Model, views: Views = Views.ALL, beside: Voice | None = None) -> PhaseFlow:
        return PhaseFlow(phase_config(model), exact.layers(model, self.device, self.lowering), views, beside)

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

    def search(self, planes: Ints, views: Views, words: Sequence[Tensor]) -> "TuningSearch":
        """For a tuning to planes (P, H, W) in these views; of the model as it is, `words` were heard."""
        from nvpcodec.tuning_search import TuningSearch

        return TuningSearch(self.model, planes, self.device, views, words)
