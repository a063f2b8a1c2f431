"""The stack: push, pop, and the exchange in growing chunks. The only user of constriction.

Symbols are uniform integers and nothing else, coded by asymmetric numeral systems (Duda 2009) in
constriction's `AnsCoder`: 32-bit words, a 64-bit state, 24-bit probabilities.

The stack starts empty. A pop from an empty stack gives zeros, and a push of what was popped gives the empty
stack back, so nothing can underflow; what such a pop asked for beyond the bits that were there is lost, and
counted as initial bits (Townsend et al. 2019, "Practical lossless compression with latent variables using
bits back coding").
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache

import constriction
import numpy as np
from numpy.typing import NDArray

from nvpcodec.errors import DamagedFileError
from nvpcodec.tables import MASS_TOTAL

Ints = NDArray[np.int32]

#: Largest range of one symbol; constriction's probabilities have 24 bits.
FLAG_BITS = 24
MAX_RANGE = 1 << FLAG_BITS

WORD_BITS = 32
#: While the state holds 33 bits no pop has missed a word.
SPARE_BITS = 64
#: What rounding may take of the stack at each pop: 1 bit and log2(1 + 2^-8).
LOST_BITS = 1.01
#: Fewest words that are fetched at once.
FETCHED_WORDS = 1024

_UNIFORM = constriction.stream.model.Uniform()
#: False owns the first 2^24 - mass integers, True the rest; masses of 2^24 are exact as floats.
_FLAG = constriction.stream.model.Bernoulli(perfect=True)


@dataclass
class Ledger:
    """What the pushes of one encoding were worth, less what its pops took back, in bits."""

    content_bits: float = 0.0
    initial_bits: float = 0.0


#: The words that lie under those fetched so far, the top last: at least so many, or all that there are.
Fetch = Callable[[int], NDArray[np.uint32]]


class Stack:
    """Last in, first out. Ranges lie in 1 ... 2^24; a symbol of range 1 costs nothing and is not coded.

    With `fetch`, the stack knows its top only and has the words below brought before a pop can need them.
    All pops give what they would give on the whole stack.

    With `even`, exchanges pop from ranges that 2^24 divides into more even shares, see `even_ranges`.
    """

    def __init__(
        self, words: NDArray[np.uint32] | None = None, fetch: Fetch | None = None, *, even: bool = False
    ) -> None:
        self._coder = (
            constriction.stream.stack.AnsCoder(words) if words is not None and len(words) else _empty()
        )
        self._fetch = fetch
        self._fetched = 0
        self._even = even
        self.ledger = Ledger()

    def push(self, values: Ints, total: int) -> None:
        """Push values in [0, total), the last one first, so that pop returns them in order."""
        self.ledger.content_bits += math.log2(total) * len(values)
        if total > 1 and len(values):
            self._coder.encode_reverse(values, constriction.stream.model.Uniform(total))

    def pop(self, count: int, total: int) -> Ints:
        """Mirror image of `push`."""
        if total == 1 or not count:
            return np.zeros(count, np.int32)
        self._account_for_pop(math.log2(total) * count, count)
        values: Ints = self._coder.decode(constriction.stream.model.Uniform(total), count)
        return values

    def push_each(self, values: Ints, totals: Ints) -> None:
        """Push values[i] in [0, totals[i]), the last one first."""
        coded = totals > 1
        self.ledger.content_bits += float(np.log2(totals).sum())
        if coded.any():
            self._coder.encode_reverse(values[coded], _UNIFORM, totals[coded])

    def pop_each(self, totals: Ints) -> Ints:
        """Mirror image of `push_each`."""
        values = np.zeros(len(totals), np.int32)
        coded = totals > 1
        if coded.any():
            self._account_for_pop(float(np.log2(totals).sum()), len(totals))
            values[coded] = self._coder.decode(_UNIFORM, totals[coded])
        return values

    def take_places(self, masses: Ints) -> Ints:
        """Pop a place in each of these intervals of `masses` integers, at most 2^16 each."""
        if not self._even:
            return self.pop_each(masses)
        ranges = even_ranges(masses)
        # A place that is never taken is a loss of the coder, not a part of what is coded.
        self.ledger.content_bits -= float(np.log2(masses / ranges).sum())
        return self.pop_each(ranges)

    def give_back_places(self, places: Ints, masses: Ints) -> None:
        """Mirror image of `take_places`.

        Raises
        ------
        DamagedFileError
            `take_places` gives no such places.
        """
        ranges = even_ranges(masses) if self._even else masses
        if (places >= ranges).any():
            raise DamagedFileError("a symbol lies where no encoder puts one; get a good copy of the file")
        self.push_each(places, ranges)

    def push_flags(self, flags: NDArray[np.bool_], masses: NDArray[np.int64]) -> None:
        """Push flags, the last one first; each is True with masses[i], 1 to 2^24 - 1, of `MAX_RANGE`."""
        if len(flags):
            own = np.where(flags, masses, MAX_RANGE - masses)
            self.ledger.content_bits += float((FLAG_BITS - np.log2(own)).sum())
            self._coder.encode_reverse(flags.astype(np.int32), _FLAG, masses / MAX_RANGE)

    def pop_flags(self, masses: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Mirror image of `push_flags`."""
        if not len(masses):
            return np.zeros(0, np.bool_)
        self._bring((FLAG_BITS + LOST_BITS) * len(masses) + SPARE_BITS)
        flags: NDArray[np.bool_] = self._coder.decode(_FLAG, masses / MAX_RANGE).astype(np.bool_)
        return flags

    def exchange(self, starts: Ints, masses: Ints, total: int, chunks: Iterable[slice]) -> None:
        """Bits-back: pop r from [0, mass), push start + r in [0, total), chunk by chunk.

        Costs log2(total / mass) bits a symbol.
        """
        for chunk in chunks:
            self.push(starts[chunk] + self.take_places(masses[chunk]), total)

    def _account_for_pop(self, wanted: float, count: int) -> None:
        """Popping takes its bits off what the encoding is worth; those that are not there are initial
        bits.
        """
        # Shares of 2^24 are rounded down, and so is the state, which is 2^32 or more: a symbol may take more
        # bits than its range says.
        self._bring(wanted + LOST_BITS * count + SPARE_BITS)
        self.ledger.initial_bits += max(0.0, wanted - self.bits())
        self.ledger.content_bits -= wanted

    def _bring(self, bits: float) -> None:
        """Fetch until so many bits are here, or everything is."""
        while self._fetch is not None and self.bits() < bits:
            missing = math.ceil((bits - self.bits()) / WORD_BITS)
            words = self._fetch(max(missing, FETCHED_WORDS, self._fetched // 2))
            self._fetched += len(words)
            if not len(words):
                self._fetch = None
            else:
                words = np.concatenate([words, self.words()])
                self._coder = constriction.stream.stack.AnsCoder(words)

    def bits(self) -> int:
        """Bits on the stack, of what is here of it."""
        return int(self._coder.num_valid_bits())

    def words(self) -> NDArray[np.uint32]:
        """The stack as it goes into a file: the top is the end."""
        words: NDArray[np.uint32] = self._coder.get_compressed()
        return words

    def require_empty(self) -> None:
        """Every pop has undone its push, so that what was the empty stack is empty again.

        Raises
        ------
        DamagedFileError
            Something is left.
        """
        if not self._coder.is_empty():
            raise DamagedFileError("the coded data goes on after the last pixel; get a good copy of the file")


def even_ranges(masses: Ints) -> Ints:
    """For each mass, 1 to 2^16, the range that an exchange may pop from instead.

    Numbers in [0, mass) have equal shares of 2^24, and the last has the rest beside its own. For large masses
    the rest is many shares, and an exchange loses up to a fortieth of a bit to it. A range that is somewhat
    smaller than the mass leaves less than a share; it is taken where it loses less by being smaller.
    """
    ranges: Ints = _even_ranges()[masses]
    return ranges


@cache
def _even_ranges() -> Ints:
    """Of all masses from 0, of which none is, to 2^16."""
    masses = np.arange(1, MASS_TOTAL + 1, dtype=np.int64)
    share, rest = np.divmod(MAX_RANGE, masses)
    smaller = np.where(rest > 0, MAX_RANGE // (share + 1), masses)
    ranges = np.where(2 * rest * masses > (masses - smaller) * MAX_RANGE, smaller, masses)
    return np.concatenate([[0], ranges]).astype(np.int32)


def from_bytes(data: bytes, *, even: bool = False) -> Stack:
    """The stack that `to_bytes` wrote.

    Raises
    ------
    DamagedFileError
        The data ends in a zero byte, which no stack does.
    """
    if data.endswith(b"\0"):
        raise DamagedFileError("the coded data ends in a zero byte; get a good copy of the file")
    padded = data + bytes(-len(data) % 4)
    return Stack(np.frombuffer(padded, "<u4").astype(np.uint32), even=even)


def to_bytes(stack: Stack) -> bytes:
    """Little-endian words without the zero bytes at the end."""
    return stack.words().astype("<u4").tobytes().rstrip(b"\0")


def from_top(read: Callable[[int, int], bytes], length: int, *, even: bool = False) -> Stack:
    """The stack of `length` bytes whose reversed bytes are read(0, length), read as far as pops need them.

    Raises
    ------
    DamagedFileError
        Now or at a pop: as for `from_bytes`.
    """
    at = 0

    def fetch(count: int) -> NDArray[np.uint32]:
        nonlocal at
        if at == length:
            return np.zeros(0, np.uint32)
        # The bytes of the top word that are zero are not in the file.
        padding = -length % 4 if at == 0 else 0
        end = min(length, at + 4 * count - padding)
        data = read(at, end)
        if at == 0 and data.startswith(b"\0"):
            raise DamagedFileError("the coded data begins with a zero byte; get a good copy of the file")
        at = end
        return np.frombuffer(data[::-1] + bytes(padding), "<u4").astype(np.uint32)

    return Stack(fetch=fetch, even=even)


def growing_chunks(before: int, count: int, growth: int) -> list[slice]:
    """Cut `count` symbols into chunks, given that `before` symbols of the same stack were pushed earlier.

    A chunk holds at most `growth` 64ths of what lies below it, and at least one symbol.
    """
    chunks, done = [], 0
    while done < count:
        size = min(count - done, max(1, (before + done) * growth // 64))
        chunks.append(slice(done, done + size))
        done += size
    return chunks


def _empty() -> "constriction.stream.stack.AnsCoder":
    return constriction.stream.stack.AnsCoder()
