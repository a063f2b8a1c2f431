"""The layers of CONTRIBUTING.md hold: imports point upward in its list, and light commands stay light."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "nvpcodec"
HEAVY = ("numpy", "torch", "constriction", "fsspec", "safetensors", "PIL", "nvpcodec.codec", "nvpcodec.train")
USERS = {
    "constriction": {"stack.py"},
    "click": {"cli/"},
    "fsspec": {"urls.py"},
    "numcodecs": {"integrations/"},
    "ray": {"bulk/"},
    "zarr": {"integrations/"},
}  # third-party packages that stay in one place


def layers() -> list[str]:
    """The first words between the marks in CONTRIBUTING.md: files, and packages with a slash behind."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    block = text.split("<!-- layers -->")[1].split("<!-- end of layers -->")[0]
    return [line.split()[0] for line in block.splitlines() if line.strip()]


def layer_of(path: Path) -> str:
    """The line that a file belongs to: its package's, or its own."""
    first, *below = path.relative_to(PACKAGE).parts
    return f"{first}/" if below else first


@dataclass(frozen=True)
class Import:
    """One imported module, by its dotted name; `deferred` if it is inside a function."""

    module: str
    deferred: bool


def imports_of(path: Path) -> Iterator[Import]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    deferred = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, (
                f"{path}: relative import in line {node.lineno}; the house writes them in full"
            )
            assert node.module is not None
            modules = list({imported_module(node.module, alias.name) for alias in node.names})
        else:
            continue
        for module in modules:
            yield Import(module, id(node) in deferred)


def imported_module(module: str, name: str) -> str:
    """`from nvpcodec import container` imports that module; other names come from `nvpcodec` itself."""
    is_module = module == "nvpcodec" and bool(layer_named(name))
    return f"{module}.{name}" if is_module else module


def layer_named(name: str) -> str | None:
    if (PACKAGE / name).is_dir():
        return f"{name}/"
    return f"{name}.py" if (PACKAGE / f"{name}.py").exists() else None


def imported_layer(module: str) -> str | None:
    """The layer that an import reaches, or None for what is not ours."""
    first, *below = module.split(".")
    if first != "nvpcodec":
        return None
    return layer_named(below[0]) or f"{below[0]}.py" if below else "__init__.py"


def source_files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def test_every_module_has_its_line_and_every_line_its_module() -> None:
    assert sorted(layers()) == sorted({layer_of(path) for path in source_files()})


@pytest.mark.parametrize("path", source_files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_come_from_above(path: Path) -> None:
    order = layers()
    own = layer_of(path)
    above = set(order[: order.index(own)]) | ({own} if own.endswith("/") else set())
    reached = {layer for item in imports_of(path) if (layer := imported_layer(item.module))}
    assert reached <= above, f"{own} imports from below itself: {sorted(reached - above)}"


def test_only_its_command_imports_training_and_only_when_called() -> None:
    for path in source_files():
        if layer_of(path) == "train/":
            continue
        for item in imports_of(path):
            if imported_layer(item.module) == "train/":
                assert layer_of(path) == "cli/", f"{path} imports {item.module}"
                assert item.deferred, f"{path} imports {item.module} outside of a function"


@pytest.mark.parametrize("package", sorted(USERS))
def test_some_packages_have_one_user(package: str) -> None:
    users = {
        layer_of(path)
        for path in source_files()
        for item in imports_of(path)
        if item.module.split(".")[0] == package
    }
    assert users == USERS[package]


def run_fresh(program: str, *arguments: str) -> list[str]:
    """Runs a program in an interpreter of its own; returns which of HEAVY it ended with."""
    ending = (
        f"import sys; print(*[name for name in {HEAVY!r} if name in sys.modules], sep='\\n', file=sys.stderr)"
    )
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import atexit\natexit.register(exec, {ending!r}, {{}})\n{program}",
            *arguments,
        ],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr.split()


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert run_fresh("import nvpcodec") == []


def test_help_loads_nothing_heavy() -> None:
    assert run_fresh("from nvpcodec.cli import main; main()", "--help") == []


@pytest.mark.parametrize("command", ["encode", "decode", "bulk", "info", "train"])
def test_help_of_a_command_loads_nothing_heavy(command: str) -> None:
    assert run_fresh("from nvpcodec.cli import main; main()", command, "--help") == []


def test_info_loads_nothing_heavy(tmp_path: Path) -> None:
    loaded = run_fresh("from nvpcodec.cli import main; main()", "info", str(plain_file(tmp_path)))
    assert set(loaded) <= {"numpy"}  # the image record needs it


def plain_file(folder: Path) -> Path:
    """A .nvp of one black pixel that needs no model."""
    from nvpcodec import container

    part = container.RegionPart(container.MODE_STORED, b"\x08\x00")
    data = container.write(
        container.Container(
            kind=container.GREY,
            bit_depth=8,
            width=1,
            height=1,
            region_height=1,
            region_width=1,
            model_id=None,
            side_data=b"",
            regions=(part,),
            pixel_checksum=container.checksum(b"\x00"),
        )
    )
    path = folder / "black.nvp"
    path.write_bytes(data)
    return path


def test_coding_loads_no_training() -> None:
    program = """
import numpy, nvpcodec
image = (numpy.arange(32 * 48 * 3).reshape(32, 48, 3) % 251).astype(numpy.uint8)
assert numpy.array_equal(nvpcodec.decode(nvpcodec.encode(image)), image)
"""
    loaded = run_fresh(program)
    assert "torch" in loaded, "the photo model was not used"
    assert "nvpcodec.train" not in loaded
