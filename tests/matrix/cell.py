"""One cell of the matrix, in a process of its own: python -m tests.matrix.cell THREADS ONEDNN

Decodes every golden file, encodes golden inputs and some photographs, runs every layer in both
lowerings, and prints the hashes as one line of JSON, a `Report`. The settings that libraries read when they
are loaded come from the environment. What oneDNN and MKL say about themselves goes to stderr, for `settings`.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image as PillowImage

from nvpcodec import container, exact, zoo
from nvpcodec.codec import decode_image
from nvpcodec.options import Options
from nvpcodec.pixels import Image, Kind
from tests.golden import make

CPU = torch.device("cpu")
#: Parts of the demo photographs (top, left, height, width), of sizes that make the chunks of the exchanges
#: grow differently; the large ones have fits.
PHOTOGRAPHS = {
    "fast-large": ("chelsea", Kind.RGB, (40, 120, 192, 256)),
    "fast-grey": ("coffee", Kind.GREY, (40, 120, 192, 256)),
    "fast-small": ("coffee", Kind.GREY, (60, 110, 40, 40)),
    "fast-tiny": ("chelsea", Kind.RGB, (0, 0, 20, 20)),
    "realnvp-large": ("coffee", Kind.RGB, (90, 200, 192, 256)),
}
#: What the names of the golden cases that are encoded end in.
ENCODED = ("-fitted", "-rgba", "-stretched", "deep-rgb16", "deep-line", "plain-grey16", "plain-flat")
PACKAGES = ("torch", "numpy", "constriction", "pillow")
#: What torch calls to multiply, where it was built with it.
MULTIPLIERS: dict[str, Any] = {"oneDNN": torch.backends.mkldnn, "MKL": torch.backends.mkl}


@dataclass(frozen=True)
class Report:
    """What a cell is, and the SHA-256 of all that it made, by name."""

    versions: dict[str, str]
    machine: str
    capability: str  # the instructions that torch's own kernels use
    threads: int
    multipliers: dict[str, bool]  # whether this torch has oneDNN and MKL at all
    lowerings: dict[str, str]  # the one that each model codes with
    growths: list[int]  # places in `recorder.GROWTHS` that the photo model's files name
    decoded: dict[str, str]  # samples, as .npy
    encoded: dict[str, str]  # .nvp files
    layers: dict[str, dict[str, str]]  # by lowering, then by model


def encoded_cases() -> dict[str, make.Case]:
    """Golden cases of the kinds of work that there are, so that a cell takes seconds, and the photographs."""
    golden = {name: case for name, case in make.cases().items() if name.endswith(ENCODED)}
    return golden | photographs()


def photographs() -> dict[str, make.Case]:
    return {
        name: make.Case(photograph(file, kind, window), name.split("-")[0])
        for name, (file, kind, window) in PHOTOGRAPHS.items()
    }


def photograph(name: str, kind: Kind, window: tuple[int, int, int, int]) -> Image:
    top, left, height, width = window
    with PillowImage.open(make.ROOT / "demo" / f"{name}.png") as picture:
        rgb = np.asarray(picture.convert("RGB"))
    samples = rgb[top : top + height, left : left + width]
    return Image((samples[..., 1:2] if kind is Kind.GREY else samples).copy(), kind)


def decoded_hash(data: bytes) -> str:
    return make.sha256(make.array_bytes(decode_image(data, Options(device="cpu"))))


def growth_places(data: bytes) -> Iterator[int]:
    """The first byte of each payload of the phase flow, where no alpha stands before it."""
    file = container.parse(data)
    if file.model_id is None or file.kind not in (Kind.GREY, Kind.RGB):
        return
    if zoo.by_id(file.model_id, hint="").kind == "phase":
        yield from (part.payload[0] for part in file.regions if part.mode in container.FLOW_MODES)


def layer_hash(model_name: str, lowering: exact.Lowering) -> str:
    """Every layer of a model on random activations."""
    model = zoo.by_name(model_name)
    generator = np.random.default_rng(7)
    made = b""
    with torch.inference_mode():
        for spec, layer in zip(
            model.config.layers(), exact.layers(model, CPU, lowering).values(), strict=True
        ):
            shapes = [(1, channels, 24, 24) for channels, _ in spec.inputs]
            values = [generator.integers(-1024, 1024, shape).astype(np.float32) for shape in shapes]
            output = layer(*(torch.from_numpy(value) for value in values))
            made += output.contiguous().to(torch.int32).numpy().astype("<i4").tobytes()
    return make.sha256(made)


def without_onednn() -> AbstractContextManager[None]:
    return torch.backends.mkldnn.flags(enabled=False)


def show_kernels() -> None:
    """A convolution and a product of matrices like the codec's: oneDNN and MKL name their kernels."""
    x = torch.ones(1, 48, 24, 48).contiguous(memory_format=torch.channels_last)
    weight = torch.ones(48, 48, 3, 3).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode(), ExitStack() as verbose:
        for multiplier in MULTIPLIERS.values():
            if multiplier.is_available():
                verbose.enter_context(multiplier.verbose(multiplier.VERBOSE_ON))
        F.conv2d(x, weight, padding=1)
        torch.ones(64, 432) @ torch.ones(432, 1000)


def report() -> Report:
    files = {name: make.encode(case) for name, case in encoded_cases().items()}
    golden = {name: (make.FOLDER / f"{name}.nvp").read_bytes() for name in make.read_index()}
    decoded = golden | {name: files[name] for name in PHOTOGRAPHS}
    lowerings: dict[str, Callable[..., torch.Tensor]] = {"direct": exact.direct, "gemm": exact.gemm}
    return Report(
        versions={"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        machine=platform.machine(),
        capability=torch.backends.cpu.get_cpu_capability(),
        threads=torch.get_num_threads(),
        multipliers={name: multiplier.is_available() for name, multiplier in MULTIPLIERS.items()},
        lowerings={name: exact.find_lowering(zoo.by_name(name), CPU).__name__ for name in zoo.CURRENT},
        growths=sorted({place for data in files.values() for place in growth_places(data)}),
        decoded={name: decoded_hash(data) for name, data in decoded.items()},
        encoded={name: make.sha256(data) for name, data in files.items()},
        layers={
            lowering: {model: layer_hash(model, function) for model in zoo.CURRENT}
            for lowering, function in lowerings.items()
        },
    )


def main(threads: str, onednn: str) -> None:
    # What C libraries print goes to stderr, so that stdout holds the report alone.
    with os.fdopen(os.dup(sys.stdout.fileno()), "w") as answer:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        warnings.filterwarnings("ignore", message="TF32 acceleration")  # switching oneDNN off says so
        torch.set_num_threads(int(threads))
        with nullcontext() if onednn == "on" else without_onednn():
            show_kernels()
            json.dump(asdict(report()), answer)


if __name__ == "__main__":
    main(*sys.argv[1:])
