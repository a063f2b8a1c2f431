"""The stack: pop undoes push, the accounts are right, and the words are those of a known coder."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nvpcodec.errors import DamagedFileError
from nvpcodec.stack import (
    MAX_RANGE,
    Ints,
    Stack,
    even_ranges,
    from_bytes,
    from_top,
    growing_chunks,
    to_bytes,
)
from nvpcodec.tables import MASS_TOTAL
from tests import second_decoder

RANGES = [1, 2, 3, 255, 256, 257, 65535, 65536, (1 << 24) - 1, MAX_RANGE]


def values_below(totals: Ints, seed: int) -> Ints:
    return np.random.default_rng(seed).integers(0, totals).astype(np.int32)


def filled(seed: int = 3, count: int = 50) -> Stack:
    stack = Stack()
    stack.push(values_below(np.full(count, 65536, np.int32), seed), 65536)
    return stack


@pytest.mark.parametrize("total", RANGES)
@pytest.mark.parametrize("count", [0, 1, 2, 100])
@pytest.mark.parametrize("below", [0, 50])
def test_pop_undoes_push(total: int, count: int, below: int) -> None:
    stack = filled(count=below)
    words = stack.words()
    values = values_below(np.full(count, total, np.int32), count)
    stack.push(values, total)
    assert np.array_equal(stack.pop(count, total), values)
    assert np.array_equal(stack.words(), words)


@pytest.mark.parametrize("total", RANGES)
@pytest.mark.parametrize("edge", ["first", "last"])
def test_the_ends_of_a_range(total: int, edge: str) -> None:
    stack = filled()
    words = stack.words()
    values = np.full(7, 0 if edge == "first" else total - 1, np.int32)
    stack.push(values, total)
    assert np.array_equal(stack.pop(7, total), values)
    assert np.array_equal(stack.words(), words)


@given(st.lists(st.sampled_from(RANGES), max_size=40), st.integers(0, 1000), st.integers(0, 20))
def test_pop_each_undoes_push_each(totals: list[int], seed: int, below: int) -> None:
    stack = filled(count=below)
    words = stack.words()
    ranges = np.array(totals, np.int32)
    values = values_below(ranges, seed)
    stack.push_each(values, ranges)
    assert np.array_equal(stack.pop_each(ranges), values)
    assert np.array_equal(stack.words(), words)


@given(st.lists(st.sampled_from(RANGES), max_size=40), st.integers(0, 20))
def test_push_undoes_pop(totals: list[int], below: int) -> None:
    """Also where the stack runs empty within the pops."""
    stack = filled(count=below)
    words = stack.words()
    ranges = np.array(totals, np.int32)
    stack.push_each(stack.pop_each(ranges), ranges)
    assert np.array_equal(stack.words(), words)


@given(st.integers(0, 200), st.integers(0, 300), st.integers(0, 255), st.integers(0, 1000), st.booleans())
def test_an_exchange_is_undone(count: int, before: int, growth: int, seed: int, even: bool) -> None:
    generator = np.random.default_rng(seed)
    masses = generator.integers(1, 65537, count).astype(np.int32)
    starts = generator.integers(0, 65537 - masses).astype(np.int32)
    stack = Stack(filled(count=seed % 10).words(), even=even)
    words = stack.words()
    chunks = growing_chunks(before, count, growth)
    stack.exchange(starts, masses, 65536, iter(chunks))
    for chunk in reversed(chunks):
        rest = stack.pop(chunk.stop - chunk.start, 65536) - starts[chunk]
        assert (rest >= 0).all()
        assert (rest < masses[chunk]).all()
        stack.give_back_places(rest, masses[chunk])
    assert np.array_equal(stack.words(), words)


def test_even_ranges() -> None:
    """They are what format.md says, and no larger than the masses."""
    masses = np.arange(1, MASS_TOTAL + 1, dtype=np.int32)
    ranges = even_ranges(masses)
    assert [second_decoder.even_range(int(mass)) for mass in masses] == ranges.tolist()
    assert (ranges <= masses).all()
    assert (ranges >= 1).all()
    assert np.array_equal(ranges[masses < 1024], masses[masses < 1024])


def popped_bits(ranges: Ints) -> NDArray[np.float64]:
    """Entropy of a number popped from [0, n): what it takes off the stack in the mean."""
    n = ranges.astype(np.int64)
    share = MAX_RANGE // n
    last = MAX_RANGE - (n - 1) * share
    whole: NDArray[np.float64] = -(
        (n - 1) * share * np.log2(share / MAX_RANGE) + last * np.log2(last / MAX_RANGE)
    )
    return whole / MAX_RANGE


def test_even_ranges_lose_less() -> None:
    """A mass that is taken from the stack in fewer bits than it is worth costs the rest."""
    masses = np.arange(2, MASS_TOTAL + 1, dtype=np.int32)
    worth = np.log2(masses)
    lost, lost_even = worth - popped_bits(masses), worth - popped_bits(even_ranges(masses))
    assert lost_even.max() < 0.007
    assert lost.max() > 0.025
    large = masses > MASS_TOTAL // 2
    assert lost_even[large].mean() < lost[large].mean() / 4
    assert lost_even.mean() < lost.mean() / 3


def test_a_place_beyond_an_even_range_is_refused() -> None:
    masses = np.array([500, 61733], np.int32)
    stack = Stack(filled().words(), even=True)
    stack.give_back_places(np.array([499, 61679], np.int32), masses)
    with pytest.raises(DamagedFileError, match="no encoder"):
        stack.give_back_places(np.array([499, 61680], np.int32), masses)


def test_an_empty_stack_gives_zeros_and_takes_them_back() -> None:
    stack = Stack()
    popped = stack.pop(5, 1000)
    assert popped.tolist() == [0] * 5
    assert stack.ledger.initial_bits == pytest.approx(5 * math.log2(1000))
    stack.require_empty()
    stack.push(popped, 1000)
    stack.require_empty()
    assert to_bytes(stack) == b""


def test_a_range_of_one_costs_nothing() -> None:
    stack = filled()
    words = stack.words()
    stack.push(np.zeros(9, np.int32), 1)
    stack.push_each(np.zeros(9, np.int32), np.ones(9, np.int32))
    assert stack.pop(9, 1).tolist() == [0] * 9
    assert stack.pop_each(np.ones(9, np.int32)).tolist() == [0] * 9
    assert np.array_equal(stack.words(), words)


@pytest.mark.parametrize("total", [2, 3, 256, 511, 65536, MAX_RANGE])
def test_the_ledger_is_the_size(total: int) -> None:
    stack = Stack()
    stack.push(values_below(np.full(5000, total, np.int32), 1), total)
    assert stack.ledger.content_bits == pytest.approx(5000 * math.log2(total))
    assert stack.ledger.initial_bits == 0
    # A range that does not divide 2^24 wastes what its last value gets too much.
    assert stack.bits() - stack.ledger.content_bits < 64 + 5000 * total / MAX_RANGE


def test_the_ledger_of_even_exchanges_tells_what_symbols_are_worth() -> None:
    masses = np.random.default_rng(1).integers(30_000, 65536, 20_000).astype(np.int32)
    theory = 5000 * 16 + float((16 - np.log2(masses)).sum())
    lost = {}
    for even in (False, True):
        stack = Stack(filled(count=5000).words(), even=even)
        stack.ledger.content_bits = before = stack.bits()
        stack.exchange(np.zeros(20_000, np.int32), masses, 65536, iter(growing_chunks(5000, 20_000, 16)))
        assert stack.ledger.content_bits - before == pytest.approx(theory - 5000 * 16)
        assert stack.ledger.initial_bits == 0
        lost[even] = stack.bits() - stack.ledger.content_bits
    assert 0 < lost[True] < lost[False] / 2


def test_the_ledger_of_exchanges_is_the_size() -> None:
    generator = np.random.default_rng(1)
    masses = generator.integers(2, 3000, 4000).astype(np.int32)
    stack = filled(count=200)
    stack.exchange(np.zeros(4000, np.int32), masses, 65536, iter(growing_chunks(200, 4000, 16)))
    theory = 200 * 16 + float((16 - np.log2(masses)).sum())
    assert stack.ledger.content_bits == pytest.approx(theory)
    assert stack.ledger.initial_bits == 0
    assert abs(stack.bits() - theory) < 0.002 * theory + 64


def test_known_words() -> None:
    """What constriction 0.5 writes: another coder would make all files unreadable."""
    stack = Stack()
    stack.push(np.array([1, 2, 3, 250, 77], np.int32), 251)
    stack.push_each(np.array([5, 0, 65535, 16777215], np.int32), np.array([7, 1, 65536, 1 << 24], np.int32))
    stack.exchange(np.array([10, 999], np.int32), np.array([50, 3], np.int32), 65536, iter([slice(0, 2)]))
    assert [f"{word:08x}" for word in stack.words()] == ["160149a4", "c95b05ff", "e9002d89", "0364ad03"]


@given(st.integers(0, 2000), st.integers(0, 3000), st.integers(0, 255))
def test_chunks_cover_exactly(before: int, count: int, growth: int) -> None:
    chunks = growing_chunks(before, count, growth)
    covered = [i for chunk in chunks for i in range(chunk.start, chunk.stop)]
    assert covered == list(range(count))
    for chunk in chunks:
        size = chunk.stop - chunk.start
        assert size == 1 or size <= (before + chunk.start) * growth // 64


def test_literal_chunks() -> None:
    assert [c.stop for c in growing_chunks(0, 20, 64)] == [1, 2, 4, 8, 16, 20]
    assert [c.stop for c in growing_chunks(8, 30, 32)] == [4, 10, 19, 30]
    assert [c.stop for c in growing_chunks(100, 3, 0)] == [1, 2, 3]
    assert growing_chunks(5, 0, 64) == []


@pytest.mark.parametrize("count", [0, 1, 2, 3, 50])
def test_bytes_come_back(count: int) -> None:
    stack = filled(count=count)
    again = from_bytes(to_bytes(stack))
    assert np.array_equal(again.words(), stack.words())


def test_zero_bytes_at_the_end_are_left_out() -> None:
    stack = Stack()
    stack.push(np.array([5], np.int32), 256)
    assert len(to_bytes(stack)) < 4 * len(stack.words())
    assert to_bytes(stack)[-1] != 0


@pytest.mark.parametrize("zeros", [1, 3, 4, 8])
def test_zero_bytes_at_the_end_are_refused(zeros: int) -> None:
    with pytest.raises(DamagedFileError, match="zero byte"):
        from_bytes(b"\x05\x07" + bytes(zeros))


def test_what_is_left_is_refused() -> None:
    with pytest.raises(DamagedFileError, match="after the last pixel"):
        filled(count=1).require_empty()


def read_counted(data: bytes, read_to: list[int]) -> Callable[[int, int], bytes]:
    def read(start: int, stop: int) -> bytes:
        read_to.append(stop)
        return data[start:stop]

    return read


@pytest.mark.parametrize("odd", range(4))
def test_a_stack_of_which_only_the_top_is_known(odd: int) -> None:
    """Pops and pushes give what they give on the whole stack, and no more is read than they may need."""
    generator = np.random.default_rng(odd)
    data = generator.integers(1, 256, 40_000 + odd).astype(np.uint8).tobytes()
    whole, read_to = from_bytes(data), [0]
    top = from_top(read_counted(data[::-1], read_to), len(data))
    for step in range(60):
        total = int(generator.choice([2, 72, 511, 65536, 2**24 - 1]))
        popped = top.pop(40, total)
        assert np.array_equal(popped, whole.pop(40, total))
        totals = generator.integers(1, 3000, 30).astype(np.int32)
        assert np.array_equal(top.pop_each(totals), whole.pop_each(totals))
        if step % 2:
            top.push(popped, total)
            whole.push(popped, total)
    assert max(read_to) < len(data) // 2
    assert np.array_equal(top.pop(30_000, 65536), whole.pop(30_000, 65536))
    assert max(read_to) == len(data)
    assert np.array_equal(top.words(), whole.words())


def test_a_top_that_is_a_zero_byte_is_refused() -> None:
    with pytest.raises(DamagedFileError, match="zero byte"):
        from_top(lambda start, stop: b"\0abc"[start:stop], 4).pop(1, 256)


def test_flags_own_what_the_format_says() -> None:
    """True owns the last integers of 2^24, as many as its mass: the state after one push tells."""
    for flag, state in ((False, 0), (True, 2**24 - 5)):
        stack = Stack()
        stack.push_flags(np.array([flag]), np.array([5], np.int64))
        assert stack.words().tolist() == ([state] if state else [])
        assert stack.pop_flags(np.array([5], np.int64)).tolist() == [flag]
        stack.require_empty()


def test_pop_flags_undoes_push_flags() -> None:
    generator = np.random.default_rng(6)
    masses = generator.integers(1, 2**24, 5000)
    flags = generator.random(5000) * 2**24 < masses
    stack = Stack()
    stack.push_flags(flags, masses)
    assert abs(stack.bits() - stack.ledger.content_bits) < 40
    assert np.array_equal(stack.pop_flags(masses[:2000]), flags[:2000])
    assert np.array_equal(stack.pop_flags(masses[2000:]), flags[2000:])
    assert stack.pop_flags(masses[:0]).tolist() == []
    stack.require_empty()
