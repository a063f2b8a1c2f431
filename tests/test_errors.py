"""The error tree: every error is an NvpError, and the drawing at the top of the module is the tree."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys

import pytest

from nvpcodec import errors

CLASSES = [value for value in vars(errors).values() if inspect.isclass(value)]


def drawn_parents() -> dict[str, str | None]:
    """Class to parent as the module's docstring draws it."""
    path: list[str] = []
    parents: dict[str, str | None] = {}
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"((?:│   |    |├── |└── )*)([A-Z]\w+Error)\b", line)
        if match:
            depth = len(match[1]) // 4
            path[depth:] = [match[2]]
            parents[match[2]] = path[depth - 1] if depth else None
    return parents


def test_the_drawing_is_the_tree() -> None:
    built = {one.__name__: one.__base__.__name__ if one.__base__ else None for one in CLASSES}
    assert built.pop("NvpError") == "Exception"
    drawn = drawn_parents()
    assert drawn.pop("NvpError") is None
    assert drawn == built


@pytest.mark.parametrize("one", CLASSES)
def test_each_error_is_caught_as_nvp_error_and_says_what_it_is(one: type[Exception]) -> None:
    assert issubclass(one, errors.NvpError)
    assert one.__doc__
    assert str(one("what is wrong")) == "what is wrong"


def test_no_error_hides_among_those_of_the_language() -> None:
    """A ValueError of ours could be swallowed by code that means another."""
    for one in CLASSES:
        assert not issubclass(one, ValueError | OSError | ArithmeticError | LookupError)


def test_the_module_imports_nothing() -> None:
    """Nothing but the language's own ``__future__``, so that any module may import it."""
    program = (
        "import sys, importlib.util as u\n"
        f"spec = u.spec_from_file_location('alone', {errors.__file__!r})\n"
        "before = set(sys.modules)\n"
        "spec.loader.exec_module(u.module_from_spec(spec))\n"
        "print(sorted(set(sys.modules) - before))\n"
    )
    result = subprocess.run([sys.executable, "-S", "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "['__future__']"
