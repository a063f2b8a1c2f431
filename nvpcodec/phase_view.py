"""What the networks of one scale say of it in one orientation.

A view holds the known phases turned, the features, and the residuals of earlier planes; what goes in and
comes out lies as the image does.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from nvpcodec.context import Neighbourhood, context_inputs, neighbourhood, normalise, pad_phase
from nvpcodec.layout import COUPLINGS
from nvpcodec.network import CouplingNetwork
from nvpcodec.orientation import Orientation


class View:
    """One scale in one orientation.

    `network` gives the network of a coupling; `handed` are the features of the coarser scale, on this scale's
    turned grid.
    """

    def __init__(
        self, orientation: Orientation, network: Callable[[int], CouplingNetwork], handed: Tensor | None
    ) -> None:
        self._orientation = orientation
        self._network_of = network
        self._features = handed
        self._padded: dict[int, Tensor] = {}

    @property
    def features(self) -> Tensor:
        """Features (1, width, h, w) of the last coupling, on the turned grid."""
        if self._features is None:
            raise ValueError("a scale needs a coupling")
        return self._features

    def show(self, phase: int, values: Tensor) -> None:
        """Values (1, 3, h, w) of a phase are known from now on."""
        turned = self._orientation.turn(values, phase)
        self._padded[self._orientation.phase(phase)] = pad_phase(turned)

    def begin(self, coupling: int) -> None:
        """Look at what is known, for the phases that the coupling changes."""
        self._surroundings = {p: neighbourhood(p, self._padded) for p in COUPLINGS[coupling]}
        self._network = self._network_of(coupling)
        context = context_inputs(list(self._surroundings.values()))
        self._features = self._network.features(context, self._features)
        self._residuals: list[Tensor] = []

    def around(self, phase: int) -> Neighbourhood:
        """Surroundings of a phase that the coupling changes, on the turned grid."""
        return self._surroundings[self._orientation.phase(phase)]

    def outputs(self, plane: int) -> dict[int, Tensor]:
        """For each phase that the coupling changes, shift and log-scale (2, h, w) of a plane."""
        known = [torch.stack(self._residuals, 2).flatten(1, 2)] if self._residuals else []
        turned = torch.stack(self._network.head(plane, self.features, *known)[0].chunk(2))
        places = {self._orientation.phase(p): i for i, p in enumerate(self._surroundings)}
        return {p: self._orientation.turn_back(turned[:, i], p) for p, i in places.items()}

    def note(self, plane: int, values: dict[int, Tensor]) -> None:
        """The plane's values, of (1, 3, h, w) for each phase that the coupling changes, are known."""
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
