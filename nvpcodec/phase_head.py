"""What the first byte of a phase flow's payload tells.

It is the place of the chunks' growth in `recorder.GROWTHS`, with the highest bit set if a tuning comes first
on the stack, the next one if that is upright, and the third if it has gains.
"""

from dataclasses import dataclass

from nvpcodec.errors import DamagedFileError
from nvpcodec.recorder import GROWTHS
from nvpcodec.tuning import Tuning

TUNED, UPRIGHT, GAINED = 128, 64, 32


@dataclass(frozen=True)
class Head:
    """A growth, and how the tuning is, if there is one."""

    growth: int
    tuned: bool = False
    upright: bool = False
    gained: bool = False

    @classmethod
    def of(cls, first: bytes) -> "Head":
        """
        Raises
        ------
        DamagedFileError
            There is no byte, or it is reserved.
        """
        byte = first[0] if first else 0
        tuned, upright, gained = (bool(byte & flag) for flag in (TUNED, UPRIGHT, GAINED))
        growth = byte % GAINED
        if not first or growth >= len(GROWTHS) or ((upright or gained) and not tuned):
            raise DamagedFileError(
                "the payload of a region does not begin like one; get a good copy of the file"
            )
        return cls(GROWTHS[growth], tuned, upright, gained)

    def __bytes__(self) -> bytes:
        flags = TUNED * self.tuned | UPRIGHT * self.upright | GAINED * self.gained
        return bytes([GROWTHS.index(self.growth) | flags])

    @classmethod
    def with_tuning(cls, growth: int, tuning: Tuning) -> "Head":
        if not tuning.shifts:
            return cls(growth)
        return cls(growth, tuned=True, upright=tuning.upright, gained=bool(tuning.gains))
