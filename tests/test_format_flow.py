"""The numbers and examples of the flow's sections in docs/format.md are those of the program."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pytest

from nvpcodec import (
    container,
    coupling_flow,
    coupling_layout,
    fit,
    layout,
    model,
    recorder,
    regions,
    stack,
    steps,
    tables,
)
from nvpcodec.distribution import BaseTable, Distribution
from nvpcodec.pixels import Kind
from nvpcodec.stack import Stack
from tests import second_decoder
from tests.test_format_text import TEXT, hex_of
from tests.test_second_decoder import flow_part, in_mode, phase_model

FLOW_TEXT = TEXT[TEXT.index("\n## Flow payload\n") :]
#: However its lines are broken.
WORDS = " ".join(FLOW_TEXT.split())


def numbers(title: str) -> list[int]:
    """The numbers in the indented lines under a line that holds nothing but the title."""
    (block,) = re.findall(rf"^ +{re.escape(title)}\n((?: +[-(\d].*\n)+)", FLOW_TEXT, re.MULTILINE)
    return [int(number) for number in re.findall(r"-?\d+", block)]


@pytest.mark.parametrize(
    ("title", "entries", "second"),
    [
        ("growths", recorder.GROWTHS, second_decoder.GROWTHS),
        ("radius", tables.SCALE_RADIUS, second_decoder.RADIUS),
        ("fineness", tables.SCALE_FINENESS, second_decoder.FINENESS),
        ("misses", steps.MISS_MASSES, second_decoder.MISSES),
        ("thresholds", tables.ACTIVITY_THRESHOLDS, second_decoder.THRESHOLDS),
        ("reciprocal", tables.ACTIVITY_RECIPROCAL, second_decoder.RECIPROCAL),
        ("factor", tables.ACTIVITY_FACTOR, second_decoder.FACTOR),
        ("inverse", tables.INNOVATION_FACTOR, second_decoder.INVERSE),
        ("breadth", tables.REFINEMENT_FACTOR, second_decoder.BREADTH),
    ],
)
def test_tables_are_those_of_the_program(title: str, entries: tuple[int, ...], second: Sequence[int]) -> None:
    assert numbers(title) == list(entries) == list(second)


@pytest.mark.parametrize(("title", "phases"), [("taps of phase 3", (3,)), ("taps of phases 1 and 2", (1, 2))])
def test_taps_are_those_of_the_program(title: str, phases: tuple[int, ...]) -> None:
    flat = numbers(title)
    offsets = list(zip(flat[::2], flat[1::2], strict=True))
    for phase in phases:
        assert tuple(layout._tap(phase, *offset) for offset in offsets) == layout.NEIGHBOURHOOD[phase]


@pytest.mark.parametrize(
    ("sentence", "holds"),
    [
        ("with 2 <= n <= 2^24", stack.MAX_RANGE == 2**24),
        (f": {sum(tables.base_lengths())} entries", True),
        ("with at most 16 pixels is the *coarsest*", layout.COARSEST_PIXELS == 16),
        ("*certain* if s <= 14", steps.CERTAIN_SCALE == 14),
        ("a mass of at least 63488", steps.CERTAIN_MASS == 63488),
        ("the first 64 form a group", steps.GROUP == 64),
        ("has 4096 pixels or more", fit.FIT_PIXELS == 4096),
        ("whose grid has 256 blocks or more", layout.REFINED_BLOCKS == 256),
        (
            "* inverse[s] + 1024) >> 11, −192, 192)",
            (tables.INNOVATION_FACTOR_BITS, tables.INNOVATION_MAX) == (11, 192),
        ),
        ("* breadth[s] + 2048) >> 12)", tables.REFINEMENT_FACTOR_BITS == 12),
        ("a channel of 32s, then the innovations", tables.ACTIVATION_UNIT == 32),
        ("MUST be at most 8224", fit.MAX_COEFFICIENT_SUM == 8224),
        ("legal values −512 to 511", (fit.COEFFICIENT_MIN, fit.COEFFICIENT_MAX) == (-512, 511)),
        (
            "a list of 12 numbers from [0, 16), each a correction plus 8",
            (fit.BUCKETS, fit.CORRECTIONS, fit.CORRECTION_MIN) == (12, 16, -8),
        ),
        ("0 to 23 |", model.MAX_SHIFT == 23),
        ("where k, from 0 to 4, is", model.MAX_DEQUANT_BITS == 4),
        ("`scale_bits`, from 1 to 12, is b", model.MAX_SCALE_BITS == 12),
        (
            "from 2 to 2^16, of `base_mean` from −2^20 to 2^20",
            (model.MAX_SCALE_NUM, model.MAX_BASE_MEAN) == (2**16, 2**20),
        ),
        (
            "The legal values are −2^23 to 2^23 − 1",
            (coupling_flow.LATENT_LOW, coupling_flow.LATENT_HIGH) == (-(2**23), 2**23 - 1),
        ),
        (
            "`max(4, before div 48)`",
            (coupling_flow.SMALLEST_CHUNK, coupling_flow.SYMBOLS_BELOW) == (4, 48),
        ),
        ('For models of kind "realnvp", g is 4.', coupling_flow.LATENT_GROWTH == 4),
        ("MUST be at most 2^40", coupling_flow.LARGEST_VALUE == 2**40),
        ("takes less than log2 n + 1.01 bits", stack.LOST_BITS == 1.01),
        ("whose sides are multiples of 64", regions.SIDE_MULTIPLE == 64),
    ],
)
def test_limits_are_those_of_the_program(sentence: str, holds: bool) -> None:
    assert sentence in WORDS
    assert holds


def test_squares_are_those_of_the_program() -> None:
    assert "the square of side 8 at row 0" in WORDS
    assert "or 2 * h * w <= `pixels`" in WORDS
    for size in ((1, 1), (40, 33), (300, 270), (513, 9)):
        program = [(t.top, t.left, t.padded, t.before) for t in coupling_layout.tiles(*size)]
        assert program == [
            (t.top, t.left, (t.height, t.width), t.before) for t in second_decoder.tiles(*size)
        ]


def test_the_cells_of_the_example() -> None:
    base = np.arange(sum(tables.base_lengths()), dtype=np.int32)
    table = BaseTable(base)
    start = sum(tables.base_lengths()[:20])
    distribution = Distribution(np.array([37], np.int32), np.array([20], np.int32), 0, 255)
    cells = table.cells(distribution)
    assert [int(n[0]) for n in (cells.zero - start, cells.first, cells.last)] == [19, 0, 5]
    assert "radius 4, f = 4, L = 129; o = 19, first = 0, last = 5" in WORDS
    edges = [int(table.upper(cells, np.array([cell], np.int32))[0]) - start for cell in (0, 1, 5)]
    assert edges == [35, 51, 115]
    assert "the cell of 1 [T[35], T[51]), the cell of 5 [T[99], T[115])" in WORDS


def test_the_small_payload() -> None:
    (payload,) = hex_of(r"^    flow payload +((?:[0-9a-f]{2} ?)+)$")
    samples = np.array([[[10], [20]], [[30], [40]]], np.uint8)
    on_stack = stack.from_bytes(payload[1:])
    assert on_stack.pop(4, 256).tolist() == samples.ravel().tolist()
    on_stack.require_empty()
    part = flow_part(samples, Kind.GREY, phase_model())
    assert in_mode(container.MODE_FLOW, part, Kind.GREY).payload == payload


def test_the_exchange() -> None:
    (data,) = hex_of(r"^    stack bytes +((?:[0-9a-f]{2} ?)+)$")
    built = Stack()
    built.push(np.array([10, 20, 30, 40], np.int32), 256)
    starts, masses = np.array([[1000, 30000, 65000], [500, 20000, 536]], np.int32)
    chunks = stack.growing_chunks(2, 3, 64)
    assert [(chunk.start, chunk.stop) for chunk in chunks] == [(0, 2), (2, 3)]
    built.exchange(starts, masses, tables.MASS_TOTAL, iter(chunks))
    built.push(np.array([510], np.int32), 511)
    assert stack.to_bytes(built) == data


def test_the_steps_of_the_exchange() -> None:
    (data,) = hex_of(r"^    stack bytes +((?:[0-9a-f]{2} ?)+)$")
    second = second_decoder.Stack(data)
    rows = re.findall(
        r"^\| (start|(?:pop|push)\([\d, ]+\)).*? \| (\d*) ?\| ([0-9a-f]{16}) \|$", FLOW_TEXT, re.M
    )
    assert len(rows) == 12
    for step, result, state in rows:
        arguments = [int(number) for number in re.findall(r"\d+", step)]
        if step.startswith("pop"):
            assert second.pop(*arguments) == int(result)
        elif step.startswith("push"):
            second.push(*arguments)
        assert second.state == int(state, 16)
    assert not second.words
