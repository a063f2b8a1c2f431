"""Values of deep samples: lists where gaps pay for them, numbers and back, unmoved by hostile bytes."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from nvpcodec.container import varint_to_bytes
from nvpcodec.deep_values import Values, find_values, values_from_bytes
from nvpcodec.errors import DamagedFileError
from tests.hostile import makers


def slope(values: int, step: int, lowest: int = 0) -> np.ndarray:
    """A picture (64, 64, 1) of so many values, each `step` above the one before."""
    numbers = np.add.outer(np.arange(64), np.arange(64)) * values // 127
    return (lowest + step * numbers).astype(np.uint16)[..., None]


def deflated(data: bytes) -> bytes:
    return zlib.compress(data, wbits=-15)


def head(lowest: int, count: int, gaps: bytes) -> bytes:
    return b"".join(varint_to_bytes(n) for n in (lowest, count, len(gaps))) + gaps


@pytest.mark.parametrize("step", [16, 257])
def test_stretched_values_are_listed(step: int) -> None:
    samples = slope(127, step, 31)
    values = find_values(samples)
    assert values.values is not None
    assert (values.lowest, values.count) == (31, 127)
    assert len(values.to_bytes()) < 24
    assert values.numbers(samples).max() == 126


@pytest.mark.parametrize(
    "samples", [slope(127, 1, 500), slope(0, 1, 65535), slope(127, 1)], ids=["high", "flat", "low"]
)
def test_values_without_gaps_are_not(samples: np.ndarray) -> None:
    assert find_values(samples).values is None


def test_noise_that_leaves_values_out_by_chance_is_not_listed() -> None:
    samples = np.random.default_rng(1).integers(0, 65536, (60, 60, 1)).astype(np.uint16)
    assert find_values(samples).values is None


@pytest.mark.parametrize(
    "samples", [slope(127, 16), slope(100, 1, 7), slope(0, 1, 65535)], ids=["gaps", "none", "flat"]
)
def test_numbers_and_bytes_come_back(samples: np.ndarray) -> None:
    values = find_values(samples)
    data = values.to_bytes()
    read, at = values_from_bytes(data + b"more")
    assert at == len(data)
    np.testing.assert_array_equal(read.samples(values.numbers(samples)), samples, strict=True)


@pytest.mark.parametrize("number", [-1, 3])
def test_a_number_without_a_value_is_damage(number: int) -> None:
    with pytest.raises(DamagedFileError, match="none of the values"):
        Values(5, 3).samples(np.array([0, number]))


HOSTILE = {
    "nothing": b"",
    "no value": head(0, 0, b""),
    "beyond 65535": head(65535, 2, b""),
    "cut": head(3, 2, deflated(b"\1\0"))[:-1],
    "no stream": head(3, 2, b"\xff\xff"),
    "too few": head(3, 3, deflated(b"\1\0")),
    "too many": head(3, 2, deflated(b"\1\0\1\0")),
    "bytes behind the stream": head(3, 2, deflated(b"\1\0") + b"\0"),
    "a step of none": head(3, 3, deflated(b"\1\0\0\0")),
    "steps beyond 65535": head(3, 3, deflated(b"\xff\xff\xff\xff")),
    "a bomb": head(0, 65536, deflated(bytes(50_000_000))),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_hostile_values_are_refused(data: bytes) -> None:
    with pytest.raises(DamagedFileError):
        values_from_bytes(data)


def test_flipped_bytes_are_refused_or_give_other_values() -> None:
    data = find_values(slope(127, 16)).to_bytes()
    for _, flipped in makers.flipped(data):
        try:
            values, _ = values_from_bytes(flipped)
        except DamagedFileError:
            continue
        assert 1 <= values.count <= 65536 - values.lowest
