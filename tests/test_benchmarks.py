"""The benchmarks run, add up and notice a codec that loses something."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import determinism
import gpu_check
import size
import speed
import worker
from common import Codec, Encoded, Picture, Samples, codec, find_images, is_lossless, load, peer_names
from nvpcodec import codec as image_codec
from nvpcodec import exact

ROOT = Path(__file__).resolve().parent.parent
CHANNELS = (1, 2, 3, 4)


def gradient(height: int, width: int, channels: int) -> Samples:
    """Smooth, with all planes different and alpha, if any, often zero."""
    y, x, c = np.ogrid[:height, :width, :channels]
    samples: Samples = ((3 * x + 2 * y) * (c + 1) // 2 % 256 * ((c % 2 == 0) | (x % 3 > 0))).astype(np.uint8)
    return samples


def picture_file(path: Path, samples: Samples) -> Path:
    Image.fromarray(samples.squeeze()).save(path)
    return path


def run_benchmark(script: str, *arguments: str) -> dict[str, Any]:
    """Runs a benchmark as a user would; returns the JSON of its last line."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / script), *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    summary: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return summary


def stored_codec(name: str, damage: Callable[[bytes], bytes] = bytes) -> Codec:
    """Stores a 4×4 grey picture, and returns it through `damage`."""

    def decode(data: bytes) -> Samples:
        return np.frombuffer(damage(data), np.uint8).reshape(4, 4, 1)

    return Codec(name, lambda samples: Encoded(samples.tobytes()), decode)


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("name", peer_names())
def test_peers_are_lossless(name: str, channels: int) -> None:
    pytest.importorskip("imagecodecs", reason="the JPEG XL peers need imagecodecs, of the extra [bench]")
    peer = codec(name)
    samples = gradient(9, 14, channels)
    assert is_lossless(peer.decode(peer.encode(samples).data), samples)


def test_one_other_sample_is_a_loss() -> None:
    for channels in CHANNELS:
        samples = gradient(5, 4, channels)
        changed = samples.copy()
        changed[4, 3, -1] ^= 1
        assert is_lossless(samples.copy(), samples)
        assert not is_lossless(changed, samples)


def test_grey_may_come_back_as_equal_colours_only() -> None:
    grey = gradient(5, 4, 1)
    colours = np.repeat(grey, 3, axis=2)
    assert is_lossless(colours, grey)
    colours[0, 0, 1] ^= 1
    assert not is_lossless(colours, grey)


def test_a_folder_gives_its_images_in_order(tmp_path: Path) -> None:
    for name in ("b.png", "a.png"):
        picture_file(tmp_path / name, gradient(3, 3, 3))
    (tmp_path / "notes.txt").write_text("no image")
    assert [path.name for path in find_images([tmp_path, tmp_path / "b.png"])] == ["a.png", "b.png", "b.png"]


def test_palettes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "palette.png"
    Image.new("P", (3, 3)).save(path)
    with pytest.raises(ValueError, match="mode P"):
        load(path)


def test_a_report_must_add_up() -> None:
    parts: dict[str, float] = {"theory": 900.5, "coder": 20, "initial": 64, "side": 8, "container": 207.5}
    size.Ledger(dims=100, file=1200, float_theory=None, **parts).check("exact")
    with pytest.raises(ValueError, match=r"short: the parts are 1200\.0 bits in all, the file 1208"):
        size.Ledger(dims=100, file=1208, float_theory=None, **parts).check("short")


def test_a_total_is_all_bits_over_all_samples() -> None:
    small = size.Result("small", dims=10, bits=80, lossless=True, ledger=None)
    large = size.Result("large", dims=90, bits=120, lossless=True, ledger=None)
    assert size.total_bits_per_dim([small, large]) == 2.0


@pytest.mark.parametrize("broken", [False, True])
def test_size_notices_a_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], broken: bool
) -> None:
    damage = (lambda data: data[:-1] + bytes([data[-1] ^ 1])) if broken else bytes
    monkeypatch.setattr(size, "peer_names", tuple)
    monkeypatch.setattr(size, "codec", lambda name: stored_codec(name, damage))
    path = picture_file(tmp_path / "grey.png", gradient(4, 4, 1))

    status = size.main([str(path), "--models", "stored"])

    output = capsys.readouterr()
    summary = json.loads(output.out.splitlines()[-1])
    assert status == int(broken)
    assert summary["lossless"] is not broken
    assert summary["bits_per_dim"] == {"stored": 8.0}
    assert ("grey.png (stored)" in output.err) is broken


def test_tiles_cover_the_large_image() -> None:
    tiles = [
        Picture("dark", np.full((40, 60, 3), 1, np.uint8)),
        Picture("light", np.full((50, 30, 3), 2, np.uint8)),
    ]
    large = worker.tiled(tiles, 0.01).samples
    assert large.shape == (100, 100, 3)
    assert large[:40, :30].max() == 1  # the cell is the smallest height and width: 40 by 30
    assert large[:40, 30:60].min() == 2
    assert set(np.unique(large)) == {1, 2}


def one_round(encode_seconds: float, decode_seconds: float, stages: dict[str, float]) -> worker.Round:
    return worker.Round(
        raw_bytes=6_000_000,
        file_bytes=1,
        megapixels=2.0,
        lossless=True,
        encode_seconds=encode_seconds,
        decode_seconds=decode_seconds,
        stage_seconds=stages,
        peak_mib=100.0 + encode_seconds,
    )


def test_speeds_are_medians_and_ratios_pair_the_rounds() -> None:
    own = [one_round(encode, 1.0, {"network": encode / 2}) for encode in (2.0, 4.0, 3.0)]
    reference = [one_round(encode, 0.5, {}) for encode in (1.0, 4.0, 6.0)]
    summary = speed.summarise(one_round(9.0, 8.0, {}), own, reference)
    assert summary.encode_mb_per_second == 2.0
    assert summary.encode_ratio == 1.0  # of 0.5, 1 and 2
    assert summary.decode_ratio == 0.5
    assert summary.first_encode_seconds == 9.0
    assert summary.peak_mib == 104.0
    assert summary.stage_seconds_per_megapixel == {"network": 0.75, "other": 0.75}


def test_size_through_jpeg(tmp_path: Path) -> None:
    """Colours that JPEG can make cost less; without --jpeg these are others."""
    with Image.open(ROOT / "demo" / "coffee.png") as opened:
        samples = np.asarray(opened.convert("RGB"))[100:180, 100:200]
    path = picture_file(tmp_path / "crop.png", samples)
    options = ("--models", "fast", "--codecs", "webp")
    as_it_is, jpeg = (run_benchmark("size.py", str(path), *options, *more) for more in ((), ("--jpeg", "90")))
    assert jpeg["lossless"]
    ratios = [found["bits"]["fast"] / found["bits"]["webp"] for found in (as_it_is, jpeg)]
    assert ratios[1] < 0.9 * ratios[0]


def test_size_runs_on_a_folder(tmp_path: Path) -> None:
    pytest.importorskip("imagecodecs", reason="the JPEG XL peers need imagecodecs, of the extra [bench]")
    picture_file(tmp_path / "colour.png", gradient(40, 30, 3))
    picture_file(tmp_path / "grey.png", gradient(20, 50, 1))

    summary = run_benchmark("size.py", str(tmp_path))

    assert summary["lossless"] is True
    assert (summary["images"], summary["dims"]) == (2, 4600)
    assert list(summary["bits"]) == ["png", "webp", "jxl-e7", "jxl-e9", "fast", "best", "realnvp"]
    assert list(summary["models"]) == ["fast", "best", "realnvp"]


def test_speed_runs_with_a_large_image(tmp_path: Path) -> None:
    pytest.importorskip("imagecodecs", reason="the JPEG XL peers need imagecodecs, of the extra [bench]")
    with Image.open(ROOT / "demo" / "coffee.png") as photograph:
        path = picture_file(tmp_path / "colour.png", np.asarray(photograph)[100:148, 200:264])
    options = ["--codecs", "png", "--models", "fast", "--rounds", "1", "--threads", "1", "--big", "0.01"]

    summary = run_benchmark("speed.py", str(path), *options)

    assert summary["lossless"] is True
    assert list(summary["codecs"]) == ["png", "jxl-e7", "fast"]
    assert set(summary["codecs"]["fast"]["stage_seconds_per_megapixel"]) >= {"network", "stack", "other"}
    assert summary["big"]["fast"]["megapixels"] == 0.01
    assert summary["codecs"]["fast"]["peak_mib"] > summary["codecs"]["png"]["peak_mib"] > 10


def test_speed_says_which_codec_failed(tmp_path: Path) -> None:
    path = picture_file(tmp_path / "colour.png", gradient(8, 8, 3))
    expected = pytest.raises(SystemExit, match="no-such-model failed, status 1")
    with speed.Worker(str(tmp_path / "no-such-model"), 1, [path]) as failing, expected:
        failing.round("first")


def outcome(wrong: int | None, right_before: int | None, error: str | None = None) -> dict[str, Any]:
    return {"samples": 200, "wrong": wrong, "right_before": right_before, "error": error}


def test_broken_images_are_counted() -> None:
    outcomes = [outcome(0, 200), outcome(50, 100), outcome(None, None, "too large"), outcome(150, 20)]
    found = determinism.count(outcomes)
    assert (found.images, found.broken, found.gave_up) == (4, 3, 1)
    assert found.cells == ["3 of 4", "30.0 %", "50.0 %"]
    assert determinism.count(outcomes[:1]).cells == ["0 of 1", "", ""]


def test_equal_settings_must_break_nothing() -> None:
    sound, broken = determinism.count([outcome(0, 200)]), determinism.count([outcome(1, 9)])
    determinism.check_equal_settings({"float": sound})
    with pytest.raises(RuntimeError, match="coder float breaks 1 images under equal settings"):
        determinism.check_equal_settings({"integer": sound, "float": broken})


def test_determinism_of_small_crops(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Floats break where the instruction set changes; integers do not."""
    settings = [determinism.ENCODER, determinism.Setting("no AVX", {"ATEN_CPU_CAPABILITY": "default"})]
    monkeypatch.setattr(determinism, "decoders", lambda _batch, _others: settings)
    assert determinism.main([str(ROOT / "demo"), "--crop", "64"]) == 0
    broken = json.loads(capsys.readouterr().out.splitlines()[-1])["broken"]
    assert broken["the same settings"] == {"float": 0, "tables": 0, "integer": 0}
    assert broken["no AVX"]["integer"] == 0


@pytest.fixture
def small_gpu_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Arguments of a quick check of the CPU, on few golden files and sizes; its log is LOG there."""
    for path in gpu_check.GOLDEN.glob("*-rgb.n*"):
        shutil.copy(path, tmp_path)
    monkeypatch.setattr(gpu_check, "GOLDEN", tmp_path)
    monkeypatch.setattr(gpu_check, "SIZES", ((1, 1), (37, 53)))
    monkeypatch.setattr(gpu_check, "GRIDS", ((1, 1), (5, 6)))
    monkeypatch.setattr(gpu_check, "of_every_kind", lambda _: {})
    return ["--device", "cpu", "--largest", "53", "--output", str(tmp_path / "LOG")]


def test_gpu_check_sets_the_ways_of_the_cpu_side_by_side(small_gpu_check: list[str], tmp_path: Path) -> None:
    assert gpu_check.main(small_gpu_check) == 0
    log = (tmp_path / "LOG").read_text("utf-8")
    assert "all equal" in log
    assert log.count(" 0 wrong") == 10
    golden = len(list(tmp_path.glob("*.nvp")))
    assert golden >= 2
    assert f"{'golden files':28} {golden:5} cases, 0 wrong" in log


def wrong_product(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    result = exact.gemm(x, weight, bias)
    result[..., -1, -1] += 1
    return result


def test_gpu_check_finds_a_wrong_product(capsys: pytest.CaptureFixture[str]) -> None:
    side, log = gpu_check.Side("cpu", (wrong_product,)), gpu_check.Log([])
    log.check("shapes", lambda: gpu_check.shape_cases(side))
    assert log.failed > 20
    before = log.failed
    log.check("layers", lambda: gpu_check.layer_cases(side))
    assert log.failed == before + 1
    assert "refused" in capsys.readouterr().out
    log.check("layers", lambda: gpu_check.layer_cases(side), refusable=True)
    assert log.failed == before + 1


def test_gpu_check_compares_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """One side's bytes with another's: an encoder that differs is noticed."""
    encode = image_codec.encode_image

    def differing(image: Any, options: Any) -> bytes:
        used = exact.LOWERINGS["cpu"]
        return encode(image, options) + (b"" if used == (exact.direct,) else b"x")

    monkeypatch.setattr(image_codec, "encode_image", differing)
    monkeypatch.setattr(gpu_check, "MODELS", ("fast",))
    sides = gpu_check.Side("cpu", (exact.direct,)), gpu_check.Side("cpu", (exact.gemm,))
    images = gpu_check.sized(gradient(8, 9, 3), 1)
    assert next(gpu_check.picture_cases(sides, images)) == ("fast 1×1: bytes", False)


def test_a_picture_is_fitted_by_mirrors() -> None:
    row = np.array([[[1], [2], [3]]], np.uint8)
    assert gpu_check._fitted(row, 2, 8)[:, :, 0].tolist() == [[1, 2, 3, 2, 1, 2, 3, 2]] * 2


def test_gpu_check_needs_a_gpu(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu_check.main([]) == 1
    assert "there is no CUDA device here" in capsys.readouterr().err
