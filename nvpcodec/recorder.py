"""An encoder's pushes, recorded in decode order and carried out last recorded first.

Only when all of them are known can the encoder choose how fast the chunks of its exchanges may grow.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nvpcodec.fixedpoint import COST_UNIT
from nvpcodec.stack import Ints, Stack, growing_chunks
from nvpcodec.tables import MASS_BITS, MASS_TOTAL

#: Growths that a payload can name, see `stack.growing_chunks`.
GROWTHS = (255, 192, 128, 96, 64, 48, 32, 24, 16, 12, 8, 6, 4, 3, 2, 1, 0)
#: Bits popped off an empty stack that are not worth another try, in 1/256 bit.
TOLERATED_WASTE = 48 * COST_UNIT


@dataclass(frozen=True)
class Exchange:
    """Symbols by their c and f; `before` symbols of the region are pushed earlier."""

    starts: Ints
    masses: Ints
    before: int

    def play(self, stack: Stack, growth: int) -> None:
        chunks = growing_chunks(self.before, len(self.starts), growth)
        stack.exchange(self.starts, self.masses, MASS_TOTAL, chunks)


class Recorder:
    """Takes what has to be pushed, in the order in which it will be popped."""

    def __init__(self, costs: NDArray[np.int64]) -> None:
        self._costs = costs
        self._exchanges: list[Exchange] = []
        self._records: list[Callable[[Stack, int], None]] = []

    def push(self, values: Ints, total: int) -> None:
        self._records.append(lambda stack, _: stack.push(values, total))

    def push_each(self, values: Ints, totals: Ints) -> None:
        self._records.append(lambda stack, _: stack.push_each(values, totals))

    def exchange(self, starts: Ints, masses: Ints, before: int) -> None:
        """`before` symbols of the region are pushed earlier than these."""
        self._exchanges.append(Exchange(starts, masses, before))
        self._records.append(self._exchanges[-1].play)

    def play(self, stack: Stack, growth: int) -> None:
        for record in reversed(self._records):
            record(stack, growth)

    def best_growth(self) -> int:
        """The largest growth that wastes next to nothing, or else the one that wastes least.

        Counted in integers, so that every machine chooses the same.
        """
        sums = [
            (exchange.before, np.concatenate([[0], np.cumsum(self._costs[exchange.masses])]))
            for exchange in reversed(self._exchanges)
        ]
        wastes: dict[int, int] = {}
        for growth in GROWTHS:
            wastes[growth] = _waste(sums, growth)
            if wastes[growth] <= TOLERATED_WASTE:
                return growth
        return min(GROWTHS, key=lambda growth: wastes[growth])


def _waste(sums: list[tuple[int, NDArray[np.int64]]], growth: int) -> int:
    """Bits popped from an empty stack, in 1/256 bit."""
    level, waste = 0, 0
    for before, cost in sums:
        for chunk in growing_chunks(before, len(cost) - 1, growth):
            gained = int(cost[chunk.stop] - cost[chunk.start])
            popped = MASS_BITS * COST_UNIT * (chunk.stop - chunk.start) - gained
            waste += max(0, popped - level)
            level = max(level, popped) + gained
    return waste
