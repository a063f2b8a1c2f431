"""Does what one process encoded decode in another, on other settings? For floats and for integers.

    python benchmarks/determinism.py IMAGES... [--crop 256] [--batch 4] [--python OTHER/bin/python]

Three coders with the same trained network, photo:

    float     network, means, scales and cumulative function in float32 (float_coder.py)
    tables    network in float32; its means and scales are rounded to a grid, and frequencies come from the
              integer tables: nvpcodec with another network
    integer   nvpcodec

The middle of each image is encoded by one process of one thread and decoded by others. Where the settings
are equal every coder must be lossless, or the benchmark fails. It ends with a line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from common import Picture, Table, load_all

WORKER = Path(__file__).with_name("determinism_worker.py")
ROOT = WORKER.parent.parent
CODERS = ("float", "tables", "integer")
#: Sides of the squares that are cut out: the float model wants sides that are even at every scale.
CROPS = (64, 128, 256, 512)
#: What the caller's environment must not decide.
VARIABLES = (
    "ATEN_CPU_CAPABILITY",
    "DNNL_MAX_CPU_ISA",
    "MKL_CBWR",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "ONEDNN_MAX_CPU_ISA",
)


@dataclass(frozen=True)
class Setting:
    """How a process computes: environment, threads of torch, oneDNN or not, images a batch, interpreter."""

    name: str
    environment: dict[str, str] = field(default_factory=dict)
    threads: int = 1
    onednn: bool = True
    batch: int = 1
    python: str = sys.executable

    def run(self, action: str, folder: Path) -> str:
        """Standard output of a worker. Raises RuntimeError with its last words where it fails."""
        environment = {k: v for k, v in os.environ.items() if k not in VARIABLES}
        paths = [str(ROOT), *filter(None, [environment.get("PYTHONPATH")])]
        environment |= {"PYTHONPATH": os.pathsep.join(paths), **self.environment}
        onednn = "on" if self.onednn else "off"
        done = subprocess.run(
            [self.python, str(WORKER), action, str(folder), str(self.threads), onednn, str(self.batch)],
            env=environment,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"{self.name}: {action} failed: {done.stderr.strip()[-500:]}")
        return done.stdout


ENCODER = Setting("the same settings")


def decoders(batch: int, others: Sequence[str]) -> list[Setting]:
    """The settings to decode under; each differs from the encoder's in what its name says."""
    settings = [
        ENCODER,
        Setting("2 threads, not 1", threads=2),
        Setting(f"{batch} images a batch, not 1", batch=batch),
        Setting("oneDNN without AVX", {"ONEDNN_MAX_CPU_ISA": "SSE41"}),
        Setting("oneDNN up to AVX2", {"ONEDNN_MAX_CPU_ISA": "AVX2"}),
        Setting("oneDNN off", onednn=False),
        Setting("ATen without AVX", {"ATEN_CPU_CAPABILITY": "default"}),
        Setting("ATen up to AVX2", {"ATEN_CPU_CAPABILITY": "avx2"}),
        Setting("MKL for any processor", {"MKL_CBWR": "COMPATIBLE"}),
    ]
    return settings + [Setting(_version(python), python=python) for python in others]


def _version(python: str) -> str:
    command = [python, "-c", "import torch; print(torch.__version__)"]
    version = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    return f"torch {version}"


@dataclass(frozen=True)
class Count:
    """What became of the images under one coder and setting; medians are over images that came back wrong."""

    images: int
    broken: int
    gave_up: int
    wrong_share: float | None
    right_share_before: float | None

    @property
    def cells(self) -> list[str]:
        shares = [
            "" if s is None else f"{100 * s:.1f} %" for s in (self.right_share_before, self.wrong_share)
        ]
        return [f"{self.broken} of {self.images}", *shares]


def count(outcomes: Sequence[dict[str, int | None]]) -> Count:
    """Outcomes as the worker prints them, of one coder."""
    decoded = [(o["samples"], o["wrong"], o["right_before"]) for o in outcomes if o["error"] is None]
    wrong = [(n, w, r) for n, w, r in decoded if n and w and r is not None]
    gave_up = len(outcomes) - len(decoded)
    return Count(
        images=len(outcomes),
        broken=gave_up + len(wrong),
        gave_up=gave_up,
        wrong_share=statistics.median(w / n for n, w, _ in wrong) if wrong else None,
        right_share_before=statistics.median(r / n for n, _, r in wrong) if wrong else None,
    )


def middle(picture: Picture, side: int) -> Picture:
    """The middle of an RGB picture, a square. Raises ValueError where it has none of that side."""
    height, width, channels = picture.samples.shape
    if channels != 3 or min(height, width) < side:
        raise ValueError(f"{picture.name}: only RGB images of at least {side}×{side} pixels can be compared")
    top, left = (height - side) // 2, (width - side) // 2
    return Picture(picture.name, picture.samples[top : top + side, left : left + side])


def measure(pictures: Sequence[Picture], settings: Sequence[Setting]) -> dict[str, dict[str, Count]]:
    """Counts by setting and coder, printed as they come."""
    table = Table("decoded with", [c for name in CODERS for c in (name, "right until", "wrong")], 24)
    counts: dict[str, dict[str, Count]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, picture in enumerate(pictures):
            np.save(folder / f"{number:04}.npy", picture.samples)
        ENCODER.run("encode", folder)
        for setting in settings:
            outcomes = json.loads(setting.run("decode", folder))
            counts[setting.name] = {coder: count(outcomes[coder]) for coder in CODERS if coder in outcomes}
            absent = ["-", "", ""]
            cells = [counts[setting.name][c].cells if c in counts[setting.name] else absent for c in CODERS]
            table.row(setting.name, [cell for three in cells for cell in three])
            if setting == ENCODER:
                check_equal_settings(counts[setting.name])
    return counts


def check_equal_settings(counts: dict[str, Count]) -> None:
    """Raises RuntimeError where a coder is not even lossless in its own settings."""
    for name, found in counts.items():
        if found.broken:
            raise RuntimeError(f"the coder {name} breaks {found.broken} images under equal settings")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Counts images that do not decode under other settings.")
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGES", help="files, or folders of them")
    parser.add_argument(
        "--crop", type=int, choices=CROPS, default=256, help="side of the squares (default: 256)"
    )
    parser.add_argument("--batch", type=int, default=4, help="images in the row of batches (default: 4)")
    parser.add_argument(
        "--python", action="append", default=[], metavar="PATH", help="decode with this interpreter too"
    )
    chosen = parser.parse_args(arguments)
    pictures = load_all(parser, chosen.images)
    try:
        pictures = [middle(picture, chosen.crop) for picture in pictures]
    except ValueError as error:
        parser.error(str(error))
    settings = decoders(chosen.batch, chosen.python)
    print(f"{len(pictures)} images of {chosen.crop}×{chosen.crop}, torch {torch.__version__}, {processor()}")
    print(
        "Encoded by one process of 1 thread. Broken: other pixels, or the decoder gave up. Medians of those"
    )
    print("with other pixels: the share of samples before the first wrong one, and of wrong ones.\n")
    counts = measure(pictures, settings)
    broken = {s: {name: found.broken for name, found in row.items()} for s, row in counts.items()}
    print(json.dumps({"images": len(pictures), "crop": chosen.crop, "broken": broken}))
    return int(any(row.get("integer", 0) for row in broken.values()))


def processor() -> str:
    """The processor's name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    sys.exit(main())
