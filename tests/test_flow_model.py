"""A flow of the library through the trainer: from the command line to a file that gives samples."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image as PillowImage

from nvpcodec import cli
from nvpcodec.flow import load
from nvpcodec.train.data import is_validation, rgb_to_planes
from nvpcodec.train.flow_model import FlowModel

DEMO = Path(__file__).parents[1] / "demo"
SIZES = {"scales": 2, "width": 6, "blocks": 1}
CONFIG = """
[model]
kind = "flow"
preset = "realnvp"
scales = 2
width = 6
blocks = 1

[training]
minutes = 0.01
crop = 16
batch = 4
learning_rate = 1e-3
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Crops of a photograph, some of which fall into the validation share."""
    names = [f"crop{i:03d}.png" for i in range(200)]
    held_back = [n for n in names if is_validation(Path(n))][:2]
    trained_on = [n for n in names if not is_validation(Path(n))][:4]
    with PillowImage.open(DEMO / "coffee.png") as photograph:
        for i, name in enumerate([*held_back, *trained_on]):
            photograph.crop((60 * i, 100, 60 * i + 40, 140)).save(tmp_path / name)
    return tmp_path


def test_planes_are_scored_as_the_colours_that_they_were() -> None:
    torch.manual_seed(1)
    model = FlowModel("realnvp", 8, SIZES).eval()
    rgb = torch.randint(0, 256, (2, 3, 8, 8))
    torch.manual_seed(2)
    nats = model(rgb_to_planes(rgb))
    torch.manual_seed(2)
    assert torch.equal(nats, -model.flow.log_prob(rgb))


def test_a_training_from_the_command_line(folder: Path, tmp_path: Path) -> None:
    config, out = tmp_path / "small.toml", tmp_path / "run"
    config.write_text(CONFIG)
    assert cli.run(["train", str(config), str(folder), "-o", str(out)]) == 0
    assert "validation" in (out / "log.jsonl").read_text()
    flow = load(out / "small.pt")
    samples = flow.sample(2, temperature=0.8, generator=torch.Generator().manual_seed(1))
    assert samples.shape == (2, 3, 16, 16)
    assert samples.std() > 1


@pytest.mark.parametrize(
    ("wrong", "told"), [('preset = "maf"', "no preset"), ('preset = "glow"', "sizes of the preset glow")]
)
def test_wrong_models_are_refused_in_one_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: str, told: str
) -> None:
    config = tmp_path / "wrong.toml"
    config.write_text(CONFIG.replace('preset = "realnvp"', wrong))
    assert cli.run(["train", str(config), str(folder), "-o", str(tmp_path / "run")]) != 0
    assert told in capsys.readouterr().err
