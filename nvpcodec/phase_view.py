"""What the networks of one scale say of it in one orientation.

A view holds the known phases turned; what goes in and comes out lies as the image does.
"""

from dataclasses import dataclass, field
from itertools import chain

import torch
from torch import Tensor

from nvpcodec.bands import Band, by_bands
from nvpcodec.context import Neighbourhood, context_inputs, neighbourhood, normalise, pad_phase
from nvpcodec.layout import COUPLINGS, KEPT, REACH
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
        changed = COUPLINGS[coupling]
        fitted = self._orientation == ORIENTATIONS[0]

        def make(band: Band) -> list[Tensor]:
            rows = slice(band.first, band.last + 2 * REACH)
            padded = {phase: values[..., rows, :] for phase, values in self._padded.items()}
            around = [neighbourhood(phase, padded) for phase in changed]
            handed = None if self._handed is None else self._handed[..., band.seen, :]
            features = network.features(context_inputs(around), handed)
            kept = [(s.base4, s.activity, s.differences) if fitted else (s.base4, s.activity) for s in around]
            return [features, *chain.from_iterable(kept)]

        known = self._padded[KEPT]
        size = (known.shape[-2] - 2 * REACH, known.shape[-1] - 2 * REACH)
        self._handed, *kept = by_bands(known.device, size, network.reach, make)
        each = len(kept) // len(changed)
        surroundings = {
            phase: Neighbourhood(*kept[i * each : (i + 1) * each]) for i, phase in enumerate(changed)
        }
        return Look(self._orientation, network, surroundings, self._handed)


@dataclass
class Look:
    """One coupling in one orientation: surroundings and features are turned, and so are the residuals."""

    orientation: Orientation
    _network: CouplingNetwork
    _surroundings: dict[int, Neighbourhood]
    _features: Tensor
    _residuals: list[Tensor] = field(default_factory=list)

    def around(self, phase: int) -> Neighbourhood:
        """Surroundings of a phase, on the turned grid."""
        return self._surroundings[self.orientation.phase(phase)]

    def outputs(self, plane: int) -> tuple[dict[int, Tensor], Tensor]:
        """For each phase that the coupling changes, shift and log-scale (2, h, w) of a plane; and the turned
        features (1, head width, h, w) that they are read from.
        """
        known = [torch.stack(self._residuals, 2).flatten(1, 2)] if self._residuals else []
        outputs, features = self._network.head(plane, self._features, *known)
        turned = torch.stack(outputs[0].chunk(2))
        places = {self.orientation.phase(p): i for i, p in enumerate(self._surroundings)}
        said = {phase: self.orientation.turn_back(turned[:, i], phase) for phase, i in places.items()}
        return said, features

    def note(self, plane: int, values: dict[int, Tensor]) -> None:
        """A plane's values are known: it is that plane of (1, 3, h, w), for each phase."""
        turned = {self.orientation.phase(p): self.orientation.turn(x[:, plane], p) for p, x in values.items()}
        self._residuals.append(
            torch.stack(
                [
                    normalise(turned[p] * 4 - s.base4[:, plane], s.activity[:, plane])
                    for p, s in self._surroundings.items()
                ],
                1,
            )
        )
