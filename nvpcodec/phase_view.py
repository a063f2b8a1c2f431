"""What the networks of one scale say of it in one orientation.

A view holds the known phases turned; what goes in and comes out lies as the image does.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from nvpcodec.context import Neighbourhood, context_inputs, neighbourhood, normalise, pad_phase
from nvpcodec.layout import COUPLINGS
from nvpcodec.network import CouplingNetwork
from nvpcodec.orientation import ORIENTATIONS, Orientation


class View:
    """One scale in one orientation. `handed` are the coarser scale's features on this scale's turned grid."""

    def __init__(self, orientation: Orientation, handed: Tensor | None) -> None:
        self._orientation = orientation
        self._handed = handed
        self._padded: dict[int, Tensor] = {}

    @property
    def handed(self) -> Tensor:
        """Features (1, width, h, w) of the last coupling, on the turned grid."""
        if self._handed is None:
            raise ValueError("a scale needs a coupling")
        return self._handed

    def show(self, phase: int, values: Tensor) -> None:
        """Values (1, 3, h, w) of a phase are known from now on."""
        turned = self._orientation.turn(values, phase)
        self._padded[self._orientation.phase(phase)] = pad_phase(turned)

    def look(self, coupling: int, network: CouplingNetwork) -> "Look":
        """What is known of the phases that a coupling changes, through its network.

        Only the first orientation keeps the differences: what is fitted to them lies as the image does.
        """
        surroundings = {phase: neighbourhood(phase, self._padded) for phase in COUPLINGS[coupling]}
        self._handed = network.features(context_inputs(list(surroundings.values())), self._handed)
        if self._orientation != ORIENTATIONS[0]:
            surroundings = {phase: around.bare() for phase, around in surroundings.items()}
        return Look(self._orientation, network, surroundings, self._handed)


@dataclass
class Look:
    """One coupling in one orientation: surroundings and features are turned, and so are the residuals."""

    _orientation: Orientation
    _network: CouplingNetwork
    _surroundings: dict[int, Neighbourhood]
    _features: Tensor
    _residuals: list[Tensor] = field(default_factory=list)

    def around(self, phase: int) -> Neighbourhood:
        """Surroundings of a phase, on the turned grid."""
        return self._surroundings[self._orientation.phase(phase)]

    def outputs(self, plane: int) -> tuple[dict[int, Tensor], Tensor]:
        """For each phase that the coupling changes, shift and log-scale (2, h, w) of a plane; and the turned
        features (1, head width, h, w) that they are read from.
        """
        known = [torch.stack(self._residuals, 2).flatten(1, 2)] if self._residuals else []
        outputs, features = self._network.head(plane, self._features, *known)
        turned = torch.stack(outputs[0].chunk(2))
        places = {self._orientation.phase(p): i for i, p in enumerate(self._surroundings)}
        said = {phase: self._orientation.turn_back(turned[:, i], phase) for phase, i in places.items()}
        return said, features

    def note(self, plane: int, values: dict[int, Tensor]) -> None:
        """A plane's values are known: it is that plane of (1, 3, h, w), for each phase."""
        turned = {
            self._orientation.phase(p): self._orientation.turn(x[:, plane], p) for p, x in values.items()
        }
        self._residuals.append(
            torch.stack(
                [
                    normalise(turned[p] * 4 - s.base4[:, plane], s.activity[:, plane])
                    for p, s in self._surroundings.items()
                ],
                1,
            )
        )
