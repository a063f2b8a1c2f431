"""The cells of the matrix: which settings each has, whether they took effect, what it made of the files.

Every cell is compared with one reference cell, to which nothing is set, and with the recorded pixels.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from itertools import product

from tests.golden import make
from tests.matrix.cell import Report

#: What libraries read from the environment; a cell has its own values or none.
READ_BY_LIBRARIES = ("ATEN_", "OMP_", "GOMP_", "KMP_", "MKL_", "ONEDNN_", "DNNL_")
#: Two cells run at a time, and a CI machine may be slow.
LONGEST_SECONDS = 600
X86 = ("x86_64", "AMD64")

#: What oneDNN calls the instructions that ONEDNN_MAX_CPU_ISA names.
ONEDNN_ISAS = {"SSE41": "Intel SSE4.1", "AVX2": "Intel AVX2"}
#: What torch calls those that ATEN_CPU_CAPABILITY names; before 2.6 "default" was called NO AVX.
CAPABILITIES = {"default": ("DEFAULT", "NO AVX"), "avx2": ("AVX2",)}


@dataclass(frozen=True)
class Cell:
    """Settings of one process; None leaves a variable unset."""

    threads: int = 1
    capability: str | None = None  # ATEN_CPU_CAPABILITY
    isa: str | None = None  # ONEDNN_MAX_CPU_ISA
    cbwr: str | None = None  # MKL_CBWR
    onednn: bool = True
    python: str = sys.executable
    packages: str | None = None  # a folder of packages that go before the installed ones

    @property
    def name(self) -> str:
        onednn = "onednn" if self.onednn else "no_onednn"
        return f"{self.threads}-{self.capability}-{self.isa}-{self.cbwr}-{onednn}"

    def environment(self) -> dict[str, str]:
        """The variables of the process: ours without those that the libraries read, and the cell's."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(READ_BY_LIBRARIES)}
        wanted = {
            "OMP_NUM_THREADS": str(self.threads),
            "OMP_WAIT_POLICY": "PASSIVE",  # processes share the cores, and threads that wait would take them
            "ATEN_CPU_CAPABILITY": self.capability,
            "ONEDNN_MAX_CPU_ISA": self.isa,
            "MKL_CBWR": self.cbwr,
            "PYTHONPATH": self.packages,
        }
        return inherited | {name: value for name, value in wanted.items() if value is not None}


REFERENCE = Cell()
CELLS = [
    Cell(*axes)
    for axes in product(
        (1, 2), ("default", "avx2"), ("SSE41", "AVX2", None), ("COMPATIBLE", None), (True, False)
    )
]
#: By oneDNN's instructions, which other setting is not like the rest of them in the cells that are tested.
ODD_ONES = {"SSE41": "capability", "AVX2": "cbwr", None: "onednn"}


def _is_tested(cell: Cell) -> bool:
    settings = {
        "threads": cell.threads == 2,
        "capability": cell.capability == "avx2",
        "cbwr": cell.cbwr is None,
        "onednn": cell.onednn,
    }
    odd = ODD_ONES[cell.isa]
    return all((value != settings[odd]) == (name != odd) for name, value in settings.items())


#: Those that the tests run: any two settings meet in all ways.
TESTED = [cell for cell in CELLS if _is_tested(cell)]


class CellError(RuntimeError):
    """The process of a cell ended without a report."""


@dataclass(frozen=True)
class Outcome:
    """What a cell made, and what oneDNN and MKL wrote about a convolution and a product of matrices."""

    report: Report
    log: str

    @property
    def isa(self) -> str | None:
        """oneDNN's instructions; None where it was not called, like the next."""
        return self._first(r"^onednn_verbose,.*cpu,isa:(.+)$")

    @property
    def convolution(self) -> str | None:
        """oneDNN's kernel."""
        return self._first(r"^onednn_verbose,.*,exec,cpu,convolution,([^,]+),")

    @property
    def cbwr(self) -> str | None:
        """MKL's mode of reproducible results; None without MKL."""
        return self._first(r"^MKL_VERBOSE \w+\(.* CNR:(\S+)")

    def _first(self, pattern: str) -> str | None:
        match = re.search(pattern, self.log, re.MULTILINE)
        return match and match[1]


def run(cell: Cell) -> Outcome:
    """A fresh process with the settings of the cell.

    Raises
    ------
    CellError
        It failed; the message has the end of what it wrote.
    """
    command = [
        cell.python,
        "-m",
        "tests.matrix.cell",
        str(cell.threads),
        "on" if cell.onednn else "off",
    ]
    done = subprocess.run(
        command,
        cwd=make.ROOT,
        env=cell.environment(),
        capture_output=True,
        text=True,
        timeout=LONGEST_SECONDS,
        check=False,
    )
    if done.returncode:
        raise CellError(f"{cell.name} ended with {done.returncode}: {done.stderr[-2000:]}")
    return Outcome(Report(**json.loads(done.stdout)), done.stderr)


def unavailable(cell: Cell, reference: Outcome) -> str | None:
    """Why a cell cannot be had on the machine of the reference, or None."""
    report = reference.report
    named = cell.capability == "avx2" or cell.isa or cell.cbwr
    if named and report.machine not in X86:
        return f"{report.machine} does not have the instructions of x86"
    if "avx2" in (cell.capability, (cell.isa or "").lower()) and not report.capability.startswith("AVX"):
        return "the CPU does not have AVX2"
    if cell.cbwr and not report.multipliers["MKL"]:
        return "this torch has no MKL"
    if cell.onednn and not report.multipliers["oneDNN"]:
        return "this torch has no oneDNN"
    return None


def without_effect(cell: Cell, outcome: Outcome) -> list[str]:
    """The settings of the cell that its process did not take over."""
    report = outcome.report
    isa = ONEDNN_ISAS[cell.isa] if cell.isa and cell.onednn else outcome.isa
    checks = {
        f"{cell.threads} threads": report.threads == cell.threads,
        f"ATEN_CPU_CAPABILITY={cell.capability}": cell.capability is None
        or report.capability in CAPABILITIES[cell.capability],
        f"oneDNN {cell.onednn}": (outcome.convolution is not None) == cell.onednn,
        f"ONEDNN_MAX_CPU_ISA={cell.isa}": outcome.isa == isa,
        f"MKL_CBWR={cell.cbwr}": not report.multipliers["MKL"] or outcome.cbwr == (cell.cbwr or "OFF"),
    }
    return [setting for setting, holds in checks.items() if not holds]


def differences(outcome: Outcome, reference: Outcome) -> list[str]:
    """Everything that a cell made that is not what was recorded, or not what the reference made."""
    ours, theirs = outcome.report, reference.report
    pixels = theirs.decoded | {name: entry["npy"] for name, entry in make.read_index().items()}
    layers = theirs.layers["direct"]
    return [
        *(f"decoding {name}" for name in pixels if ours.decoded.get(name) != pixels[name]),
        *(f"encoding {name}" for name in theirs.encoded if ours.encoded.get(name) != theirs.encoded[name]),
        *(f"layers by {lowering}" for lowering, made in ours.layers.items() if made != layers),
    ]
