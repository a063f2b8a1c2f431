"""Does a GPU compute the very integers that a CPU does? One command for whoever has one.

    python benchmarks/gpu_check.py [IMAGES...]

writes benchmarks/results/gpu-NAME.txt and ends with status 1 where anything differs. It checks that

    layers      every layer of both models gives what 64-bit integers give, on random and on extreme inputs
    fits        the sums of fits do
    golden      the golden files, made on a CPU, decode
    pictures    files are the same bytes from CPU and GPU, and each decodes on the other

and all of that again where torch may multiply in TF32, which must change nothing or be refused. Speeds are
there for information.

With --device cpu the same checks set the CPU's two lowerings beside each other, for machines without a GPU.
"""

from __future__ import annotations

import argparse
import io
import json
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from common import MODELS, Samples, load_all
from nvpcodec import codec, exact, zoo
from nvpcodec.errors import DeviceError
from nvpcodec.exact import ExactLayer, known_sums
from nvpcodec.model import LayerSpec, Model
from nvpcodec.options import Options
from nvpcodec.pixels import Image, Kind
from nvpcodec.tables import ACTIVATION_MAX, ACTIVATION_MIN

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden"
RESULTS = ROOT / "benchmarks" / "results"
#: Heights and widths; the last has several regions.
SIZES = ((1, 1), (1, 90), (90, 1), (37, 53), (256, 320), (1500, 1100))
GRIDS = ((1, 1), (9, 14), (40, 52))
PALETTE = bytes((29 * i) % 256 for i in range(3 * 8))


@dataclass(frozen=True)
class Side:
    """One of the two that must agree."""

    device: str
    lowerings: tuple[exact.Lowering, ...]

    @property
    def name(self) -> str:
        return f"{self.device} ({', '.join(lowering.__name__ for lowering in self.lowerings)})"

    @contextmanager
    def in_use(self) -> Iterator[torch.device]:
        """Coders are made for this side while it is in use."""
        before = exact.LOWERINGS[self.device]
        exact.LOWERINGS[self.device] = self.lowerings
        codec._coder.cache_clear()
        try:
            yield exact.find_device(self.device)
        finally:
            exact.LOWERINGS[self.device] = before
            codec._coder.cache_clear()

    def options(self, model: str) -> Options:
        return Options(model=model, device=self.device)


@dataclass
class Log:
    """Lines for the screen and for the file, and how many checks failed."""

    lines: list[str]
    failed: int = 0

    def say(self, line: str = "") -> None:
        print(line, flush=True)
        self.lines.append(line)

    def check(
        self, name: str, run: Callable[[], Iterator[tuple[str, bool]]], refusable: bool = False
    ) -> None:
        """Run cases, which tell their name and whether they came out right; one line for all of them."""
        cases = 0
        wrong: list[str] = []
        try:
            for case, right in run():
                cases += 1
                wrong += [] if right else [case]
        except DeviceError as error:
            self.failed += not refusable
            self.say(f"{name:28} {cases:5} cases, then refused: {error}")
            return
        self.failed += len(wrong) or not cases  # nothing to check is no proof
        self.say(
            f"{name:28} {cases:5} cases, {len(wrong)} wrong{': ' + ', '.join(wrong[:5]) if wrong else ''}"
        )


def layer_cases(side: Side) -> Iterator[tuple[str, bool]]:
    """Every layer of the models, with its own weights, against 64-bit integers."""
    generator = np.random.default_rng(7)
    device = exact.find_device(side.device)
    for name in MODELS:
        model = zoo.by_name(name)
        for lowering in side.lowerings:
            layers = exact.layers(model, device, lowering)
            for spec in model.config.layers():
                for grid in GRIDS[:2]:
                    for extreme in (False, True):
                        inputs = [_activations(generator, (c, *grid), extreme) for c, _ in spec.inputs]
                        right = _layer_is_right(layers[spec.name], model, spec, inputs, device)
                        yield f"{name} {spec.name} {grid}", right


def _activations(
    generator: np.random.Generator, shape: tuple[int, int, int], extreme: bool
) -> NDArray[np.int64]:
    if extreme:
        return generator.choice([ACTIVATION_MIN, ACTIVATION_MAX], (1, *shape))
    return generator.integers(ACTIVATION_MIN, ACTIVATION_MAX + 1, (1, *shape))


def _layer_is_right(
    layer: ExactLayer, model: Model, spec: LayerSpec, inputs: list[NDArray[np.int64]], device: torch.device
) -> bool:
    def tensor(name: str) -> NDArray[np.int64]:
        return model.tensors[f"{spec.name}.{name}"].astype(np.int64)

    column = (1, -1, 1, 1)
    total = sum(known_sums(x, tensor(f"weight{i}")) for i, x in enumerate(inputs)) + tensor("bias").reshape(
        column
    )
    expected = np.clip(
        total >> tensor("shift").reshape(column), 0 if spec.relu else ACTIVATION_MIN, ACTIVATION_MAX
    )
    got = layer(*(_on(device, x) for x in inputs))
    return np.array_equal(got.cpu().numpy(), expected)


def _on(device: torch.device, integers: NDArray[np.int64]) -> torch.Tensor:
    return torch.from_numpy(integers.astype(np.float32)).to(device)


def shape_cases(side: Side) -> Iterator[tuple[str, bool]]:
    """Every shape of layer at the largest sums, on several grids."""
    device = exact.find_device(side.device)
    for name in MODELS:
        for shape in exact.shapes_of(zoo.by_name(name).config.layers()):
            for grid in GRIDS:
                x, weight, bias = exact.known_operands(shape, grid)
                expected = known_sums(x, weight, bias)
                for lowering in side.lowerings:
                    added = None if bias is None else _on(device, bias)
                    got = lowering(_on(device, x), _on(device, weight), added)
                    yield f"{name} {shape} {grid}", np.array_equal(got.cpu().numpy(), expected)


def fit_cases(side: Side) -> Iterator[tuple[str, bool]]:
    exact.require_exact_sums(exact.find_device(side.device))
    yield "sums", True


def golden_cases(side: Side) -> Iterator[tuple[str, bool]]:
    for path in sorted(GOLDEN.glob("*.nvp")):
        image = codec.decode_image(path.read_bytes(), Options(device=side.device))
        yield (
            path.stem,
            np.array_equal(image.samples, np.load(io.BytesIO(path.with_suffix(".npy").read_bytes()))),
        )


def picture_cases(sides: tuple[Side, Side], images: dict[str, Image]) -> Iterator[tuple[str, bool]]:
    """Equal bytes from both sides, and each side's file decoded by the other."""
    for model in MODELS:
        files: list[dict[str, bytes]] = []
        for side in sides:
            with side.in_use():
                options = side.options(model)
                files.append({name: codec.encode_image(image, options) for name, image in images.items()})
        for name in images:
            yield f"{model} {name}: bytes", files[0][name] == files[1][name]
        for side, made in zip(sides, reversed(files), strict=True):
            with side.in_use():
                for name, image in images.items():
                    decoded = codec.decode_image(made[name], side.options(model))
                    yield f"{model} {name}: decoded by {side.device}", decoded.equals(image)


def sized(samples: Samples, largest: int) -> dict[str, Image]:
    """RGB images of all sizes up to a longest side; larger than the picture, it goes on mirrored."""
    return {
        f"{height}×{width}": Image(_fitted(samples, height, width), Kind.RGB)
        for height, width in SIZES
        if max(height, width) <= largest
    }


def of_every_kind(samples: Samples) -> dict[str, Image]:
    """One size in each kind and depth."""
    rgb = _fitted(samples, 91, 117)
    grey = np.ascontiguousarray(rgb[..., 1:2])
    slope = np.add.outer(np.arange(91), np.arange(117)).astype(np.uint8)[..., None]
    wide = rgb.astype(np.uint16) * 257
    return {
        "grey": Image(grey, Kind.GREY),
        "grey and alpha": Image(np.concatenate([grey, slope], 2), Kind.GREY_ALPHA),
        "RGBA": Image(np.concatenate([rgb, slope], 2), Kind.RGBA),
        "palette": Image(grey // 32, Kind.PALETTE, PALETTE),
        "bilevel": Image((grey > 110).astype(np.uint8), Kind.BILEVEL),
        "grey of 16 bits": Image(np.ascontiguousarray(wide[..., :1]), Kind.GREY),
        "RGB of 16 bits": Image(wide, Kind.RGB),
    }


def _fitted(samples: Samples, height: int, width: int) -> Samples:
    rows, columns = (
        np.abs((np.arange(wanted) + there - 1) % max(1, 2 * there - 2) - there + 1)
        for wanted, there in zip((height, width), samples.shape[:2], strict=True)
    )
    return np.ascontiguousarray(samples[rows[:, None], columns])


def seconds(side: Side, image: Image, model: str) -> tuple[float, float]:
    """Seconds of encoding and of decoding, after a first time."""
    with side.in_use():
        options = side.options(model)
        data = codec.encode_image(image, options)
        started = time.perf_counter()
        codec.encode_image(image, options)
        between = time.perf_counter()
        codec.decode_image(data, options)
        return between - started, time.perf_counter() - between


def report_speed(log: Log, sides: tuple[Side, Side], image: Image) -> None:
    height, width = image.samples.shape[:2]
    log.say(f"\n{height}×{width}, {sides[1].name} beside {sides[0].name}:")
    for model in MODELS:
        here, there = (seconds(side, image, model) for side in sides)
        ratios = [slow / fast for slow, fast in zip(here, there, strict=True)]
        log.say(f"  {model:10} encodes {ratios[0]:.2f} times as fast, decodes {ratios[1]:.2f} times as fast")


@contextmanager
def precision(allowed: str) -> Iterator[None]:
    """What torch may do to float32 products: "highest" is the default, "medium" allows TF32 and bf16."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision(allowed)
    torch.backends.cudnn.allow_tf32 = allowed != "highest"
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def check_all(log: Log, sides: tuple[Side, Side], pictures: Sequence[Samples], largest: int) -> None:
    for allowed in ("highest", "medium"):
        refusable = allowed != "highest"
        images = of_every_kind(pictures[0]) | sized(pictures[0], 400 if refusable else largest)
        if not refusable:
            images |= {f"picture {i}": Image(samples, Kind.RGB) for i, samples in enumerate(pictures)}
        log.say(f"\nfloat32 precision {allowed}")
        with precision(allowed):
            tested = sides[1]
            log.check("layers of the models", partial(layer_cases, tested), refusable)
            log.check("shapes at the largest sums", partial(shape_cases, tested), refusable)
            log.check("sums of fits", partial(fit_cases, tested), refusable)
            with tested.in_use():
                log.check("golden files", partial(golden_cases, tested), refusable)
            log.check("pictures, both ways", partial(picture_cases, sides, images), refusable)


def describe(device: str) -> list[str]:
    """What was tested, and with what."""
    lines = [f"torch {torch.__version__}, Python {platform.python_version()}, {platform.platform()}"]
    if device == "cuda":
        name, capability = torch.cuda.get_device_name(), torch.cuda.get_device_capability()
        lines.append(f"{name}, compute capability {capability[0]}.{capability[1]}, CUDA {torch.version.cuda}")
        lines.append(f"driver {_driver()}")
    return lines


def _driver() -> str:
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.split("\n")[0]
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def output_path(device: str) -> Path:
    name = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    return RESULTS / f"gpu-{re.sub('[^a-z0-9]+', '-', name.lower())}.txt"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Checks that a GPU computes what a CPU does.")
    parser.add_argument("images", nargs="*", type=Path, default=[ROOT / "demo"], metavar="IMAGES")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--largest", type=int, default=1500, help="longest side of an image (default: 1500)")
    parser.add_argument("--output", type=Path, help="the log (default: benchmarks/results/gpu-NAME.txt)")
    chosen = parser.parse_args(arguments)
    try:
        exact.find_device(chosen.device)
    except DeviceError:
        message = "there is no CUDA device here; --device cpu compares the CPU's two ways of computing"
        print(message, file=sys.stderr)
        return 1
    loaded = load_all(parser, chosen.images)
    cut = slice(chosen.largest)
    pictures = [np.ascontiguousarray(p.samples[cut, cut]) for p in loaded if p.samples.shape[2] == 3]
    if not pictures:
        parser.error("no RGB image there")
    reference = exact.LOWERINGS["cpu"] if chosen.device == "cuda" else (exact.direct,)
    sides = Side("cpu", reference), Side(chosen.device, (exact.gemm,))
    log = Log([])
    for line in describe(chosen.device):
        log.say(line)
    check_all(log, sides, pictures, chosen.largest)
    report_speed(log, sides, Image(pictures[0], Kind.RGB))
    log.say("\n" + ("all equal" if not log.failed else f"{log.failed} FAILED"))
    output = chosen.output or output_path(chosen.device)
    output.write_text("\n".join(log.lines) + "\n", "utf-8")
    print(json.dumps({"failed": log.failed, "log": str(output)}))
    return int(log.failed > 0)


if __name__ == "__main__":
    sys.exit(main())
