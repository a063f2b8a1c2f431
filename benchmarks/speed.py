"""Speed and memory of lossless codecs, side by side, and where nvpcodec's time goes.

    python benchmarks/speed.py photographs/ --rounds 5
    python benchmarks/speed.py photographs/ --codecs "" --big 24

MB/s are raw bytes (10^6). Each codec runs in a process of its own, so that peak memory is its own; the
processes take turns, a round each, so that a disturbance of the machine meets them all. Figures are medians
over the rounds; the first call of each process (loading, warming up) stands apart. Ratios are to JPEG XL
effort 7 in the same round. Results are compared too: the exit status is 1 if one differs. The last line is
JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from types import TracebackType

from common import REFERENCE, Table, add_codecs, argument_parser, load_all, peer_names
from worker import Round

NAME_WIDTH = 14


class Worker:
    """A process with one codec and the pictures, doing one round at a time."""

    def __init__(self, codec_name: str, threads: int, paths: Sequence[Path]) -> None:
        script = Path(__file__).with_name("worker.py")
        self._codec_name = codec_name
        self._process = subprocess.Popen(
            [sys.executable, str(script), codec_name, str(threads), *map(str, paths)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
            text=True,
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()  # closes its stdin, which ends it

    def round(self, request: str) -> Round:
        """`request` is as in worker.py. Exits if the process has died; it wrote the reason on stderr."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(f"{request}\n")
            self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit(f"speed.py: {self._codec_name} failed, status {self._process.wait()}")
        return Round(**json.loads(answer))


@dataclass(frozen=True)
class Speed:
    """A codec over all rounds: medians."""

    encode_mb_per_second: float
    decode_mb_per_second: float
    encode_ratio: float  # to the reference, in speed: 2 is twice as fast
    decode_ratio: float
    encode_seconds_per_megapixel: float
    decode_seconds_per_megapixel: float
    first_encode_seconds: float
    first_decode_seconds: float
    peak_mib: float
    stage_seconds_per_megapixel: dict[str, float]


def summarise(first: Round, rounds: Sequence[Round], reference: Sequence[Round]) -> Speed:
    encode = median(r.encode_seconds for r in rounds)
    decode = median(r.decode_seconds for r in rounds)
    megabytes, megapixels = rounds[0].raw_bytes / 1e6, rounds[0].megapixels
    pairs = list(zip(reference, rounds, strict=True))
    return Speed(
        encode_mb_per_second=megabytes / encode,
        decode_mb_per_second=megabytes / decode,
        encode_ratio=median(ref.encode_seconds / own.encode_seconds for ref, own in pairs),
        decode_ratio=median(ref.decode_seconds / own.decode_seconds for ref, own in pairs),
        encode_seconds_per_megapixel=encode / megapixels,
        decode_seconds_per_megapixel=decode / megapixels,
        first_encode_seconds=first.encode_seconds,
        first_decode_seconds=first.decode_seconds,
        peak_mib=max(r.peak_mib for r in rounds),
        stage_seconds_per_megapixel=stages(rounds),
    )


def stages(rounds: Sequence[Round]) -> dict[str, float]:
    """Median seconds per megapixel of each stage of encoding and of the rest; empty where none is told."""
    names = rounds[0].stage_seconds
    if not names:
        return {}
    seconds = {name: median(r.stage_seconds[name] for r in rounds) for name in names}
    seconds["other"] = median(r.encode_seconds - sum(r.stage_seconds.values()) for r in rounds)
    return {name: value / rounds[0].megapixels for name, value in seconds.items()}


def print_speeds(speeds: Mapping[str, Speed]) -> None:
    rates = ["enc MB/s", "x e7", "dec MB/s", "x e7", "enc s/MP", "dec s/MP"]
    table = Table("codec", [*rates, "peak MiB", "1st enc s", "1st dec s"], NAME_WIDTH)
    for name, speed in speeds.items():
        cells = [
            f"{speed.encode_mb_per_second:.2f}",
            f"{speed.encode_ratio:.3f}",
            f"{speed.decode_mb_per_second:.2f}",
            f"{speed.decode_ratio:.3f}",
            f"{speed.encode_seconds_per_megapixel:.2f}",
            f"{speed.decode_seconds_per_megapixel:.2f}",
            f"{speed.peak_mib:.0f}",
            f"{speed.first_encode_seconds:.2f}",
            f"{speed.first_decode_seconds:.2f}",
        ]
        table.row(name, cells)


def print_stages(name: str, speed: Speed) -> None:
    if not speed.stage_seconds_per_megapixel:
        return
    print(f"\n{name}: where the time of encoding goes")
    table = Table("stage", ["s/MP", "%"], NAME_WIDTH)
    for stage, seconds in speed.stage_seconds_per_megapixel.items():
        table.row(stage, [f"{seconds:.3f}", f"{100 * seconds / speed.encode_seconds_per_megapixel:.1f}"])


@dataclass(frozen=True)
class Growth:
    """One large image, beside the same codec's time for the small ones: ratios of 1 are proportional time."""

    megapixels: float
    encode_seconds: float
    decode_seconds: float
    encode_growth: float  # seconds per megapixel over those of the small images
    decode_growth: float
    peak_mib: float


def compare_big(big: Round, small: Speed) -> Growth:
    return Growth(
        megapixels=big.megapixels,
        encode_seconds=big.encode_seconds,
        decode_seconds=big.decode_seconds,
        encode_growth=big.encode_seconds / big.megapixels / small.encode_seconds_per_megapixel,
        decode_growth=big.decode_seconds / big.megapixels / small.decode_seconds_per_megapixel,
        peak_mib=big.peak_mib,
    )


def print_growth(growths: Mapping[str, Growth]) -> None:
    megapixels = next(iter(growths.values())).megapixels
    print(f"\none image of {megapixels:.1f} megapixels, tiled; x: time per megapixel beside the small images")
    table = Table("codec", ["enc s", "x", "dec s", "x", "peak MiB"], NAME_WIDTH)
    for name, growth in growths.items():
        cells = [
            f"{growth.encode_seconds:.1f}",
            f"{growth.encode_growth:.2f}",
            f"{growth.decode_seconds:.1f}",
            f"{growth.decode_growth:.2f}",
            f"{growth.peak_mib:.0f}",
        ]
        table.row(name, cells)


@dataclass(frozen=True)
class Measured:
    """Every round of every codec, by its name."""

    first: dict[str, Round]
    rounds: dict[str, list[Round]]
    big: dict[str, Round]

    def differing(self) -> list[str]:
        """Codecs that gave back something else than they got."""
        return [
            name
            for name, rounds in self.rounds.items()
            if not all(r.lossless for r in (self.first[name], *rounds, self.big.get(name, rounds[0])))
        ]


def measure(names: Sequence[str], big_names: Sequence[str], options: argparse.Namespace) -> Measured:
    """Starts a process for each codec and lets them take turns; `big_names` get the large image too."""
    with ExitStack() as running:
        workers = {
            name: running.enter_context(Worker(name, options.threads, options.images)) for name in names
        }
        first = {name: worker.round("first") for name, worker in workers.items()}
        passes = [
            {name: worker.round("all") for name, worker in workers.items()} for _ in range(options.rounds)
        ]
        big = {name: workers[name].round(str(options.big)) for name in big_names} if options.big else {}
    return Measured(first, {name: [one[name] for one in passes] for name in names}, big)


def parser() -> argparse.ArgumentParser:
    parser = argument_parser("Speed and memory of lossless codecs, side by side.")
    add_codecs(parser, peer_names(), f"; {REFERENCE} always runs")
    parser.add_argument(
        "--rounds", type=int, default=3, metavar="N", help="to take the median of (default: 3)"
    )
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count(), metavar="N", help="for codecs that can use several"
    )
    parser.add_argument("--big", type=float, default=0, metavar="N", help="also one image of N megapixels")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    usage = parser()
    options = usage.parse_args(arguments)
    if options.rounds < 1 or options.threads < 1 or options.big < 0:
        usage.error("--rounds and --threads start at 1, --big at 0")

    started = time.perf_counter()
    pictures = load_all(usage, options.images)
    reading = (time.perf_counter() - started) / sum(picture.megapixels for picture in pictures)

    names = list(dict.fromkeys([*options.codecs, REFERENCE, *options.models]))
    measured = measure(names, [REFERENCE, *options.models], options)
    reference = measured.rounds[REFERENCE]
    speeds = {name: summarise(measured.first[name], measured.rounds[name], reference) for name in names}
    growths = {name: compare_big(big, speeds[name]) for name, big in measured.big.items()}
    report(speeds, growths)
    print(f"\nreading the source images (Pillow, in none of the figures above): {reading:.3f} s/MP\n")

    differing = measured.differing()
    if differing:
        print(f"speed.py: not lossless: {', '.join(differing)}", file=sys.stderr)
    summary = {
        "images": len(pictures),
        "threads": options.threads,
        "rounds": options.rounds,
        "lossless": not differing,
        "read_seconds_per_megapixel": reading,
        "codecs": {name: asdict(speed) for name, speed in speeds.items()},
        "big": {name: asdict(growth) for name, growth in growths.items()},
    }
    print(json.dumps(summary))
    return 1 if differing else 0


def report(speeds: Mapping[str, Speed], growths: Mapping[str, Growth]) -> None:
    print_speeds(speeds)
    for name, speed in speeds.items():
        print_stages(name, speed)
    if growths:
        print_growth(growths)


if __name__ == "__main__":
    sys.exit(main())
