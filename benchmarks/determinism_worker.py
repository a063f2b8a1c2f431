"""Encodes or decodes a folder of pictures with each coder, in a process and under settings of its own.

Started by determinism.py. `encode` writes N.CODER beside each N.npy; `decode` reads those and prints one line
of JSON: for each coder the outcome of every picture.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from common import Samples
from float_coder import FloatCoder
from float_theory import TRAININGS
from nvpcodec import colour, decode, encode, zoo
from nvpcodec.distribution import BaseTable
from nvpcodec.errors import NvpError
from nvpcodec.layout import COUPLINGS, scale_sizes
from nvpcodec.model import PhaseConfig
from nvpcodec.options import Options
from nvpcodec.phase_coder import PhaseCoder
from nvpcodec.phase_model import PhaseModel
from nvpcodec.stack import Ints
from nvpcodec.train.theory import float_coder

MODEL = "fast"
OPTIONS = Options(model=MODEL, device="cpu")


@dataclass(frozen=True)
class Outcome:
    """One decoded picture: samples that differ, samples that were right before the first that was not.

    A decoder that gave up has neither, but an error.
    """

    samples: int
    wrong: int | None = None
    right_before: int | None = None
    error: str | None = None


@dataclass(frozen=True)
class Coder:
    """`decode` takes payloads of pictures of one size, as many as `batched` allows, and gives planes."""

    encode: Callable[[Samples], bytes]
    decode: Callable[[Sequence[bytes], int, int], Sequence[Ints]]
    batched: bool = False


def coders() -> dict[str, Coder]:
    trained = _trained_model()
    floats = FloatCoder(trained)
    rounded = float_coder(trained, BaseTable(zoo.by_name(MODEL).tensors["base"]))
    return {
        "float": Coder(lambda samples: floats.encode(colour.to_planes(samples)), floats.decode, True),
        "tables": Coder(lambda samples: rounded.encode(colour.to_planes(samples))[0], _one(rounded)),
        "integer": Coder(lambda samples: encode(samples, options=OPTIONS), _decode_integer),
    }


def _trained_model() -> PhaseModel:
    config = zoo.by_name(MODEL).config
    if not isinstance(config, PhaseConfig):
        raise TypeError(f"{MODEL} is no phase model")
    model = PhaseModel(config)
    state = torch.load(TRAININGS / MODEL / "state.pt", map_location="cpu", weights_only=True)
    model.load_state_dict(state["ema"])
    return model.eval()


def _one(coder: PhaseCoder) -> Callable[[Sequence[bytes], int, int], Sequence[Ints]]:
    def decode_each(payloads: Sequence[bytes], height: int, width: int) -> Sequence[Ints]:
        return [coder.decode(payload, 3, height, width) for payload in payloads]

    return decode_each


def _decode_integer(payloads: Sequence[bytes], _height: int, _width: int) -> Sequence[Ints]:
    return [colour.to_planes(decode(payload, options=OPTIONS).astype(np.uint8)) for payload in payloads]


def in_coding_order(planes: Ints) -> Ints:
    """All samples of planes (3, H, W), flat, in the order in which all three coders code them."""
    pyramid = [planes]
    for _ in scale_sizes(*planes.shape[1:])[1:]:
        pyramid.append(pyramid[-1][:, ::2, ::2])
    parts = [pyramid[-1].ravel()]
    for scale in reversed(pyramid[:-1]):
        for changed in COUPLINGS:
            parts += [plane[p // 2 :: 2, p % 2 :: 2].ravel() for plane in scale for p in changed]
    return np.concatenate(parts)


def compare(decoded: Ints, original: Ints) -> Outcome:
    wrong = np.flatnonzero(in_coding_order(decoded) != in_coding_order(original))
    first = int(wrong[0]) if len(wrong) else original.size
    return Outcome(original.size, len(wrong), first)


def encode_all(folder: Path) -> None:
    for name, coder in coders().items():
        for path in _pictures(folder):
            path.with_suffix(f".{name}").write_bytes(coder.encode(np.load(path)))


def decode_all(folder: Path, batch: int) -> dict[str, list[Outcome]]:
    """Outcomes by coder; coders that take no batches are left out where one is asked for."""
    chosen = {name: coder for name, coder in coders().items() if batch == 1 or coder.batched}
    paths = _pictures(folder)
    return {
        name: [
            outcome
            for start in range(0, len(paths), batch)
            for outcome in _decode_batch(name, coder, paths[start : start + batch])
        ]
        for name, coder in chosen.items()
    }


def _decode_batch(name: str, coder: Coder, paths: Sequence[Path]) -> list[Outcome]:
    originals = [colour.to_planes(np.load(path)) for path in paths]
    payloads = [path.with_suffix(f".{name}").read_bytes() for path in paths]
    try:
        decoded = coder.decode(payloads, *originals[0].shape[1:])
    except NvpError as error:
        return [Outcome(original.size, error=str(error)) for original in originals]
    return [compare(planes, original) for planes, original in zip(decoded, originals, strict=True)]


def _pictures(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.npy"))


def main(action: str, folder: str, threads: str, onednn: str, batch: str) -> None:
    torch.set_num_threads(int(threads))
    with nullcontext() if onednn == "on" else torch.backends.mkldnn.flags(enabled=False):
        if action == "encode":
            encode_all(Path(folder))
        else:
            outcomes = decode_all(Path(folder), int(batch))
            print(json.dumps({name: [asdict(o) for o in each] for name, each in outcomes.items()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
