"""The wheel: the same bytes each time, the weights inside, and what it installs does the main job."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from nvpcodec import zoo

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two wheels of the last commit, built in two clones."""
    if not (ROOT / ".git").exists():
        pytest.skip("no checkout of git, so no commit to build from")
    found: list[Path] = []
    for name in ("first", "second"):
        clone = tmp_path_factory.mktemp(name) / "clone"
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
        subprocess.run([clone / "bin" / "wheel"], check=True, env={"PATH": _path(), "PYTHON": sys.executable})
        found += (clone / "dist").glob("nvpcodec-*.whl")
    return found


def _path() -> str:
    """Where git and the shell's tools are, and nothing of this environment."""
    return ":".join(sorted({str(Path(shutil.which(tool) or "").parent) for tool in ("git", "bash", "tar")}))


def test_it_is_built_to_the_same_bytes(wheels: list[Path]) -> None:
    first, second = wheels
    assert first.name == second.name
    assert first.read_bytes() == second.read_bytes()


def test_weights_and_types_are_inside(wheels: list[Path]) -> None:
    with zipfile.ZipFile(wheels[0]) as archive:
        names = set(archive.namelist())
        weights = sum(i.file_size for i in archive.infolist() if i.filename.startswith("nvpcodec/weights/"))
    for name, model_id in zoo.CURRENT.items():
        assert f"nvpcodec/weights/{name}-{model_id}.safetensors" in names
    assert "nvpcodec/py.typed" in names
    assert not any(name.startswith(("tests/", "benchmarks/", "examples/")) for name in names)
    assert weights < 32 << 20


def test_a_photograph_goes_there_and_back_with_the_installed_wheel(
    wheels: list[Path], tmp_path: Path
) -> None:
    """In an environment of its own, which takes nothing but the wheel's dependencies from this one."""
    home = tmp_path / "venv"
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(home), "platbase": str(home)}))
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps"]
    subprocess.run([*install, str(wheels[0])], check=True)
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    photograph = ROOT / "demo" / "chelsea.png"
    command = str(home / "bin" / "nvpcodec")
    subprocess.run([command, "encode", str(photograph), "a.nvp"], check=True, cwd=tmp_path)
    subprocess.run([command, "decode", "a.nvp", "a.png"], check=True, cwd=tmp_path)
    where = [str(python), "-c", "import nvpcodec; print(nvpcodec.__file__)"]
    came_from = subprocess.run(where, check=True, cwd=tmp_path, capture_output=True, text=True).stdout
    assert Path(came_from.strip()).is_relative_to(site)
    compare = [str(python), str(ROOT / "demo" / "compare.py"), str(photograph), str(tmp_path / "a.png")]
    subprocess.run(compare, check=True, cwd=tmp_path)
