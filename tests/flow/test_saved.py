"""Trained presets come back from files, and what is none is refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from nvpcodec.errors import InputError
from nvpcodec.flow import build, load, save

SIZES = {"shape": (3, 4, 4), "scales": 1, "width": 4, "blocks": 1}


def test_a_saved_flow_gives_the_same_latents(tmp_path: Path) -> None:
    torch.manual_seed(1)
    flow = build("realnvp", SIZES)
    x = torch.randint(0, 256, (8, 3, 4, 4))
    flow(x)  # running statistics move
    save(tmp_path / "small.pt", flow, "realnvp", SIZES)
    again = load(tmp_path / "small.pt")
    assert not again.training
    z = torch.randn(2, *flow.latent_shapes[0])
    with torch.no_grad():
        assert torch.equal(again.inverse([z]), flow.eval().inverse([z]))


@pytest.mark.parametrize("content", [b"", b"no flow", b"PK\x03\x04"])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.pt"
    path.write_bytes(content)
    with pytest.raises(InputError, match="holds no trained flow"):
        load(path)
    with pytest.raises(InputError, match="holds no trained flow"):
        load(tmp_path / "missing.pt")


def test_other_records_are_refused(tmp_path: Path) -> None:
    torch.save({"preset": "realnvp", "sizes": SIZES, "weights": {}}, tmp_path / "empty.pt")
    with pytest.raises(InputError, match="holds no trained flow"):
        load(tmp_path / "empty.pt")


def test_unknown_presets_and_sizes_are_refused() -> None:
    with pytest.raises(InputError, match="choose nice, realnvp, glow, flowpp"):
        build("maf", {})
    with pytest.raises(InputError, match="sizes of the preset nice"):
        build("nice", {"depth": 3})
