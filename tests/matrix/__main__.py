"""Prints what every cell of the matrix made: python -m tests.matrix > benchmarks/results/matrix.txt

Other versions of torch are tried where NVPCODEC_OTHER_PYTHON names interpreters that have one. The exit code
is 1 where anything differs.
"""

from __future__ import annotations

import platform
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.matrix import settings, versions
from tests.matrix.settings import REFERENCE, Cell, Outcome

WIDTHS = (7, 8, 8, 11, 6, 24, 11)
EQUAL, SKIPPED = "equal", "skipped"


def row(*values: object) -> str:
    *most, last = (str(value) for value in values)
    return "  ".join([*(value.ljust(width) for value, width in zip(most, WIDTHS, strict=True)), last])


def cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text("utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.split(": ", 1)[1] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def version_text(outcome: Outcome) -> str:
    return ", ".join(f"{name} {version}" for name, version in outcome.report.versions.items())


def verdict(cell: Cell, reference: Outcome) -> tuple[str, Outcome | None]:
    """One word or all that is wrong; and what the cell made, if it ran."""
    if reason := settings.unavailable(cell, reference):
        return f"{SKIPPED}: {reason}", None
    try:
        outcome = settings.run(cell)
    except settings.CellError as error:
        return str(error), None
    wrong = [f"{setting} had no effect" for setting in settings.without_effect(cell, outcome)]
    wrong += [f"{name} differs" for name in settings.differences(outcome, reference)]
    return ", ".join(wrong) or EQUAL, outcome


class Tally:
    """Verdicts, and files of the cells that ran."""

    def __init__(self, first: Outcome) -> None:
        self.verdicts: Counter[str] = Counter()
        self.files: Counter[str] = Counter()
        self._count_files(first)

    def add(self, text: str, outcome: Outcome | None) -> None:
        self.verdicts[text if text == EQUAL else text.split(":")[0] if SKIPPED in text else "different"] += 1
        if outcome:
            self._count_files(outcome)

    def _count_files(self, outcome: Outcome) -> None:
        self.files["decoded"] += len(outcome.report.decoded)
        self.files["encoded"] += len(outcome.report.encoded)


def print_cells(pool: ThreadPoolExecutor, reference: Outcome, tally: Tally) -> None:
    print(row("threads", "ATen", "oneDNN", "MKL_CBWR", "oneDNN", "its convolution", "MKL's mode", "files"))
    cells = settings.CELLS
    for cell, (text, made) in zip(cells, pool.map(lambda cell: verdict(cell, reference), cells), strict=True):
        switch = "on" if cell.onednn else "off"
        kernels = (made.convolution or "not used", made.cbwr or "none") if made else ("", "")
        choices = (cell.capability, cell.isa or "-", cell.cbwr or "-")
        print(row(cell.threads, *choices, switch, *kernels, text), flush=True)
        tally.add(text, made)


def print_versions(reference: Outcome, tally: Tally) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for package in versions.SMALL:
            target = Path(folder) / package
            try:
                versions.fetch_oldest(package, target)
            except versions.CannotFetchError as error:
                print(f"{SKIPPED}: {error}")
                tally.verdicts[SKIPPED] += 1
                continue
            print_version(Cell(packages=str(target)), reference, tally)
    for python in versions.other_pythons():
        print_version(Cell(python=python), reference, tally)


def print_version(cell: Cell, reference: Outcome, tally: Tally) -> None:
    text, outcome = verdict(cell, reference)
    print(f"{version_text(outcome) if outcome else cell.python}: {text}", flush=True)
    tally.add(text, outcome)


def main() -> int:
    reference = settings.run(REFERENCE)
    tally = Tally(reference)
    print("Golden files, their images and parts of photographs: decoded and encoded under other settings\n")
    print(f"CPU: {cpu_name()} ({reference.report.machine}, {reference.report.capability})")
    print(f"{version_text(reference)}; one thread and nothing set: the reference\n")
    wrong = settings.differences(reference, reference)
    if wrong:
        print("the reference itself: " + ", ".join(wrong))
        tally.verdicts["different"] += 1
    with ThreadPoolExecutor(2) as pool:
        print_cells(pool, reference, tally)
    print("\nother versions:")
    print_versions(reference, tally)
    print(f"\n1 reference, {len(settings.CELLS)} cells of settings and the other versions:", end=" ")
    print(", ".join(f"{tally.verdicts[word]} {word}" for word in (EQUAL, "different", SKIPPED)))
    print(f"{tally.files['decoded']} files decoded to the recorded or the encoded pixels,", end=" ")
    print(f"{tally.files['encoded']} files encoded, byte for byte as by the reference")
    return 1 if tally.verdicts["different"] else 0


if __name__ == "__main__":
    sys.exit(main())
