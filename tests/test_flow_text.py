"""The programs in docs/flow.md run, and its pictures are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
TEXT = (DOCS / "flow.md").read_text(encoding="utf-8")


def test_the_programs_run_in_order() -> None:
    names: dict[str, object] = {}
    programs = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert len(programs) == 3
    for program in programs:
        exec(compile(program, "docs/flow.md", "exec"), names)


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#]+)\)", TEXT))
def test_links_and_pictures_lead_somewhere(target: str) -> None:
    assert (DOCS / target).is_file()
