"""Golden files decode to the pixels that were recorded; one that is missing or differs fails."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pytest

from nvpcodec import container, zoo
from nvpcodec.codec import decode_image
from nvpcodec.options import Options
from nvpcodec.pixels import Kind
from tests.golden import make

FOLDER = Path(make.__file__).parent
INDEX: dict[str, dict[str, str]] = json.loads((FOLDER / "index.json").read_text("utf-8"))


def read(name: str, ending: str) -> bytes:
    """A recorded file, whose checksum must be that of the index."""
    data = (FOLDER / f"{name}.{ending}").read_bytes()
    assert hashlib.sha256(data).hexdigest() == INDEX[name][ending], f"{name}.{ending} was changed"
    return data


def test_every_case_is_recorded_and_every_file_has_its_case() -> None:
    assert set(make.cases()) <= set(INDEX), "run python tests/golden/make.py and read what it prints"
    files = {path.name for path in FOLDER.iterdir() if path.suffix in (".nvp", ".npy")}
    assert files == {f"{name}.{ending}" for name in INDEX for ending in ("nvp", "npy")}


@pytest.mark.parametrize("name", sorted(INDEX))
def test_golden_file(name: str) -> None:
    samples = np.load(io.BytesIO(read(name, "npy")))
    image = decode_image(read(name, "nvp"), Options(device="cpu"))
    assert image.samples.dtype == samples.dtype
    assert np.array_equal(image.samples, samples)


@pytest.mark.parametrize("name", sorted(make.cases()))
def test_golden_cases_have_their_kind_and_metadata(name: str) -> None:
    wanted = make.cases()[name][0]
    assert decode_image(read(name, "nvp"), Options(device="cpu")).equals(wanted)


def test_all_modes_are_recorded() -> None:
    files = {name: container.parse(read(name, "nvp")) for name in INDEX}
    modes = {region.mode for file in files.values() for region in file.regions}
    assert {container.MODE_STORED, container.MODE_LZMA} <= modes
    assert {Kind(file.kind) for file in files.values()} >= {Kind.PALETTE, Kind.BILEVEL}
    for model in zoo.CURRENT:
        coded = [f for name, f in files.items() if name.startswith(f"{model}-")]
        assert all(file.regions[0].mode == container.MODE_FLOW for file in coded)
