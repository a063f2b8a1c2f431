"""Tunings: shifts come back, keep the bounds, and make images smaller that a model knows badly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from nvpcodec.distribution import BaseTable
from nvpcodec.errors import DamagedFileError
from nvpcodec.fixedpoint import FLOAT32_EXACT
from nvpcodec.heard import Heard
from nvpcodec.model import Model
from nvpcodec.orientation import ORIENTATIONS, Orientation, Views
from nvpcodec.phase_coder import PhaseCoder, phase_coder
from nvpcodec.phase_head import EVEN_GROWTHS, KIND_UNIT, KINDS, Head, Tuned
from nvpcodec.recorder import GROWTHS, Recorder
from nvpcodec.report import Accounts
from nvpcodec.stack import Ints, Stack
from nvpcodec.tuning import (
    GAIN_UNIT,
    GAINS,
    SHIFT_MAX,
    SHIFT_MIN,
    STEP_BITS,
    UNTUNED,
    Tuning,
    pop_tuning,
    push_tuning,
)
from nvpcodec.tuning_search import (
    MOST_TILES,
    TUNED_PIXELS,
    TuningSearch,
    _Window,
    can_be_tuned,
    float_twin,
    within_bounds,
)
from tests.models import CONFIG, REFINED, small_model
from tests.test_phase_coder import waves

CPU = torch.device("cpu")
TABLE = BaseTable(small_model().tensors["base"])


def random_steps(seed: int, most: int, lowest: int | None = None) -> dict[str, Ints]:
    generator = np.random.default_rng(seed)
    low = -most if lowest is None else lowest
    return {
        spec.name: generator.integers(low, most + 1, spec.outputs).astype(np.int32)
        for spec in REFINED.layers()
    }


def random_tuning(seed: int, most: int = 3) -> Tuning:
    return Tuning(random_steps(seed, most))


def passed_on(tuning: Tuning) -> Tuning:
    """Through a stack."""
    recorder, stack = Recorder(TABLE.costs), Stack()
    push_tuning(recorder, TABLE, tuning, 1000)
    recorder.play(stack, 64)
    found = pop_tuning(stack, TABLE, REFINED.layers(), 1000, 64, is_gained=bool(tuning.gains))
    stack.require_empty()
    return found


@pytest.mark.parametrize("most", [0, 3, SHIFT_MAX])
@pytest.mark.parametrize("gained", [False, True])
def test_tunings_come_back(most: int, gained: bool) -> None:
    tuning = Tuning(random_steps(1, most), random_steps(2, min(most, GAINS[1]), GAINS[0]) if gained else {})
    found = passed_on(tuning)
    for ours, theirs in ((found.shifts, tuning.shifts), (found.gains, tuning.gains)):
        assert ours.keys() == theirs.keys()
        assert all(np.array_equal(ours[name], steps) for name, steps in theirs.items())


def test_a_shift_moves_what_a_layer_says_by_so_many_steps() -> None:
    model = small_model(REFINED)
    tuned = random_tuning(2).applied(model)
    for spec in REFINED.layers():
        moved = tuned.tensors[f"{spec.name}.bias"] - model.tensors[f"{spec.name}.bias"]
        units = 1 << (model.tensors[f"{spec.name}.shift"].astype(int) + STEP_BITS)
        assert np.array_equal(moved, random_tuning(2).shifts[spec.name] * units)
    assert tuned.model_id != model.model_id


def test_a_gain_scales_the_weights_of_a_channel() -> None:
    """To the nearest integer, but not beyond 127; -32 leaves nothing."""
    model = small_model(REFINED)
    gains = random_steps(3, GAINS[1], GAINS[0])
    tuned = Tuning(random_steps(2, 0), gains).applied(model)
    for spec in REFINED.layers():
        for i in range(len(spec.inputs)):
            before, after = (m.tensors[f"{spec.name}.weight{i}"].astype(float) for m in (model, tuned))
            factor = 1 + gains[spec.name][:, None, None, None] / GAIN_UNIT
            assert (np.abs(after - (before * factor).clip(-127, 127)) <= 0.5).all()
            assert not after[gains[spec.name] == GAINS[0]].any()


def test_what_is_found_is_kept_within_bounds() -> None:
    model = small_model(REFINED)
    specs = list(REFINED.layers())
    heavy = {f"{specs[0].name}.weight{i}": 64 for i in range(len(specs[0].inputs))}
    bounded = 64 * 512 * sum(channels * k * k for channels, k in specs[0].inputs)
    most_bias = np.full(specs[0].outputs, FLOAT32_EXACT - 1 - bounded, np.int32)
    tensors = {n: np.full_like(t, heavy[n]) if n in heavy else t for n, t in model.tensors.items()}
    tight = replace(model, tensors={**tensors, f"{specs[0].name}.bias": most_bias})
    asked = Tuning(random_steps(4, 3), random_steps(5, 9, 1))
    with pytest.raises(DamagedFileError, match="tuning"):
        asked.applied(tight)
    kept = within_bounds(asked, tight)
    kept.applied(tight)
    assert not (kept.gains[specs[0].name] > asked.gains[specs[0].name] // 2).any()
    for spec in specs[1:]:
        assert np.array_equal(kept.gains[spec.name], asked.gains[spec.name])
        assert np.array_equal(kept.shifts[spec.name], asked.shifts[spec.name])


def test_shifts_that_are_too_large_are_refused() -> None:
    """By the bound of one bias alone, and by that of a whole sum."""
    model = small_model(REFINED)
    spec = next(iter(REFINED.layers()))
    shift = model.tensors[f"{spec.name}.shift"].copy()
    for bits in (23, 16):
        shift[:] = bits
        large = replace(model, tensors={**model.tensors, f"{spec.name}.shift": shift})
        most = np.full(spec.outputs, SHIFT_MIN if bits == 23 else SHIFT_MAX, np.int32)
        with pytest.raises(DamagedFileError, match="tuning"):
            Tuning({spec.name: most}).applied(large)


def test_the_twin_is_the_model_in_floats() -> None:
    model = small_model(REFINED)
    planes = waves(3, 64, 64)
    with torch.no_grad():
        nats = float_twin(model).log_prob(torch.from_numpy(planes)[None].float()).item()
    theory = phase_coder(model, CPU, 1).encode(planes)[1].theory_bits
    assert -nats / np.log(2) == pytest.approx(theory, rel=0.05)


def test_the_twin_knows_linear_parts() -> None:
    """Beside those that an encoder has found, it is the encoder's model in floats, and not without."""
    model = small_model(REFINED)
    planes = waves(3, 256, 256)
    heard = Heard.nothing(planes.shape, CPU)
    bits = []
    coder = phase_coder(model, CPU, 5)
    coder.encode(planes, asked=heard.note, costs=lambda _, spent: bits.append(spent.sum()))
    twin, shown = float_twin(model), torch.from_numpy(planes)[None].float()
    with torch.no_grad():
        alone, beside = (
            twin(shown, m).sum().item() / np.log(2)
            for m in (None, [scale[None] for scale in heard.moves[: twin.scales]])
        )
    assert beside == pytest.approx(sum(bits), rel=0.1)
    assert alone > 1.08 * beside


def test_the_twin_knows_the_model_beside_it() -> None:
    """Tuned, and asked beside the model as it was, it is in floats what that comes to, and not alone."""
    model = small_model(replace(REFINED, orientations=4))
    planes = waves(3, 64, 64)
    coder = phase_coder(model, CPU, 8)
    heard = coder._trial(planes, UNTUNED).heard
    tuning = Tuning(random_steps(1, 3), random_steps(2, 4), Views.BESIDE)
    theory = coder._trial(planes, tuning).accounts.theory_bits
    shown = torch.from_numpy(planes)[None].float()
    with torch.no_grad():
        tuned = float_twin(tuning.applied(model))
        alone, beside = (
            tuned(shown, None, words).sum().item() / np.log(2)
            for words in (None, [scale[None] for scale in heard.words[: tuned.scales]])
        )
    assert beside == pytest.approx(theory, rel=0.05)
    assert alone != pytest.approx(theory, rel=0.05)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("size", [(61, 67), (64, 40)])
def test_what_is_remembered_codes_as_what_is_said_again(count: int, size: tuple[int, int]) -> None:
    model = small_model(replace(REFINED, orientations=4))
    planes = waves(count, *size)
    coder = phase_coder(model, CPU, 8)
    words = coder._trial(planes, UNTUNED).heard.words
    tuning = Tuning(random_steps(1, 3), random_steps(2, 4), Views.BESIDE)
    payload = coder._trial(planes, tuning).payload
    assert coder._trial(planes, tuning, words).payload == payload
    assert coder._trial(planes, tuning, [2 * scale for scale in words]).payload != payload


@cache
def coder(effort: int) -> PhaseCoder:
    return phase_coder(small_model(REFINED), CPU, effort)


@cache
def tuned_payload(count: int) -> tuple[bytes, Accounts]:
    return coder(8).encode(waves(count, 200, 180))


@pytest.mark.parametrize("count", [1, 3])
def test_tuned_payloads_are_smaller_and_come_back(count: int) -> None:
    """The model has random weights, so there is much to gain."""
    planes = waves(count, 200, 180)
    tuned, accounts = tuned_payload(count)
    plain, _ = coder(7).encode(planes)
    assert len(tuned) < 0.99 * len(plain)
    assert Head.of(tuned).tuned == Tuned(Views.ALL)
    assert Head.of(plain).tuned is None
    assert np.array_equal(coder(1).decode(tuned, count, 200, 180), planes)
    assert 8 * len(tuned) == accounts.stack_bits + accounts.side_bits


def test_costs_of_a_tuned_payload_are_those_of_its_pixels() -> None:
    spent = []
    payload, _ = coder(8).encode(waves(1, 200, 180), costs=lambda _, bits: spent.append(bits.sum()))
    assert payload == tuned_payload(1)[0]
    assert 0.8 < sum(spent) / (8 * len(payload)) < 1


def test_small_images_are_not_tuned() -> None:
    planes = waves(3, 60, 70)
    assert Head.of(coder(9).encode(planes)[0]).tuned is None
    assert not can_be_tuned(planes)
    assert not can_be_tuned(np.zeros((1, 8, TUNED_PIXELS), np.int32)), "too narrow for a crop"
    assert can_be_tuned(np.zeros((1, 128, TUNED_PIXELS // 128), np.int32))


def test_a_tuning_that_does_not_pay_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TuningSearch, "after", lambda _, steps, pace, moves: random_tuning(3, most=100))
    planes = waves(3, 200, 180)
    assert Head.of(coder(8).encode(planes)[0]).tuned is None


@pytest.mark.parametrize("best", [Views.ALL, Views.BESIDE])
def test_the_smallest_of_all_tunings_is_kept(monkeypatch: pytest.MonkeyPatch, best: Views) -> None:
    """Of a model that turns images, for which each kind of views is tried."""
    search = TuningSearch.after

    def after(self: TuningSearch, steps: int, pace: float, moves: Sequence[Tensor]) -> Tuning:
        found = search(self, steps, pace, moves)
        if found.views is best:
            return found
        return Tuning(random_steps(3, 100), random_steps(4, 9), found.views)

    monkeypatch.setattr(TuningSearch, "after", after)
    several = phase_coder(small_model(replace(REFINED, orientations=4)), CPU, 8)
    planes = waves(3, 200, 180)
    payload, _ = several.encode(planes)
    assert Head.of(payload).tuned == Tuned(best)
    assert np.array_equal(several.decode(payload, 3, 200, 180), planes)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_crops_are_turned_as_scales_are(orientation: Orientation) -> None:
    """Phase 0 stays phase 0, and the others become what the orientation says, in each scale."""
    rows, columns = np.mgrid[:50, :36]
    places = torch.from_numpy(np.stack([rows, columns])).float()
    expected = [-1 if orientation.down else 1, -1 if orientation.across else 1]
    for number in range(5):
        window = _Window.numbered(number, (50, 36), [orientation])
        crop = window.of(places)
        assert crop.shape == (2, 32, 32)
        for scale in range(4):
            each = 1 << scale
            down, across = found = window.of(places[:, ::each, ::each], scale)
            assert torch.equal(found, crop[:, ::each, ::each])
            phase = 2 * (down / each % 2) + across / each % 2
            for p in range(4):
                assert (phase[p // 2 :: 2, p % 2 :: 2] == orientation.phase(p)).all()
            step = (found[:, 1, 1] - found[:, 0, 0]) / each
            assert step.tolist() == (expected[::-1] if orientation.transposed else expected)


def test_crops_come_from_everywhere() -> None:
    """Of an image as narrow as a crop may be, and of one that is wider."""
    planes = torch.arange(17.0 * 80).view(1, 17, 80)
    for orientation in ORIENTATIONS:
        crops = [_Window.numbered(i, (17, 80), [orientation]).of(planes) for i in range(200)]
        assert {crop.shape for crop in crops} == {(1, 16, 16)}
        is_late = orientation.down if orientation.transposed else orientation.across
        starts = Counter(float(crop.min()) for crop in crops)
        assert len(starts) == (4 if is_late else 5)
        assert min(starts.values()) > 0.8 * max(starts.values())
    turned = [_Window.numbered(i, (17, 80), ORIENTATIONS).orientation for i in range(8)]
    assert turned == list(ORIENTATIONS)


def searching(model: Model, planes: Ints) -> tuple[TuningSearch, Heard]:
    """A search, and nothing that would have been heard."""
    heard = Heard.nothing(planes.shape, CPU)
    return TuningSearch(model, planes, CPU, Views.ALL, heard.words), heard


def test_a_search_sees_the_model_as_its_steps_make_it() -> None:
    """But for the rounding of weights; gains alone already matter."""
    model = small_model(REFINED)
    planes = waves(3, 200, 180)
    tuning = Tuning(random_steps(1, 3), random_steps(2, 9))

    def nats(search: TuningSearch, shifts: Mapping[str, Ints], gains: Mapping[str, Ints]) -> float:
        shifted, gained = ({n: torch.from_numpy(v) for n, v in steps.items()} for steps in (shifts, gains))
        moves = Heard.nothing(planes.shape, CPU).moves
        return search._scene.nats(shifted, gained, [search._scene.window(0)], moves).item()

    search, _ = searching(model, planes)
    nothing = random_steps(0, 0)
    expected = nats(searching(tuning.applied(model), planes)[0], nothing, nothing)
    assert nats(search, tuning.shifts, tuning.gains) == pytest.approx(expected, rel=1e-2)
    assert nats(search, tuning.shifts, nothing) != pytest.approx(expected, rel=3e-2)


def test_a_search_changes_no_weights() -> None:
    model = small_model(CONFIG)
    before = model.model_id
    search, heard = searching(model, waves(3, 200, 180))
    tuning = search.after(8, 1, heard.moves)
    assert small_model(CONFIG).model_id == before
    for steps in (tuning.shifts, tuning.gains):
        assert any(of_layer.any() for of_layer in steps.values())


@pytest.mark.parametrize("views", [Views.ALL, Views.BESIDE])
def test_a_search_goes_on(views: Views) -> None:
    """From nothing, further from it at each call, and nearer to the image."""
    model = small_model(REFINED)
    planes = waves(3, 200, 180)
    heard = coder(8)._trial(planes, UNTUNED).heard
    search = TuningSearch(model, planes, CPU, views, heard.words)
    found = [search.after(steps, 1, heard.moves) for steps in (0, 10, 20)]
    assert {tuning.views for tuning in found} == {views}
    assert not any(steps.any() for steps in [*found[0].shifts.values(), *found[0].gains.values()])
    bits = [coder(8)._trial(planes, tuning).accounts.theory_bits for tuning in found]
    assert bits[2] < bits[1] < bits[0]


def test_what_an_image_needs_is_not_left_out() -> None:
    """Most channels of a small model are not worth their bits; without these an image is hardly larger."""
    model = small_model(REFINED)
    planes = waves(3, 200, 180)
    search, heard = searching(model, planes)
    found = search.after(20, 1, heard.moves)
    again = search.after(0, 1, heard.moves)
    bits = [coder(8)._trial(planes, tuning).accounts.theory_bits for tuning in (UNTUNED, found, again)]
    assert bits[1] < 0.99 * bits[0]
    assert bits[2] < 1.001 * bits[1]


def test_useless_steps_are_taken_back() -> None:
    """Large steps of the channels of a level that the image is too small to have."""
    model = small_model(replace(REFINED, levels=4))
    search, heard = searching(model, waves(3, 17, 2000))
    unseen = [name for name in search._shifts if name.startswith("level3.")]
    with torch.no_grad():
        for name in unseen:
            search._shifts[name] += 9
    found = search.after(0, 1, heard.moves)
    assert unseen
    assert not any(steps.any() for steps in found.shifts.values())


def test_tiles_lie_all_over_an_image() -> None:
    """And within it, whatever their orientation; of a large one there are no more than are needed."""
    for size in ((17, 80), (129, 700), (300, 256), (3000, 17)):
        tiles = _Window.tiles(size, ORIENTATIONS)
        seen = np.zeros(size, bool)
        for tile in tiles:
            crop = tile.of(torch.arange(float(seen.size)).view(1, *size))
            assert crop.shape == (1, tile.side, tile.side)
            seen.flat[crop.flatten().int().numpy()] = True
        assert {tile.orientation for tile in tiles} <= set(ORIENTATIONS)
        assert len(tiles) <= MOST_TILES
        assert seen.mean() > (0.75 if len(tiles) < MOST_TILES / 2 else 0.25)


def test_heads() -> None:
    heads = [Head(growth, even=False, tuned=tuned) for growth in GROWTHS for tuned in KINDS.values()]
    heads += [Head(growth, even=True, tuned=tuned) for growth in EVEN_GROWTHS for tuned in KINDS.values()]
    for head in heads:
        assert Head.of(bytes(head)) == head
    legal = {kind * KIND_UNIT + place for kind in (0, 1, 2, 4, 5, 6, 7) for place in range(32)}
    assert {bytes(head)[0] for head in heads} == legal
    for first in (b"", *(bytes([byte]) for byte in set(range(256)) - legal)):
        with pytest.raises(DamagedFileError):
            Head.of(first)


@pytest.mark.parametrize("growth", GROWTHS)
def test_exchanges_are_even_wherever_that_can_be_said(growth: int) -> None:
    head = Head.with_tuning(growth, UNTUNED)
    assert head.even == (growth > 1)
    assert Head.of(bytes(head)) == head


def test_a_chain_has_no_tuning() -> None:
    payload, _ = coder(5).encode_chain([waves(1, 20, 20)] * 2)
    with pytest.raises(DamagedFileError):
        coder(5).decode_chain(bytes([payload[0] + 5 * KIND_UNIT]) + payload[1:], 1, [(20, 20)] * 2)


def test_damaged_tunings_never_end_in_another_error() -> None:
    payload, _ = tuned_payload(1)
    generator = np.random.default_rng(4)
    for _ in range(12):
        damaged = bytearray(payload)
        damaged[-1 - int(generator.integers(40))] ^= int(generator.integers(1, 256))
        with pytest.raises(DamagedFileError):
            coder(1).decode(bytes(damaged), 1, 200, 180)
