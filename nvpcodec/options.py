"""What a caller may choose; no heavy imports, so that the command line can offer the defaults at once."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from nvpcodec.errors import DeviceError, InputError

DEVICES = ("auto", "cpu", "cuda")
DEVICE_VARIABLE = "NVPCODEC_DEVICE"
DEFAULT_MODEL = "fast"
EFFORTS = (1, 9)
DEFAULT_EFFORT = 5
DEFAULT_MAX_PIXELS = 2**28 // 3
MAX_CHANNELS = 4


def device_from_environment() -> str:
    """The device named by ``NVPCODEC_DEVICE``, or ``auto``."""
    return os.environ.get(DEVICE_VARIABLE) or "auto"


@dataclass(frozen=True, slots=True)
class Options:
    """How to encode or decode; the defaults are right for most.

    Parameters
    ----------
    model
        The flow to encode with: ``"fast"``, ``"best"``, ``"realnvp"``, or the path of a weights file.  A file
        names the model it was coded with, so decoding needs this only for a model that is not in the package.
    device
        ``"auto"``, ``"cpu"`` or ``"cuda"``; it changes the speed and, at efforts 1 to 7, never the bytes.
        Left out, it is what the environment variable ``NVPCODEC_DEVICE`` says.
    effort
        1 to 9: how long the encoder looks for linear parts that suit the image; 1 to 3 look for none, 6 to 9
        again and again.  8 and 9 tune the model to the image as well, by gradients: that takes a minute or
        more a region, and another machine may find another, equally exact, file.  Decoding takes the same
        time for all.
    max_pixels
        Images of more pixels are refused before memory is taken for them.

    Raises
    ------
    InputError
        ``model`` is empty, ``effort`` is not 1 to 9, or ``max_pixels`` is below 1.
    DeviceError
        ``device`` is none of the three.
    """

    model: str = DEFAULT_MODEL
    device: str = field(default_factory=device_from_environment)
    max_pixels: int = DEFAULT_MAX_PIXELS
    effort: int = DEFAULT_EFFORT

    def __post_init__(self) -> None:
        if not self.model:
            raise InputError("the model's name is empty; use fast, best or the path of a weights file")
        if self.device not in DEVICES:
            raise DeviceError(f"there is no device {self.device!r}; choose one of {', '.join(DEVICES)}")
        if not EFFORTS[0] <= self.effort <= EFFORTS[1]:
            raise InputError(f"the effort is {self.effort}; it must be {EFFORTS[0]} to {EFFORTS[1]}")
        if self.max_pixels < 1:
            raise InputError(f"the pixel limit is {self.max_pixels}; it must be 1 or more")

    @property
    def max_samples(self) -> int:
        """The pixel limit in samples: every kind of image within ``max_pixels`` has at most so many."""
        return MAX_CHANNELS * self.max_pixels
