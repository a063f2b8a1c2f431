"""Prints what every cell of the matrix made: python -m tests.matrix > benchmarks/results/matrix.txt

Other versions of torch are tried where NVPCODEC_OTHER_PYTHON names interpreters that have one. The exit code
is 1 where anything differs.
"""

from __future__ import annotations

import platform
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.matrix import settings, versions
from tests.matrix.settings import REFERENCE, Cell, Outcome

EQUAL, DIFFERENT, SKIPPED = "equal", "different", "skipped"
WIDTHS = (7, 19, 18, 10, 6, 24, 10)


@dataclass(frozen=True)
class Verdict:
    """One of the three words, why, and what the cell made if it ran."""

    word: str
    why: str = ""
    outcome: Outcome | None = None

    def __str__(self) -> str:
        return f"{self.word}: {self.why}" if self.why else self.word


def judge(cell: Cell, reference: Outcome) -> Verdict:
    if reason := settings.unavailable(cell, reference):
        return Verdict(SKIPPED, reason)
    try:
        outcome = settings.run(cell)
    except settings.CellError as error:
        return Verdict(DIFFERENT, str(error))
    wrong = [f"{setting} had no effect" for setting in settings.without_effect(cell, outcome)]
    wrong += settings.differences(outcome, reference)
    return Verdict(DIFFERENT if wrong else EQUAL, ", ".join(wrong), outcome)


def judge_oldest(package: str, folder: Path, reference: Outcome) -> Verdict:
    try:
        versions.fetch_oldest(package, folder)
    except versions.CannotFetchError as reason:
        return Verdict(SKIPPED, str(reason))
    return judge(Cell(packages=str(folder)), reference)


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


def print_settings(reference: Outcome) -> list[Verdict]:
    """A row a cell; the kernels are those that the libraries say they used."""
    names = ("threads", "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_CBWR", "oneDNN")
    print(row(*names, "its convolution", "MKL's mode", "files"))
    verdicts = []
    with ThreadPoolExecutor(2) as pool:
        judged = pool.map(lambda cell: judge(cell, reference), settings.CELLS)
        for cell, verdict in zip(settings.CELLS, judged, strict=True):
            made = verdict.outcome
            kernels = ((made.convolution if made else None) or "-", (made.cbwr if made else None) or "-")
            chosen = (cell.threads, cell.capability, cell.isa or "-", cell.cbwr or "-")
            print(row(*chosen, "on" if cell.onednn else "off", *kernels, verdict), flush=True)
            verdicts.append(verdict)
    return verdicts


def print_versions(reference: Outcome) -> list[Verdict]:
    print("\nother versions:")
    verdicts = []
    with tempfile.TemporaryDirectory() as folder:
        for package in versions.SMALL:
            verdicts.append(judge_oldest(package, Path(folder) / package, reference))
            print_version(verdicts[-1], package)
    for python in versions.other_pythons():
        verdicts.append(judge(Cell(python=python), reference))
        print_version(verdicts[-1], python)
    return verdicts


def print_version(verdict: Verdict, name: str) -> None:
    print(f"{version_text(verdict.outcome) if verdict.outcome else name}: {verdict}", flush=True)


def print_counts(reference: Outcome, verdicts: Sequence[Verdict]) -> bool:
    """The counts of everything; whether nothing differs."""
    words = [verdict.word for verdict in verdicts]
    reports = [reference.report, *(verdict.outcome.report for verdict in verdicts if verdict.outcome)]
    decoded = sum(len(report.decoded) for report in reports)
    encoded = sum(len(report.encoded) for report in reports)
    print(f"\nreference and {len(words)} cells:", end=" ")
    print(", ".join(f"{words.count(word)} {word}" for word in (EQUAL, DIFFERENT, SKIPPED)))
    print(f"{len(reports)} processes decoded {decoded} files and encoded {encoded}")
    return DIFFERENT not in words


def main() -> int:
    reference = settings.run(REFERENCE)
    print(
        "Golden files decoded, their images and parts of photographs encoded, all layers in both lowerings."
    )
    print("equal: the recorded pixels, and byte for byte the files of the reference\n")
    print(f"CPU: {cpu_name()} ({reference.report.machine}, {reference.report.capability})")
    print(f"reference (one thread, nothing set): {version_text(reference)}\n")
    wrong = settings.differences(reference, reference)
    verdicts = [Verdict(DIFFERENT, ", ".join(wrong))] if wrong else []
    if wrong:
        print(f"the reference is {verdicts[0]}")
    verdicts += print_settings(reference)
    verdicts += print_versions(reference)
    return 0 if print_counts(reference, verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
