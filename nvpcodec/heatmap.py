"""Where in an image the bits go: what each pixel costs, and what each scale does.

The cost of a pixel is the sum of -log2 p over its planes as the model has it. Together with what belongs to
no pixel (fitted coefficients, initial bits, rounding of the coder) it is the size of the coded regions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nvpcodec import codec, container
from nvpcodec.codec import Progress, RegionCoder, unheard
from nvpcodec.errors import InputError
from nvpcodec.layout import scale_sizes
from nvpcodec.options import DEFAULT_MODEL, Options
from nvpcodec.phase_coder import PhaseCoder
from nvpcodec.phase_flow import Prediction
from nvpcodec.pixels import Image, Samples
from nvpcodec.regions import cut
from nvpcodec.report import Accounts
from nvpcodec.stack import Ints
from nvpcodec.tables import LEGAL


@dataclass(frozen=True)
class Heatmap:
    """Bits of an image's regions: 8 * payload bytes = sum of `scale_bits` + shared_bits + unplaced_bits.

    bits:          float32 (H, W), what each pixel costs, shared bits included
    scale_bits:    bits of the pixels that each scale adds, the finest first; scale k has the pixels in rows
                   and columns that are multiples of 2^k. Empty if no region uses a flow
    shared_bits:   plainly coded regions and alpha, shared by the pixels of a region alike
    unplaced_bits: what belongs to no pixel
    """

    bits: NDArray[np.float32]
    scale_bits: tuple[float, ...]
    shared_bits: float
    unplaced_bits: float

    def scale(self, number: int) -> NDArray[np.float32]:
        """Map of one scale: mean bits of the pixels that it adds, for each 2x2 block of its pixels.

        float32 (h, w), half the scale's size, rounded up.
        """
        step = 1 << number
        bits = self.bits[::step, ::step]
        height, width = (bits.shape[0] + 1) // 2, (bits.shape[1] + 1) // 2
        total, count = np.zeros((height, width)), np.zeros((height, width))
        for down, right in ((0, 1), (1, 0), (1, 1)):
            phase = bits[down::2, right::2]
            total[: phase.shape[0], : phase.shape[1]] += phase
            count[: phase.shape[0], : phase.shape[1]] += 1
        return (total / np.maximum(count, 1)).astype(np.float32)


def heatmap(image: Image, options: Options, progress: Progress = unheard) -> Heatmap:
    """Encode `image` and tell where the bits went.

    Raises
    ------
    InputError
        The model codes no pixel by itself, so that none has a cost of its own.
    ModelError, DeviceError
        The model or the device of the options cannot be used.
    """
    height, width = image.samples.shape[:2]
    bits = np.zeros((height, width), np.float32)
    regions = list(cut(height, width, *codec.cell_size(image.samples)))
    scales: list[float] = []
    shared = unplaced = 0.0
    for done, region in enumerate(regions, 1):
        found = _region(image.samples[region.window].copy(), image, options)
        bits[region.window] = found.bits
        scales += [0.0] * (len(found.scale_bits) - len(scales))
        for number, scale_bits in enumerate(found.scale_bits):
            scales[number] += scale_bits
        shared += found.shared_bits
        unplaced += found.unplaced_bits
        progress(done, len(regions))
    return Heatmap(bits, tuple(scales), shared, unplaced)


def _region(samples: Samples, image: Image, options: Options) -> Heatmap:
    """The map of one region's samples (h, w, c)."""
    height, width, _ = samples.shape
    ledger = _Ledger(height, width)

    def flow() -> tuple[container.RegionPart, Accounts]:
        return codec.encode_flow(samples, image.kind, _Noting(codec.coder_of(options), ledger, options.model))

    part, accounts = codec.smallest_part(samples, image.kind, image.bit_depth, flow)
    if part.mode not in container.MODEL_MODES:
        even = np.full((height, width), 8 * len(part.payload) / (height * width))
        return Heatmap(even.astype(np.float32), (), 8.0 * len(part.payload), 0.0)
    shared = 8 * len(part.payload) - accounts.stack_bits - ledger.own_side_bits
    bits = (ledger.bits + shared / (height * width)).astype(np.float32)
    unplaced = 8 * len(part.payload) - shared - sum(ledger.scale_bits)
    return Heatmap(bits, tuple(ledger.scale_bits), float(shared), unplaced)


@dataclass
class _Ledger:
    """Costs of one region's pixels, as they are coded."""

    height: int
    width: int
    bits: NDArray[np.float64] = field(init=False)
    scale_bits: list[float] = field(init=False)
    own_side_bits: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.bits = np.zeros((self.height, self.width))
        self.scale_bits = [0.0] * len(scale_sizes(self.height, self.width))

    def note(self, prediction: Prediction, bits: NDArray[np.float64]) -> None:
        step = 2 << prediction.level
        top, left = (prediction.phase // 2) * step // 2, (prediction.phase % 2) * step // 2
        self.bits[top::step, left::step] += bits.reshape(prediction.mean.shape)
        self.scale_bits[prediction.level] += float(bits.sum())

    def note_coarsest(self, legal: Sequence[tuple[int, int]]) -> None:
        """The coarsest scale: each value is as likely as any other."""
        step = 1 << (len(self.scale_bits) - 1)
        pixels = self.bits[::step, ::step]
        each = sum(float(np.log2(high - low + 1)) for low, high in legal)
        pixels += each
        self.scale_bits[-1] += each * pixels.size


class _Noting:
    """A coder whose costs go to a ledger."""

    coarse_first = True

    def __init__(self, coder: RegionCoder, ledger: _Ledger, model: str) -> None:
        if not isinstance(coder, PhaseCoder):
            raise InputError(
                f"the model {model!r} codes all pixels of a region together, so that none has bits of its"
                f" own; choose {DEFAULT_MODEL!r}"
            )
        self._coder = coder
        self._ledger = ledger

    def encode(self, planes: Ints) -> tuple[bytes, Accounts]:
        payload, accounts = self._coder.encode(planes, costs=self._ledger.note)
        self._ledger.note_coarsest(LEGAL[: len(planes)])
        self._ledger.own_side_bits = accounts.side_bits
        return payload, accounts
