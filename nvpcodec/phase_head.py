"""What the first byte of a phase flow's payload tells.

Its five low bits are the place of the chunks' growth in `recorder.GROWTHS`; if exchanges are even, the length
of that is added. The three high ones tell whether a tuning comes first on the stack, whether it has gains,
and in which views the model sees the image.
"""

from dataclasses import dataclass

from nvpcodec.errors import DamagedFileError
from nvpcodec.orientation import Views
from nvpcodec.recorder import GROWTHS
from nvpcodec.tuning import Tuning


@dataclass(frozen=True)
class Tuned:
    """How a tuning is."""

    views: Views
    gained: bool = True


#: By the three high bits; what is missing is reserved. Encoders no longer write tunings that have no gains.
KINDS = {
    0: None,
    1: Tuned(Views.ONE),
    2: Tuned(Views.BESIDE),
    4: Tuned(Views.ALL, gained=False),
    5: Tuned(Views.ALL),
    6: Tuned(Views.UPRIGHT, gained=False),
    7: Tuned(Views.UPRIGHT),
}
KIND_UNIT = 32
#: Those that leave room for being even; with slower ones there are too few symbols to care.
EVEN_GROWTHS = GROWTHS[: KIND_UNIT - len(GROWTHS)]


@dataclass(frozen=True)
class Head:
    """A growth, whether exchanges are `even` (see `Stack`), and how the tuning is, if there is one."""

    growth: int
    even: bool
    tuned: Tuned | None = None

    @classmethod
    def of(cls, first: bytes) -> "Head":
        """
        Raises
        ------
        DamagedFileError
            There is no byte, or it is reserved.
        """
        kind, place = divmod(first[0], KIND_UNIT) if first else (None, 0)
        if kind not in KINDS:
            raise DamagedFileError(
                "the payload of a region does not begin like one; get a good copy of the file"
            )
        even, growth = divmod(place, len(GROWTHS))
        return cls(GROWTHS[growth], bool(even), KINDS[kind])

    def __bytes__(self) -> bytes:
        kind = next(kind for kind, tuned in KINDS.items() if tuned == self.tuned)
        return bytes([kind * KIND_UNIT + self.even * len(GROWTHS) + GROWTHS.index(self.growth)])

    @classmethod
    def with_tuning(cls, growth: int, tuning: Tuning) -> "Head":
        """Even, if it can be."""
        tuned = Tuned(tuning.views, gained=bool(tuning.gains)) if tuning.shifts else None
        return cls(growth, growth in EVEN_GROWTHS, tuned)
