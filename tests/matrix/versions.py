"""Other versions of the libraries: packages put before the installed ones, and other interpreters."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

from tests.golden import make

#: Packages whose oldest version is small enough to fetch in a test run.
SMALL = ("numpy", "constriction")
#: Names interpreters, separated as in PATH, that have another torch and what the codec needs besides.
OTHER_PYTHON = "NVPCODEC_OTHER_PYTHON"
FETCH_SECONDS = 120


class CannotFetchError(RuntimeError):
    """pip has no such version for this interpreter, or no way to it."""


def oldest(package: str) -> str:
    """The oldest version that pyproject.toml allows."""
    project = tomllib.loads((make.ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    for requirement in project["dependencies"]:
        if match := re.fullmatch(rf"{package}>=([\d.]+)", requirement):
            return match[1]
    raise KeyError(package)


def fetch_oldest(package: str, folder: Path) -> None:
    """Installs the oldest version of a package, and nothing else, into a folder.

    Raises
    ------
    CannotFetchError
        It is what is installed anyway, or pip cannot get it.
    """
    wanted = oldest(package)
    if version(package) == wanted or version(package).startswith(f"{wanted}."):
        raise CannotFetchError(f"{package} {version(package)} is what is installed")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary", ":all:", "--retries", "1", "--target", str(folder), f"{package}=={wanted}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise CannotFetchError(f"pip took too long over {package} {wanted}") from None
    if done.returncode:
        *_, reason = ["", *done.stderr.strip().splitlines()]
        raise CannotFetchError(f"pip has no {package} {wanted}: {reason}")


def other_pythons() -> list[str]:
    return [path for path in os.environ.get(OTHER_PYTHON, "").split(os.pathsep) if path]
