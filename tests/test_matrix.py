"""Golden files and their images under other settings, threads and versions: the same pixels, the same bytes.

Each cell is a process of its own. `python -m tests.matrix` prints the same of eight times as many as a table.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest

from tests.golden import make
from tests.matrix import __main__ as table
from tests.matrix import cell as cell_process
from tests.matrix import settings, versions
from tests.matrix.settings import CELLS, REFERENCE, TESTED, Cell, Outcome

Outcomes = dict[Cell, "Future[Outcome]"]


@pytest.fixture(scope="module")
def reference() -> Outcome:
    return settings.run(REFERENCE)


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest, reference: Outcome) -> Iterator[Outcomes]:
    """The chosen cells that can be had, two at a time."""
    parameters = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    chosen = [values["matrix_cell"] for values in parameters if "matrix_cell" in values]
    pool = ThreadPoolExecutor(2)
    yield {
        cell: pool.submit(settings.run, cell) for cell in chosen if not settings.unavailable(cell, reference)
    }
    pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("matrix_cell", TESTED, ids=lambda cell: cell.name)
def test_settings(matrix_cell: Cell, reference: Outcome, outcomes: Outcomes) -> None:
    if reason := settings.unavailable(matrix_cell, reference):
        pytest.skip(reason)
    outcome = outcomes[matrix_cell].result()
    assert settings.without_effect(matrix_cell, outcome) == []
    assert settings.differences(outcome, reference) == []


@pytest.mark.parametrize("package", versions.SMALL)
def test_the_oldest_version(package: str, reference: Outcome, tmp_path: Path) -> None:
    try:
        versions.fetch_oldest(package, tmp_path)
    except versions.CannotFetchError as reason:
        pytest.skip(str(reason))
    outcome = settings.run(Cell(packages=str(tmp_path)))
    assert outcome.report.versions[package].startswith(versions.oldest(package))
    assert settings.differences(outcome, reference) == []


def test_another_torch(reference: Outcome) -> None:
    if not versions.other_pythons():
        pytest.skip(
            f"a torch is gigabytes large; {versions.OTHER_PYTHON} may name interpreters that have one"
        )
    for python in versions.other_pythons():
        outcome = settings.run(Cell(python=python))
        assert outcome.report.versions["torch"] != reference.report.versions["torch"]
        assert settings.differences(outcome, reference) == []


def test_the_reference_covers_what_it_should(reference: Outcome) -> None:
    report = reference.report
    assert settings.differences(reference, reference) == []
    assert report.decoded.keys() == make.read_index().keys() | cell_process.PHOTOGRAPHS.keys()
    assert report.encoded.keys() == cell_process.encoded_cases().keys()
    assert len(report.growths) >= 4
    assert report.layers["direct"] == report.layers["gemm"]


def test_any_two_settings_meet_in_all_ways() -> None:
    def meetings(cells: list[Cell]) -> set[tuple[object, ...]]:
        axes = ("threads", "capability", "isa", "cbwr", "onednn")
        return {
            tuple((axis, getattr(cell, axis)) for axis in two)
            for two in combinations(axes, 2)
            for cell in cells
        }

    assert len({cell.name for cell in CELLS}) == 48
    assert len(TESTED) == 6
    assert meetings(TESTED) == meetings(CELLS)


def test_what_differs_is_named(reference: Outcome) -> None:
    report = reference.report
    changed = replace(
        report,
        decoded=report.decoded | {"plain-noise": "0"},
        encoded=report.encoded | {"fast-large": "0"},
        layers=report.layers | {"gemm": {"fast": "0"}},
    )
    assert settings.differences(Outcome(changed, ""), reference) == [
        "decoding plain-noise",
        "encoding fast-large",
        "layers by gemm",
    ]


def test_a_setting_without_effect_is_named(reference: Outcome) -> None:
    if not all(reference.report.multipliers.values()):
        pytest.skip("this torch has no MKL or no oneDNN")
    assert settings.without_effect(REFERENCE, reference) == []
    wanted = Cell(3, "default", "SSE41", "COMPATIBLE", onednn=True)
    assert settings.without_effect(wanted, replace(reference, log="")) == [
        "3 threads",
        *(["ATEN_CPU_CAPABILITY=default"] if reference.report.capability != "DEFAULT" else []),
        "oneDNN True",
        "ONEDNN_MAX_CPU_ISA=SSE41",
        "MKL_CBWR=COMPATIBLE",
    ]


def test_cells_that_cannot_be_had(reference: Outcome) -> None:
    arm = Outcome(
        replace(reference.report, machine="aarch64", multipliers={"oneDNN": True, "MKL": False}), log=""
    )
    old = Outcome(replace(reference.report, machine="x86_64", capability="DEFAULT"), log="")
    available = [cell for cell in CELLS if settings.unavailable(cell, arm) is None]
    assert {(cell.capability, cell.isa, cell.cbwr) for cell in available} == {("default", None, None)}
    assert settings.unavailable(Cell(isa="AVX2"), old) == "the CPU does not have AVX2"
    assert settings.unavailable(Cell(isa="SSE41"), old) is None


def test_the_table_counts_a_cell_that_fails_and_says_why(
    tmp_path: Path, reference: Outcome, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('no torch today')\n", "utf-8")
    verdict = table.judge(Cell(packages=str(tmp_path)), reference)
    assert verdict.word == table.DIFFERENT
    assert verdict.why.endswith("ImportError: no torch today\n")
    equal = table.Verdict(table.EQUAL, outcome=reference)
    assert table.print_counts(reference, [equal])
    assert not table.print_counts(reference, [equal, verdict])
    assert "reference and 2 cells: 1 equal, 1 different, 0 skipped" in capsys.readouterr().out


def test_versions_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(versions, "version", versions.oldest)
    with pytest.raises(versions.CannotFetchError, match="is what is installed"):
        versions.fetch_oldest("numpy", tmp_path)
    assert os.listdir(tmp_path) == []
