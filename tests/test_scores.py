"""Scores are the theory of files, z-scores those of a reference, and the command prints both."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import nvpcodec
from nvpcodec import Options, Reference, Score, plain, png, zoo
from nvpcodec.cli import run
from nvpcodec.codec import encode_with_report
from nvpcodec.errors import ImageTooLargeError, InputError, UnsupportedImageError
from nvpcodec.pixels import Image, Kind
from nvpcodec.scores import Spread
from nvpcodec.scoring import colour_samples, score_image
from tests.helpers import PALETTE, noise, text_like
from tests.models import small_options

MODELS = [Options(model=name, device="cpu") for name in zoo.CURRENT]


def bumpy(height: int = 80, width: int = 72, channels: int = 3) -> NDArray[np.uint8]:
    """Waves under noise: nothing but a flow codes it best."""
    y, x = np.mgrid[:height, :width]
    waves = 128 + 60 * np.sin(x / 9) + 40 * np.cos(y / 7)
    grain = np.random.default_rng(3).normal(0, 3, (height, width, channels))
    samples: NDArray[np.uint8] = (waves[..., None] + grain).round().clip(0, 255).astype(np.uint8)
    return samples


@pytest.mark.parametrize("options", MODELS, ids=lambda o: o.model)
@pytest.mark.parametrize("kind", [Kind.GREY, Kind.RGB, Kind.RGBA])
def test_a_score_is_the_theory_of_the_file(options: Options, kind: Kind) -> None:
    image = Image(bumpy(channels=kind.channels), kind)
    _, report = encode_with_report(image, options)
    assert report.theory_bits > 0, "the flow was not used"
    assert score_image(image, options).model_bits == report.theory_bits


def test_it_is_so_with_several_regions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nvpcodec.regions.REGION_SIDE", 64)
    image, options = Image(bumpy(100, 120), Kind.RGB), Options(device="cpu")
    data, report = encode_with_report(image, options)
    assert [region.mode for region in nvpcodec.info(data).regions] == ["flow"] * 4
    assert score_image(image, options).model_bits == report.theory_bits


def test_effort_counts() -> None:
    image = Image(bumpy(160, 160), Kind.RGB)
    model = small_options().model
    low, high = (score_image(image, Options(model=model, device="cpu", effort=e)) for e in (1, 5))
    assert high.model_bits < low.model_bits
    assert high.plain_bits == low.plain_bits


def test_the_correction_is_the_shortest_coding_without_a_model() -> None:
    image = text_like()
    samples = image.samples
    score = score_image(image, small_options())
    expected = 8 * len(plain.encode(samples, 8)[1])
    assert score.plain_bits == expected
    assert score.corrected == pytest.approx(score.bits_per_dim - expected / samples.size)
    assert score.corrected > 0, "a drawing is cheaper without a model of photographs"


def test_what_is_scored_is_what_is_shown() -> None:
    rgb = bumpy(9, 8)
    alpha = np.concatenate([rgb, np.arange(72, dtype=np.uint8).reshape(9, 8, 1)], 2)
    assert np.array_equal(colour_samples(Image(alpha, Kind.RGBA)), rgb)
    grey_alpha = np.ascontiguousarray(rgb[..., :2])
    assert np.array_equal(colour_samples(Image(grey_alpha, Kind.GREY_ALPHA)), rgb[..., :1])
    palette = noise(1, Kind.PALETTE)
    colours = np.frombuffer(PALETTE, np.uint8).reshape(-1, 3)
    assert np.array_equal(colour_samples(palette), colours[palette.samples[..., 0]])
    bilevel = noise(1, Kind.BILEVEL)
    assert np.array_equal(colour_samples(bilevel), bilevel.samples * 255)
    with pytest.raises(UnsupportedImageError, match="8 bits only"):
        colour_samples(noise(1, Kind.GREY, np.uint16))


def test_the_library_scores_arrays() -> None:
    array = bumpy(20, 20)
    score = nvpcodec.score(array, options=small_options())
    assert score == score_image(Image(array, Kind.RGB), small_options())
    assert score.dims == 1200
    with pytest.raises(ImageTooLargeError):
        nvpcodec.score(array, options=Options(max_pixels=10))


def score_of(bits: float, plain_bits: int = 100, model_id: str = "00", effort: int = 5) -> Score:
    return Score(model_id, effort, 100, bits, plain_bits)


def test_a_reference_is_mean_and_deviation() -> None:
    reference = Reference.of([score_of(100, 100), score_of(200, 100), score_of(300, 400)])
    assert reference.images == 3
    assert (reference.bits_per_dim.mean, reference.bits_per_dim.sd) == (2.0, 1.0)
    assert reference.corrected.mean == 0
    assert reference.corrected.sd == 1.0
    assert reference.z(score_of(350, 50)) == (1.5, 3.0)
    assert Reference.from_json(reference.to_json()) == reference
    assert Reference.from_json(json.dumps({"reference": json.loads(reference.to_json())})) == reference


def test_references_that_say_nothing_are_refused() -> None:
    with pytest.raises(InputError, match="two images or more; there are 1"):
        Reference.of([score_of(1)])
    with pytest.raises(InputError, match="several models"):
        Reference.of([score_of(1), score_of(2, effort=1)])
    with pytest.raises(InputError, match=r"deviation 0\.0 are no reference"):
        Reference.of([score_of(1), score_of(1)])
    with pytest.raises(InputError, match="no reference"):
        Spread(math.nan, 1)


def test_scores_of_another_model_are_not_compared() -> None:
    reference = Reference.of([score_of(1), score_of(2, 50)])
    for other in (score_of(1, model_id="11"), score_of(1, effort=9)):
        with pytest.raises(InputError, match="with the same options"):
            reference.z(other)


@pytest.mark.parametrize("text", ["", "[]", "7", "{}", '{"reference": null}', '{"model_id": "00"}', b"\xff"])
def test_other_texts_are_no_reference(text: str | bytes) -> None:
    with pytest.raises(InputError, match="this is no reference"):
        Reference.from_json(text)


# --- the commands -------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images, in two folders."""
    (tmp_path / "in" / "below").mkdir(parents=True)
    (tmp_path / "in" / "a.png").write_bytes(png.write(Image(bumpy(20, 24), Kind.RGB)))
    (tmp_path / "in" / "below" / "b.png").write_bytes(png.write(text_like()))
    (tmp_path / "in" / "notes.txt").write_text("no image")
    return tmp_path / "in"


def small(*arguments: str | Path) -> int:
    """Run a command with the small model."""
    command, *rest = map(str, arguments)
    return run([command, "--model", small_options().model, "--device", "cpu", *rest])


def test_score_prints_a_line_for_each_image(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert small("score", folder) == 0
    first, second = capsys.readouterr().out.splitlines()
    score = nvpcodec.score(bumpy(20, 24), options=small_options())
    assert first == f"{folder / 'a.png'}: {score.bits_per_dim:.4f} bits/dim, corrected {score.corrected:+.4f}"
    assert second.startswith(f"{folder / 'below' / 'b.png'}: ")


def test_what_score_prints_is_a_reference(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert small("score", "--json", folder) == 0
    printed = capsys.readouterr().out
    (tmp_path / "reference.json").write_text(printed)
    for reference in (tmp_path / "reference.json", folder):
        assert small("score", "--json", "--reference", reference, folder) == 0
        images = json.loads(capsys.readouterr().out)["images"]
        assert [image["z"] for image in images] == pytest.approx([math.sqrt(0.5), -math.sqrt(0.5)])
    assert small("score", "--reference", folder, folder / "a.png") == 0
    assert "bits/dim (z +0.71), corrected" in capsys.readouterr().out
    assert small("score", "--json", folder / "a.png") == 0
    assert json.loads(capsys.readouterr().out)["reference"] is None


def test_score_refuses_in_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "below" / "b.png").unlink()
    cases = {
        ("score", folder / "notes.txt"): (1, "notes.txt: it is no image"),
        ("score", folder / "missing.png"): (2, "does not exist"),
        ("score", folder / "below"): (2, "there is no image file in that folder"),
        ("score", "--reference", folder, folder): (1, "two images or more"),
        ("score", "--reference", folder / "notes.txt", folder): (1, "notes.txt: this is no reference"),
    }
    for arguments, (status, message) in cases.items():
        assert small(*arguments) == status
        captured = capsys.readouterr()
        assert message in captured.err
        assert captured.err.count("\n") == 1


def test_sample_writes_a_grid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("sample", "-n", "3", "--size", "10", "--temperature", "0.5", "--seed", "4", "-o")
    assert small(*arguments, tmp_path / "a.png") == 0
    assert "3 samples of 10x10, seed 4" in capsys.readouterr().err
    assert small(*arguments, tmp_path / "b.png", "-q") == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert small(*arguments, tmp_path / "b.png") == 2
    assert small("sample", "--temperature", "9", "-o", tmp_path / "c.png") == 1
    assert "the temperature is 9; it must be" in capsys.readouterr().err
    assert not (tmp_path / "c.png").exists()


def test_latents_and_back(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert small("latents", folder / "a.png") == 0
    assert "latents uint32 (3, 20, 24)" in capsys.readouterr().err
    assert small("latents", folder / "a.npz", "-o", tmp_path / "again.png", "-q") == 0
    from nvpcodec import imagefile

    again = imagefile.read((tmp_path / "again.png").read_bytes(), max_pixels=1000).image
    assert again.equals(Image(bumpy(20, 24), Kind.RGB))
    assert small("latents", folder / "a.npz") == 2
    assert "exists already" in capsys.readouterr().err
    assert small("latents", folder / "notes.txt") == 1
    (folder / "broken.npz").write_bytes(b"PK")
    assert small("latents", folder / "broken.npz") == 1
    assert "broken.npz: the file holds no latents" in capsys.readouterr().err
    assert not (folder / "broken.png").exists()
