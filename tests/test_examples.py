"""The examples run, shortened, and draw a picture; what they print holds."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("matplotlib", reason="the examples need matplotlib, of the extra [examples]")

import jacobian
import masks
import scales
import toy2d

IMAGES = Path(__file__).parents[1] / "docs" / "images"
EXAMPLES = {"toy2d": toy2d.main, "jacobian": jacobian.main, "masks": masks.main, "scales": scales.main}
LARGEST_PICTURE_BYTES = 200_000


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pictures")


@pytest.fixture(params=EXAMPLES)
def printed(request: pytest.FixtureRequest, drawn: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The name of an example and the lines that a quick run printed."""
    name: str = request.param
    EXAMPLES[name](["--quick", "-o", str(drawn / f"{name}.png")])
    return [name, *capsys.readouterr().out.splitlines()]


def test_a_quick_run_draws_and_tells_the_truth(printed: list[str], drawn: Path) -> None:
    name, *lines = printed
    with Image.open(drawn / f"{name}.png") as picture:
        assert picture.width >= 800
        assert len(picture.getcolors() or []) > 20
    CHECKS[name](lines)


def check_toy2d(lines: list[str]) -> None:
    for line in lines[1:-1]:
        before, _, after, error = line.split()[-4:]
        assert float(after) < float(before)
        assert float(error) < 1e-3


def check_jacobian(lines: list[str]) -> None:
    assert lines[2].endswith("above the blocks 0.0, beside the diagonal 0.0")
    for line in lines[1:2] + lines[3:-1]:
        claimed, numerical, double, single = (float(word) for word in line.split()[-4:])
        assert abs(claimed - numerical) <= 1e-6
        assert double < 1e-10
        assert single < 1e-4


def check_masks(lines: list[str]) -> None:
    results = {line[:24].strip(): float(line[24:].split()[0]) for line in lines[1:-1]}
    assert list(results) == [
        "checkerboard of pixels", "checkerboard of blocks", "channels",
        "random values", "random channels", "learned",
    ]  # fmt: skip
    assert all(4 < bits < 9 for bits in results.values())


def check_scales(lines: list[str]) -> None:
    rows = [[float(word) for word in line.split()] for line in lines[1:4]]
    assert [row[1] for row in rows] == [6144, 3072, 3072]
    assert all(abs(row[3] + row[4] - row[5]) < 0.002 for row in rows)
    total, error = float(lines[4].split()[2]), float(lines[4].split()[-5])
    assert abs(total - sum(row[5] for row in rows)) < 0.003
    assert 2 < total < 5
    assert error < 1e-2


CHECKS = {"toy2d": check_toy2d, "jacobian": check_jacobian, "masks": check_masks, "scales": check_scales}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_committed_pictures_are_there_and_small(name: str) -> None:
    path = IMAGES / f"{name}.png"
    assert path.stat().st_size < LARGEST_PICTURE_BYTES
    assert f"images/{name}.png" in (IMAGES.parent / "flow.md").read_text(encoding="utf-8")


def test_nonsense_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        toy2d.main(["--steps", "0"])
    assert "--steps must be 1 or more" in capsys.readouterr().err
