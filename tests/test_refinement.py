"""Passes over a phase: which pixels each codes, what it sees, and that it sees nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from nvpcodec import exact
from nvpcodec.fit import plain_mean
from nvpcodec.layout import (
    BELOW,
    DIAGONAL,
    EVERYTHING,
    PASSES,
    RIGHT,
    diagonal_around,
    everywhere,
    known_around,
    lattices,
    scale_sizes,
    seen_before,
)
from nvpcodec.model import PhaseConfig
from nvpcodec.orientation import reversals
from nvpcodec.phase_flow import Part, PhaseFlow, Prediction, _innovations
from nvpcodec.refinement import Innovations, Refinement
from nvpcodec.stack import Ints
from nvpcodec.tables import ACTIVATION_UNIT, INNOVATION_MAX, INNOVATION_UNIT, SCALES
from tests.models import REFINED, small_model
from tests.test_phase_flow import planes

CPU = torch.device("cpu")
IN_ALL_ORIENTATIONS = replace(REFINED, orientations=8, refinement_orientations=4)
SIZES = [(1, 1), (1, 5), (6, 1), (4, 4), (7, 6)]


@pytest.mark.parametrize("size", SIZES)
def test_every_pixel_belongs_to_one_pass(size: tuple[int, int]) -> None:
    seen = np.full(size, -1)
    for number, lattice in lattices(*size):
        assert seen[lattice.window].shape == (lattice.rows, lattice.columns)
        assert (seen[lattice.window] == -1).all()
        seen[lattice.window] = number
    assert (seen >= 0).all()
    assert seen.max() <= 3


@pytest.mark.parametrize("size", SIZES)
def test_places_beside_a_lattice(size: tuple[int, int]) -> None:
    values = np.arange(size[0] * size[1]).reshape(size)
    padded = np.pad(values, 1, constant_values=-1)
    for _, lattice in [*lattices(*size), (0, everywhere(*size))]:
        rows, columns = np.mgrid[: size[0], : size[1]]
        rows, columns = rows[lattice.window], columns[lattice.window]
        for down, right in ((-1, -1), (0, 1), (0, 0), (1, 0)):
            expected = padded[rows + down + 1, columns + right + 1]
            assert np.array_equal(padded[lattice.beside(down, right)], expected)


def test_a_pass_knows_exactly_its_neighbours_of_earlier_passes() -> None:
    assert [len(known_around(number)) for number in range(4)] == [0, 4, 4, 8]
    for number, (top, left) in enumerate(PASSES):
        earlier = set(PASSES[:number])
        found = {
            (down, right)
            for down in (-1, 0, 1)
            for right in (-1, 0, 1)
            if ((top + down) % 2, (left + right) % 2) in earlier
        }
        assert set(known_around(number)) == found


def test_the_nearest_pixels_of_phase_3() -> None:
    """Their distances in the scale, whose pixels of phase p lie at (2 y + p // 2, 2 x + p % 2)."""
    for phase in (RIGHT, BELOW):
        distances = sorted(
            (2 * down + 1 - phase // 2) ** 2 + (2 * right + 1 - phase % 2) ** 2
            for down, right in diagonal_around(phase)
        )
        assert distances == [1, 1, 5, 5, 5, 5]
        assert len(set(diagonal_around(phase))) == 6


def test_what_all_passes_see() -> None:
    counts = {
        (phase, plane): sum(len(offsets) for _, _, offsets in seen_before(phase, plane))
        for phase in (DIAGONAL, RIGHT, BELOW)
        for plane in range(3)
    }
    assert [counts[DIAGONAL, p] for p in range(3)] == [0, 9, 18]
    assert [counts[RIGHT, p] for p in range(3)] == [6, 15, 24]
    assert [counts[BELOW, p] for p in range(3)] == [10, 19, 28]


def test_innovations_are_errors_in_scales() -> None:
    errors = torch.tensor([[0.0, 16, -16, 8160, -8160]])
    for scale in range(SCALES):
        width = 2 ** (scale / 6 - 5)
        found = _innovations(errors, torch.full_like(errors, scale))
        expected = (errors / 16 / width * INNOVATION_UNIT).clamp(-INNOVATION_MAX, INNOVATION_MAX)
        assert torch.allclose(found, expected, rtol=0.04, atol=0.51)
        assert torch.equal(found, found.round())


def refinement(phase: int, plane: int, grid: tuple[int, int], seed: int, orientations: int = 1) -> Refinement:
    """Random features and innovations of everything that it sees."""
    generator = torch.Generator().manual_seed(seed)
    layers = exact.layers(small_model(REFINED), CPU, exact.direct)
    prefix = REFINED.refinement(0, phase, plane)
    named = {name.removeprefix(prefix): layer for name, layer in layers.items() if name.startswith(prefix)}
    innovations = Innovations(torch.zeros(1, 3, *grid))
    for other, earlier, _ in seen_before(phase, plane):
        noise = torch.randint(-INNOVATION_MAX, INNOVATION_MAX + 1, (1, *grid), generator=generator).float()
        innovations.note(other, earlier, everywhere(*grid), noise)
    shape = (orientations, REFINED.head_width, *grid)
    features = torch.randint(0, 200, shape, generator=generator).float()
    return Refinement(named, phase, plane, features, innovations, orientations=reversals(orientations))


@pytest.mark.parametrize("phase", [DIAGONAL, RIGHT, BELOW])
@pytest.mark.parametrize(("plane", "orientations"), [(0, 1), (2, 1), (0, 4), (2, 2)])
def test_all_passes_at_once_are_the_passes_one_by_one(phase: int, plane: int, orientations: int) -> None:
    grid = (7, 8)
    noise = torch.randint(-INNOVATION_MAX, INNOVATION_MAX + 1, (1, *grid)).float()
    at_once, one_by_one = (refinement(phase, plane, grid, 5, orientations) for _ in range(2))
    at_once.note(everywhere(*grid), noise)
    together = at_once.outputs_at_once()
    for number, lattice in lattices(*grid):
        window = (..., *lattice.window)
        assert torch.equal(one_by_one.outputs(number, lattice), together[window])
        one_by_one.note(lattice, noise[window])
    assert len(set(together.flatten().tolist())) > 20, "or else this shows little"


@pytest.mark.parametrize("phase", [DIAGONAL, RIGHT, BELOW])
def test_a_reversed_scale_is_refined_alike(phase: int) -> None:
    """A half turn of all that is seen, around a pixel of the phase, makes one orientation the other."""
    grid, plane = (7, 9), 1
    upright = refinement(phase, plane, grid, 5, 2)
    turned = Innovations(torch.zeros(1, 3, *grid))
    for other, earlier, _ in seen_before(phase, plane):
        whole = everywhere(*grid)
        values = upright.innovations.around(other, earlier, whole, ((0, 0),))[0]
        turned.note(other, earlier, whole, half_turned(values, phase, other))
    swapped = upright.features.flip(0).flip((-1, -2))
    other_way = replace(upright, innovations=turned, features=swapped)
    noise = torch.randint(-INNOVATION_MAX, INNOVATION_MAX + 1, (1, *grid)).float()
    upright.note(everywhere(*grid), noise)
    other_way.note(everywhere(*grid), noise.flip((-1, -2)))
    inside = (..., slice(1, -1), slice(1, -1))
    expected = upright.outputs_at_once()
    found = other_way.outputs_at_once().flip(0).flip((-1, -2))
    assert torch.equal(found[inside], expected[inside])
    assert not torch.equal(expected[0], expected[1])


def half_turned(values: Tensor, phase: int, other: int) -> Tensor:
    """Innovations (1, h, w) of a phase on a grid that is turned around the pixels of another phase."""
    rows, columns = other // 2 - phase // 2, other % 2 - phase % 2
    return values.flip((-1, -2)).roll((-rows, -columns), (-2, -1))


def test_the_constant_is_one_to_networks() -> None:
    _, lattice = lattices(3, 3)[0]
    assert (Innovations(torch.zeros(2, 3, 3, 3)).constant(lattice) == ACTIVATION_UNIT).all()


def walked(x: Ints, config: PhaseConfig = REFINED) -> tuple[list[tuple[Prediction, Part]], Tensor]:
    """All parts that a refined walk over planes x asks for, and its result."""
    seen: list[tuple[Prediction, Part]] = []
    count, height, width = x.shape
    scales = [torch.from_numpy(x)[None].float()]
    for _ in scale_sizes(height, width)[1:]:
        scales.append(scales[-1][..., ::2, ::2])

    def code(p: Prediction) -> tuple[Tensor, Tensor]:
        known = scales[p.level][0, p.plane, p.phase // 2 :: 2, p.phase % 2 :: 2]

        def values(part: Part) -> Tensor:
            seen.append((p, part))
            return known[part.place]

        mean = plain_mean(p)
        return p.ask(mean, values), mean

    flow = PhaseFlow(config, exact.layers(small_model(config), CPU, exact.direct))
    with torch.inference_mode():
        result = flow.walk(height, width, count, scales[-1], code)
    return seen, result


@pytest.mark.parametrize("count", [1, 3])
def test_large_scales_have_four_parts_a_phase_and_plane(count: int) -> None:
    x = planes(count, 33, 32)
    seen, result = walked(x)
    assert np.array_equal(result[0].numpy(), x)
    assert [(p.level, p.phase, p.plane) for p, _ in seen if p.level == 0] == [
        (0, phase, plane)
        for changed in ((3,), (1, 2))
        for plane in range(count)
        for phase in changed
        for _ in PASSES
    ]
    assert all(part.place == EVERYTHING for p, part in seen if p.level > 0), "the next has 9 x 8 blocks"
    remaining = sum(part.mean.numel() for _, part in seen)
    for p, part in seen:
        remaining -= part.mean.numel()
        assert part.remaining == remaining
        low, high = p.legal
        assert 16 * low <= part.mean.min() <= part.mean.max() <= 16 * high
        assert 0 <= part.scale.min() <= part.scale.max() < SCALES
        assert torch.equal(part.mean, part.mean.round())


@pytest.mark.parametrize("config", [REFINED, IN_ALL_ORIENTATIONS], ids=["one", "four"])
def test_no_pass_depends_on_what_is_not_decoded(config: PhaseConfig) -> None:
    """The Jacobian is triangular: change one part's values, and no part up to its own changes."""
    x = planes(3, 32, 34)
    before, _ = walked(x, config)
    changes = 0
    for position, (p, part) in enumerate(before):
        other = x.copy()
        step = 1 << p.level
        phase = other[p.plane, (p.phase // 2) * step :: 2 * step, (p.phase % 2) * step :: 2 * step]
        view = phase[part.place]
        view += np.random.default_rng(position).integers(1, 60, view.shape).astype(np.int32)
        after, _ = walked(other, config)
        pairs = [(a, b) for (_, a), (_, b) in zip(before, after, strict=True)]
        for a, b in pairs[: position + 1]:
            assert torch.equal(a.mean, b.mean)
            assert torch.equal(a.scale, b.scale)
        changes += any(not torch.equal(a.mean, b.mean) for a, b in pairs[position + 1 :])
    assert changes > len(before) - 5, "later parts do depend on it"


def test_both_lowerings_refine_alike() -> None:
    one, other = (refinement(BELOW, 1, (6, 5), 3) for _ in range(2))
    gemm = exact.layers(small_model(REFINED), CPU, exact.gemm)
    prefix = REFINED.refinement(0, BELOW, 1)
    other = replace(other, layers={name.removeprefix(prefix): layer for name, layer in gemm.items()})
    for number, lattice in lattices(6, 5):
        assert torch.equal(one.outputs(number, lattice), other.outputs(number, lattice))
