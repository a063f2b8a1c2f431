"""Training: data, exact resume, and one whole run from the command line to a file coded with its weights."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage

from nvpcodec import cli
from nvpcodec.colour import to_planes
from nvpcodec.errors import InputError
from nvpcodec.model import Model, PhaseConfig, load
from nvpcodec.phase_model import PhaseModel
from nvpcodec.train.config import CONFIGS, read_config
from nvpcodec.train.data import (
    Augmentation,
    batches,
    crop,
    grain,
    halve_chroma,
    is_validation,
    load_rgb,
    rgb_to_planes,
)
from nvpcodec.train.export import draft_phase
from nvpcodec.train.loop import Schedule, Trainer

TINY = PhaseConfig(levels=2, width=8, blocks=(1, 1), head_width=8, handed_width=4)
DEMO = Path(__file__).parents[1] / "demo"
CONFIG = """
[model]
kind = "phase"
levels = 2
width = 8
blocks = [1, 1]
head_width = 8
handed_width = 4

[training]
minutes = 0.05
crop = 32
batch = 2
learning_rate = 1e-3
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Crops of a photograph, some of which fall into the validation share."""
    names = [f"crop{i:03d}.png" for i in range(200)]
    held_back = [n for n in names if is_validation(Path(n))][:2]
    trained_on = [n for n in names if not is_validation(Path(n))][:6]
    with PillowImage.open(DEMO / "coffee.png") as photograph:
        for i, name in enumerate([*held_back, *trained_on]):
            photograph.crop((60 * i, 100, 60 * i + 64, 180)).save(tmp_path / name)
    return tmp_path


def tiny_trainer() -> Trainer:
    torch.manual_seed(1)
    return Trainer(
        PhaseModel(TINY, dtype=torch.bfloat16), Schedule(seconds=1e9, warm_up_steps=5), torch.device("cpu")
    )


def train(trainer: Trainer, folder: Path, steps: int) -> None:
    images = load_rgb(sorted(folder.glob("*.png")))
    stream = batches(images, trainer.step, batch=2, size=32, seed=5, how=Augmentation())
    for _ in range(steps):
        trainer.train_step(next(stream))


def test_a_resumed_training_is_the_unbroken_one(folder: Path, tmp_path: Path) -> None:
    unbroken, first = tiny_trainer(), tiny_trainer()
    train(unbroken, folder, 6)
    train(first, folder, 3)
    torch.save(first.state(), tmp_path / "state.pt")
    second = tiny_trainer()
    second.restore(torch.load(tmp_path / "state.pt", weights_only=True))
    train(second, folder, 3)
    assert second.step == unbroken.step
    for name, value in unbroken.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[name]), name
        assert torch.equal(unbroken.ema[name], second.ema[name]), name


def test_a_new_training_can_start_from_averaged_weights(folder: Path) -> None:
    first, second = tiny_trainer(), tiny_trainer()
    train(first, folder, 2)
    second.start_from(first.ema)
    assert second.step == 0
    for name, value in first.ema.items():
        assert torch.equal(value, second.model.state_dict()[name])
        assert torch.equal(value, second.ema[name])


def test_training_lowers_the_loss(folder: Path) -> None:
    trainer = tiny_trainer()
    planes = next(batches(load_rgb(sorted(folder.glob("*.png"))), 0, 2, 32, 5, Augmentation()))
    losses = [trainer.train_step(planes) for _ in range(40)]
    assert losses[-1] < losses[0] - 0.05


def test_a_whole_run_from_the_command_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "tiny.toml"
    config.write_text(CONFIG)
    out = tmp_path / "run"
    assert cli.run(["train", str(config), str(folder), "-o", str(out), "--session-minutes", "0.0001"]) == 0
    assert (out / "state.pt").exists()
    assert not list(out.glob("*.safetensors"))
    assert cli.run(["train", str(config), str(folder), "-o", str(out)]) == 0
    (weights,) = out.glob("tiny-*.safetensors")
    assert "validation" in (out / "log.jsonl").read_text()
    coded, back = tmp_path / "a.nvp", tmp_path / "a.png"
    assert cli.run(["encode", str(DEMO / "chelsea.png"), str(coded), "--model", str(weights)]) == 0
    assert cli.run(["decode", str(coded), str(back), "--model", str(weights)]) == 0
    with PillowImage.open(back) as ours, PillowImage.open(DEMO / "chelsea.png") as original:
        assert np.array_equal(np.asarray(ours), np.asarray(original))


def test_refinements_are_polished_on_what_is_coded(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, out = tmp_path / "tiny.toml", tmp_path / "run"
    config.write_text(
        CONFIG.replace(
            "handed_width = 4",
            "handed_width = 4\nrefinement_width = 4\norientations = 2\nrefinement_orientations = 2",
        )
        + "\n[polishing]\nminutes = 0.1\nmegapixels = 0.06\nlearning_rate = 1e-2\n"
    )
    assert cli.run(["train", str(config), str(folder), "-o", str(out)]) == 0
    said = re.search(r"polished: ([\d.]+) -> ([\d.]+) bits/dim", capsys.readouterr().err)
    assert said is not None
    before, after = said.groups()
    assert float(after) < float(before)
    (weights,) = out.glob("tiny-*.safetensors")
    model, unpolished = load(weights), trained_model(config, out / "state.pt")
    changed = {n for n, x in model.tensors.items() if not np.array_equal(x, unpolished.tensors[n])}
    assert any("refinement" in name for name in changed)
    assert all("refinement" in name or name == "base" for name in changed)


def trained_model(config: Path, state: Path) -> Model:
    """The integer model of a training state."""
    trained = PhaseModel(PhaseConfig(**read_config(str(config)).model))
    trained.load_state_dict(torch.load(state, weights_only=True)["ema"])
    return draft_phase(trained)


def test_what_has_no_refinement_cannot_be_polished(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "tiny.toml"
    config.write_text(CONFIG + "\n[polishing]\nminutes = 1\n")
    assert cli.run(["train", str(config), str(folder), "-o", str(tmp_path / "run")]) == 1
    assert "only refinements are polished" in capsys.readouterr().err


def test_without_images_there_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["train", "fast", str(tmp_path), "-o", str(tmp_path / "run")]) != 0
    assert "too few" in capsys.readouterr().err


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda p: p.stem)
def test_shipped_configurations_can_be_read(path: Path) -> None:
    assert read_config(path.stem).name == path.stem


@pytest.mark.parametrize(
    "text", ["", "[model]\nkind = 'phase'\n", CONFIG + "colour = 1\n", CONFIG + "[extra]\n", "="]
)
def test_a_bad_configuration_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(InputError):
        read_config(str(path))


def test_planes_of_training_and_coding_are_the_same() -> None:
    rgb = np.random.default_rng(2).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    ours = rgb_to_planes(torch.from_numpy(rgb).permute(2, 0, 1))
    assert np.array_equal(ours.numpy(), to_planes(rgb))


def test_halved_chroma_keeps_luma() -> None:
    rgb = 255 * torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(1))
    weights = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    for seed in range(20):
        flat = halve_chroma(rgb, np.random.default_rng(seed))
        assert torch.allclose((flat * weights).sum(0), (rgb * weights).sum(0), atol=0.51)
        assert not torch.allclose(flat, rgb, atol=1)


def test_smooth_chroma_survives_halving() -> None:
    """Ramps come back as they were, but for the margin and what is rounded, wherever the samples lie."""
    ramp = torch.arange(32.0).expand(32, 32)
    rgb = torch.stack([100 + 2 * ramp, 90 + ramp.T, 150 - ramp - ramp.T])
    for seed in range(40):
        error = (halve_chroma(rgb, np.random.default_rng(seed)) - rgb)[:, 6:-6, 6:-6]
        assert error.abs().max() < 4
        assert error.mean((1, 2)).abs().max() < 2


def test_grain_is_noise_of_a_strength_in_its_range() -> None:
    found = []
    for seed in range(40):
        noise = grain((3, 64, 64), np.random.default_rng(seed), (0.5, 2.0))
        assert 0.5 <= noise.std() <= 2.001
        assert noise.mean().abs() < 0.2
        rows, channels = noise[:, :-1] * noise[:, 1:], noise[0] * noise[1]
        found.append((float(rows.mean() / noise.var()), float(channels.mean() / noise.var())))
    likeness = np.array(found)
    assert (likeness.min(0) < 0.1).all(), "some grain is of each pixel and channel alone"
    assert (likeness.max(0) > 0.4).all(), "some is not"


def test_sharpening_and_grain_are_only_done_if_asked_for() -> None:
    image = torch.full((3, 48, 48), 100, dtype=torch.uint8)
    image[:, :, 24:] = 140
    plain = Augmentation(shrink=0, enlarge=0, half_chroma=0, grey=0, gain=0)

    def values(how: Augmentation) -> list[int]:
        return sorted(set(crop(image, 48, np.random.default_rng(1), how).int().flatten().tolist()))

    assert values(plain) == [100, 140]
    darkest, dark, bright, brightest = values(replace(plain, sharpen=1))
    assert (dark, bright) == (100, 140)
    assert dark - darkest == brightest - bright > 0
    assert len(values(replace(plain, grain=1, grain_range=(3, 3)))) > 10
