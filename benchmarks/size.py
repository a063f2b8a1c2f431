"""Sizes of lossless files, side by side, and nvpcodec's files beside their theory.

    python benchmarks/size.py photographs/ drawing.png
    python benchmarks/size.py --kinds [drawings/]       # bytes, beside WebP; of kinds.py's images and others

Bits/dim are bits of the whole file over H·W·C samples; a total is all bits over all samples. Every file is
decoded and compared: the exit status is 1 if one differs. The last line is JSON with the totals.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import cast

import numpy as np

import deep
from common import (
    BITS_PER_BYTE,
    Codec,
    Picture,
    Samples,
    Table,
    add_codecs,
    argument_parser,
    codec,
    is_lossless,
    load_all,
    peer_names,
)
from float_theory import float_bits
from kinds import KINDS, through_jpeg

NAME_WIDTH = 20


@dataclass(frozen=True)
class Ledger:
    """Where the bits of one or more nvpcodec files went. The file is the theory plus everything below it."""

    dims: int
    file: float
    theory: float  # -log2 p of the integer model
    float_theory: float | None  # the same of the float model, None where it is not known
    coder: float  # what the stack holds beyond the theory and the initial bits
    initial: float  # popped before enough was pushed
    side: float  # fitted coefficients and the like, in front of the stack
    container: float  # header, region table, checksums

    @property
    def gap_percent(self) -> float | None:
        """How far the file is above the theory; None where no model was used, so that there is no theory."""
        return 100 * (self.file - self.theory) / self.theory if self.theory else None

    def check(self, name: str) -> None:
        """Raises ValueError unless the parts add up to the file: no bit is lost or counted twice."""
        parts = self.theory + self.coder + self.initial + self.side + self.container
        if abs(parts - self.file) > 0.5:
            raise ValueError(f"{name}: the parts are {parts:.1f} bits in all, the file {self.file:.0f}")


@dataclass(frozen=True)
class Result:
    """One picture through one codec; `ledger` is None for codecs that know no theory."""

    picture: str
    dims: int
    bits: int
    lossless: bool
    ledger: Ledger | None


def measure(picture: Picture, coder: Codec) -> Result:
    """Encodes, decodes, compares."""
    encoded = coder.encode(picture.samples)
    bits = BITS_PER_BYTE * len(encoded.data)
    ledger = None
    if report := encoded.report:
        ledger = Ledger(
            dims=picture.dims,
            file=bits,
            theory=report.theory_bits,
            float_theory=float_bits(coder.name, picture) if report.theory_bits else None,
            coder=report.coder_bits,
            initial=report.initial_bits,
            side=report.side_bits,
            container=report.container_bits,
        )
        ledger.check(picture.name)
    lossless = is_lossless(coder.decode(encoded.data), picture.samples)
    return Result(picture.name, picture.dims, bits, lossless, ledger)


def measure_all(pictures: Sequence[Picture], coders: Sequence[Codec]) -> dict[str, list[Result]]:
    """All results by codec, printed picture by picture as they come."""
    results: dict[str, list[Result]] = {coder.name: [] for coder in coders}
    print("bits/dim of the whole file")
    table = Table("image", [coder.name for coder in coders], NAME_WIDTH)
    for picture in pictures:
        row = [measure(picture, coder) for coder in coders]
        for coder, result in zip(coders, row, strict=True):
            results[coder.name].append(result)
        table.row(picture.name, [_bits_per_dim(result) for result in row])
    table.rule()
    table.row("total", [f"{total_bits_per_dim(column):.4f}" for column in results.values()])
    return results


def _bits_per_dim(result: Result) -> str:
    return f"{result.bits / result.dims:.4f}" if result.lossless else "DIFFERS"


def total_bits_per_dim(results: Sequence[Result]) -> float:
    return sum(result.bits for result in results) / sum(result.dims for result in results)


def total_ledger(ledgers: Sequence[Ledger]) -> Ledger:
    """All files as if they were one."""
    known = [ledger.float_theory for ledger in ledgers if ledger.float_theory is not None]
    return Ledger(
        dims=sum(ledger.dims for ledger in ledgers),
        file=sum(ledger.file for ledger in ledgers),
        theory=sum(ledger.theory for ledger in ledgers),
        float_theory=sum(known) if len(known) == len(ledgers) else None,
        coder=sum(ledger.coder for ledger in ledgers),
        initial=sum(ledger.initial for ledger in ledgers),
        side=sum(ledger.side for ledger in ledgers),
        container=sum(ledger.container for ledger in ledgers),
    )


def print_ledgers(name: str, named: Sequence[tuple[str, Ledger]], total: Ledger) -> None:
    """Theory beside the achieved file, both in bits/dim, and the difference between them in bits."""
    print(f"\n{name}: -log2 p of float and integer model and the file in bits/dim; theory to file in bits")
    columns = ["float", "theory", "file", "gap %", "coder", "initial", "side", "container"]
    table = Table("image", columns, NAME_WIDTH)
    for picture, ledger in named:
        table.row(picture, _ledger_cells(ledger))
    table.rule()
    table.row("total", _ledger_cells(total))


def _ledger_cells(ledger: Ledger) -> list[str]:
    gap = ledger.gap_percent
    parts = (ledger.coder, ledger.initial, ledger.side, ledger.container)
    return [
        "-" if ledger.float_theory is None else f"{ledger.float_theory / ledger.dims:.4f}",
        f"{ledger.theory / ledger.dims:.4f}",
        f"{ledger.file / ledger.dims:.4f}",
        "-" if gap is None else f"{gap:.3f}",
        *(f"{part:.0f}" for part in parts),
    ]


def ledger_summary(ledger: Ledger) -> dict[str, float | None]:
    parts = asdict(ledger)
    dims = parts.pop("dims")
    float_theory = parts.pop("float_theory")
    return {
        "float_bits_per_dim": None if float_theory is None else float_theory / dims,
        "theory_bits_per_dim": ledger.theory / dims,
        "file_bits_per_dim": ledger.file / dims,
        "gap_percent": ledger.gap_percent,
        **{f"{part}_bits": bits for part, bits in parts.items()},
    }


def measure_kinds(pictures: Sequence[Picture], model: str) -> tuple[dict[str, dict[str, int]], list[str]]:
    """Bytes by picture and codec, printed with the ratio to WebP; and what was not lossless.

    WebP has no 16 bits, so there it is left out.
    """
    names = ("png", "webp", "jxl-e7", model)
    table = Table("bytes of the whole file", [*names, "to WebP"], NAME_WIDTH)
    found: dict[str, dict[str, int]] = {}
    differing = []
    for picture in pictures:
        able = [name for name in names if name != "webp" or picture.samples.dtype == np.uint8]
        results = {name: measure(picture, codec(name)) for name in able}
        differing += [f"{picture.name} ({name})" for name, result in results.items() if not result.lossless]
        row = {name: result.bits // BITS_PER_BYTE for name, result in results.items()}
        ratio = f"{row[model] / row['webp']:.3f}" if "webp" in row else "-"
        table.row(picture.name, [*(str(row.get(name, "-")) for name in names), ratio])
        found[picture.name] = row
    return found, differing


def main_kinds(pictures: Sequence[Picture], model: str) -> int:
    """The table of `--kinds`."""
    found, differing = measure_kinds(pictures, model)
    ratios = {name: row[model] / row["webp"] for name, row in found.items() if "webp" in row}
    worst = max(ratios, key=ratios.__getitem__)
    print(f"\nat most {ratios[worst]:.3f} of WebP, for {worst}\n")
    if differing:
        print(f"size.py: not lossless: {', '.join(differing)}", file=sys.stderr)
    print(json.dumps({"model": model, "bytes": found, "to_webp": ratios, "lossless": not differing}))
    return 1 if differing else 0


def main_deep(pictures: Sequence[Picture], model: str) -> int:
    """The table of `--deep`: bytes, and nvpcodec's as shares of others'; seconds a megapixel both ways."""
    names = ("png", "jxl-e7", model)
    columns = [*names, "to png", "to jxl-e7", "encode", "decode"]
    table = Table("bytes of the whole file", columns, 2 * NAME_WIDTH)
    found: dict[str, dict[str, int]] = {}
    differing = []
    for picture in pictures:
        row, seconds = {}, (0.0, 0.0)
        for name in names:
            coder = codec(name)
            times = [time.process_time()]
            data = coder.encode(picture.samples).data
            times.append(time.process_time())
            decoded = coder.decode(data)
            times.append(time.process_time())
            row[name] = len(data)
            seconds = times[1] - times[0], times[2] - times[1]
            if not is_lossless(decoded, picture.samples):
                differing.append(f"{picture.name} ({name})")
        ratios = [f"{row[model] / row[name]:.3f}" for name in names[:2]]
        rates = [f"{second / picture.megapixels:.2f}" for second in seconds]
        table.row(picture.name, [*(str(row[name]) for name in names), *ratios, *rates])
        found[picture.name] = row
    if differing:
        print(f"size.py: not lossless: {', '.join(differing)}", file=sys.stderr)
    print(json.dumps({"model": model, "bytes": found, "lossless": not differing}))
    return 1 if differing else 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argument_parser("Sizes of lossless files, side by side, each decoded and compared.", images="*")
    parser.add_argument("--kinds", action="store_true", help="bytes, also of drawn images of many kinds")
    parser.add_argument(
        "--deep", action="store_true", help="bytes of images of 10 to 16 bits made from these"
    )
    parser.add_argument(
        "--jpeg",
        type=int,
        metavar="QUALITY",
        help="the images as they come out of JPEG files of this quality, their chroma halved",
    )
    add_codecs(parser, peer_names())
    options = parser.parse_args(arguments)
    if options.deep:
        photographs = load_all(parser, options.images) if options.images else []
        return main_deep(deep.pictures(photographs), options.models[0])
    if options.kinds:
        drawn = [Picture(name, cast(Samples, make())) for name, make in KINDS.items()]
        others = load_all(parser, options.images) if options.images else []
        return main_kinds([*drawn, *others], options.models[0])
    pictures = load_all(parser, options.images)
    if options.jpeg is not None:
        pictures = [replace(p, samples=through_jpeg(p.samples, options.jpeg)) for p in pictures]
    results = measure_all(pictures, [codec(name) for name in (*options.codecs, *options.models)])

    models = {}
    for name, column in results.items():
        if named := [(result.picture, result.ledger) for result in column if result.ledger]:
            total = total_ledger([ledger for _, ledger in named])
            print_ledgers(name, named, total)
            models[name] = ledger_summary(total)

    differing = [
        f"{r.picture} ({name})" for name, column in results.items() for r in column if not r.lossless
    ]
    if differing:
        print(f"size.py: not lossless: {', '.join(differing)}", file=sys.stderr)
    summary = {
        "images": len(pictures),
        "dims": sum(picture.dims for picture in pictures),
        "lossless": not differing,
        "bits": {name: sum(result.bits for result in column) for name, column in results.items()},
        "bits_per_dim": {name: total_bits_per_dim(column) for name, column in results.items()},
        "models": models,
    }
    print()
    print(json.dumps(summary))
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
