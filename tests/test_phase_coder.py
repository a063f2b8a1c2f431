"""One region through the phase flow: values come back, accounts are true, hostile payloads are refused."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from nvpcodec.distribution import Distribution
from nvpcodec.errors import DamagedFileError
from nvpcodec.fit import flat_ints, plain_distribution
from nvpcodec.layout import lattices
from nvpcodec.model import PhaseConfig
from nvpcodec.phase_coder import PhaseCoder, _in_raster_order, phase_coder
from nvpcodec.phase_flow import Part
from nvpcodec.phase_head import EVEN_GROWTHS, KIND_UNIT
from nvpcodec.recorder import GROWTHS
from nvpcodec.stack import Ints
from nvpcodec.tables import LEGAL
from tests.models import CONFIG, REFINED, small_model


@cache
def coder(config: PhaseConfig = CONFIG) -> PhaseCoder:
    return phase_coder(small_model(config), torch.device("cpu"))


def waves(count: int, height: int, width: int) -> Ints:
    rows, columns = np.mgrid[:height, :width]
    grain = np.random.default_rng(1).integers(-2, 3, (count, height, width))
    smooth = [100 + 60 * np.sin(rows / 9 + c) * np.cos(columns / (7 + c)) for c in range(count)]
    planes: Ints = (np.rint(np.stack(smooth)) + grain).astype(np.int32)
    return planes


@pytest.mark.parametrize("config", [CONFIG, REFINED], ids=["plain", "refined"])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (4, 4), (1, 40), (40, 1), (17, 30), (130, 132)])
def test_planes_come_back(config: PhaseConfig, count: int, size: tuple[int, int]) -> None:
    planes = waves(count, *size)
    payload, accounts = coder(config).encode(planes)
    assert np.array_equal(coder(config).decode(payload, count, *size), planes)
    assert GROWTHS[0] in EVEN_GROWTHS
    assert len(GROWTHS) <= payload[0] < KIND_UNIT
    assert 8 * len(payload) == accounts.stack_bits + accounts.side_bits


@pytest.mark.parametrize("config", [CONFIG, REFINED], ids=["plain", "refined"])
def test_extreme_values_come_back(config: PhaseConfig) -> None:
    generator = np.random.default_rng(2)
    planes = np.stack([generator.choice(ends, (131, 129)) for ends in LEGAL]).astype(np.int32)
    payload, _ = coder(config).encode(planes)
    assert np.array_equal(coder(config).decode(payload, 3, 131, 129), planes)


@pytest.mark.parametrize("config", [CONFIG, REFINED], ids=["plain", "refined"])
def test_more_search_makes_smaller_payloads(config: PhaseConfig) -> None:
    planes = waves(3, 130, 132)
    sizes = []
    for effort in (3, 5, 6, 7):
        payload, _ = phase_coder(small_model(config), torch.device("cpu"), effort).encode(planes)
        assert np.array_equal(coder(config).decode(payload, 3, 130, 132), planes)
        sizes.append(len(payload))
    assert sizes[0] > sizes[1] > sizes[2] >= sizes[3]


def test_parts_in_raster_order() -> None:
    size = (5, 7)
    places = torch.arange(35).view(size)
    parts = []
    for _, lattice in lattices(*size):
        mean = places[lattice.window]
        part = Part(lattice.window, 0, mean, mean + 1)
        parts.append((part, plain_distribution(part, (0, 255)), flat_ints(mean)))
    assert len(parts) == 4
    d = _in_raster_order(parts, size)
    assert d.mean.tolist() == list(range(35))
    assert d.scale.tolist() == list(range(1, 36))
    assert (d.low, d.high) == (0, 255)


def test_accounts_are_true() -> None:
    """The noted distributions explain nearly all of the theory, and the coder needs little beyond it."""
    planes = waves(3, 120, 110)
    seen: list[tuple[Distribution, Ints]] = []
    coder().encode(planes, lambda d, x: seen.append((d, x)))
    _, accounts = coder().encode(planes)
    values = sum(len(x) for _, x in seen)
    assert planes.size - 3 * 16 <= values < planes.size
    assert 0 <= accounts.coder_bits < 0.01 * accounts.theory_bits + 64
    assert accounts.initial_bits < 200
    assert set(accounts.seconds) == {"network", "fit", "distribution", "stack"}


@pytest.mark.parametrize("payload", [b"", bytes([3 * KIND_UNIT]), b"\xff\x01\x02", bytes([3]) + bytes(8)])
def test_a_payload_that_does_not_begin_like_one_is_refused(payload: bytes) -> None:
    with pytest.raises(DamagedFileError):
        coder().decode(payload, 3, 20, 20)


def test_trailing_words_are_refused() -> None:
    payload, _ = coder().encode(waves(1, 20, 20))
    with pytest.raises(DamagedFileError):
        coder().decode(payload + b"\x01\x02\x03\x04", 1, 20, 20)


def test_random_payloads_never_end_in_another_error() -> None:
    generator = np.random.default_rng(7)
    for length in (1, 5, 40, 3000):
        stream = bytes([length % KIND_UNIT]) + generator.integers(1, 256, length).astype(np.uint8).tobytes()
        for count in (1, 3):
            with pytest.raises(DamagedFileError):
                coder().decode(stream, count, 34, 27)
