"""How well images fit a model, in bits, and how far that is from what a set of images needs.

bits/dim under the model, one-sided, is a poor detector of strange images: smooth ones need few bits under any
model of photographs. The corrected score takes that into account (Serrà et al. 2020, "Input complexity and
out-of-distribution detection with likelihood-based generative models", equation 2): bits under the model less
the bits of a general coder, here the shortest of the codings without a model.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from nvpcodec.errors import InputError


@dataclass(frozen=True, slots=True)
class Score:
    """Bits of an image's colours, without alpha.

    model_id:    of the model, hexadecimal
    effort:      with which the encoder looked for linear parts
    dims:        samples
    model_bits:  -log2 p of the integer model: the theory of the file that holds them
    plain_bits:  the shortest coding without a model
    """

    model_id: str
    effort: int
    dims: int
    model_bits: float
    plain_bits: int

    @property
    def bits_per_dim(self) -> float:
        """Bits under the model for each sample."""
        return self.model_bits / self.dims

    @property
    def corrected(self) -> float:
        """The same less the bits without a model: the higher, the stranger."""
        return (self.model_bits - self.plain_bits) / self.dims


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and standard deviation of a set of numbers.

    Raises
    ------
    InputError
        They are no such numbers.
    """

    mean: float
    sd: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.mean) and math.isfinite(self.sd) and self.sd > 0):
            raise InputError(f"mean {self.mean} and deviation {self.sd} are no reference; use other images")

    def z(self, value: float) -> float:
        """How many standard deviations ``value`` lies above the mean."""
        return (value - self.mean) / self.sd


@dataclass(frozen=True, slots=True)
class Reference:
    """What the scores of a set of images are like, to compare others with."""

    model_id: str
    effort: int
    images: int
    bits_per_dim: Spread
    corrected: Spread

    @classmethod
    def of(cls, scores: Sequence[Score]) -> Reference:
        """The reference that these scores make.

        Raises
        ------
        InputError
            There are fewer than two, they are all the same, or they are of several models or efforts.
        """
        if len(scores) < 2:
            raise InputError(f"a reference needs two images or more; there are {len(scores)}")
        if len({(score.model_id, score.effort) for score in scores}) > 1:
            raise InputError("these scores are of several models or efforts; score all images alike")
        return cls(
            scores[0].model_id,
            scores[0].effort,
            len(scores),
            _spread([score.bits_per_dim for score in scores]),
            _spread([score.corrected for score in scores]),
        )

    def z(self, score: Score) -> tuple[float, float]:
        """z-scores of its bits/dim and of its corrected score.

        Raises
        ------
        InputError
            The score is of another model or effort.
        """
        if (score.model_id, score.effort) != (self.model_id, self.effort):
            raise InputError(
                f"the reference is of model {self.model_id} at effort {self.effort}, the score of "
                f"{score.model_id} at {score.effort}; make a reference with the same options"
            )
        return self.bits_per_dim.z(score.bits_per_dim), self.corrected.z(score.corrected)

    def to_json(self) -> str:
        """One JSON object."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> Reference:
        """Mirror image of ``to_json``; also takes what holds it as ``reference``.

        Raises
        ------
        InputError
            The text is no such object.
        """
        try:
            record = json.loads(text)
            record = record.get("reference", record)
            bits, corrected = (
                Spread(float(record[name]["mean"]), float(record[name]["sd"]))
                for name in ("bits_per_dim", "corrected")
            )
            return cls(str(record["model_id"]), int(record["effort"]), int(record["images"]), bits, corrected)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                "this is no reference; make one with nvpcodec score --json FOLDER > FILE"
            ) from error


def _spread(values: Sequence[float]) -> Spread:
    mean = sum(values) / len(values)
    return Spread(mean, math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1)))
