"""Small integer models of random weights: quick, and their shifts and scales really vary."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nvpcodec.model import Model, PhaseConfig, save
from nvpcodec.options import Options
from nvpcodec.train.base_table import base_table, logistic

CONFIG = PhaseConfig(levels=2, width=8, blocks=(1, 1), head_width=8, handed_width=4)
REFINED = replace(CONFIG, refinement_width=6)


def random_tensors(config: PhaseConfig = CONFIG) -> dict[str, NDArray[Any]]:
    """Tensors of `config`, a copy of one's own; the last layer of each head is damped."""
    return {name: tensor.copy() for name, tensor in _tensors(config).items()}


@cache
def _tensors(config: PhaseConfig) -> dict[str, NDArray[Any]]:
    generator = np.random.default_rng(5)
    tensors: dict[str, NDArray[Any]] = {"base": base_table(logistic)}
    for spec in config.layers():
        fan_in = sum(channels * size**2 for channels, size in spec.inputs)
        for i, (channels, size) in enumerate(spec.inputs):
            shape = (spec.outputs, channels, size, size)
            tensors[f"{spec.name}.weight{i}"] = generator.integers(-50, 51, shape).astype(np.int8)
        shift = int(np.log2(30 * fan_in**0.5)) + 2 * spec.name.endswith("_out")
        tensors[f"{spec.name}.bias"] = generator.integers(-512, 513, spec.outputs).astype(np.int32)
        tensors[f"{spec.name}.shift"] = np.full(spec.outputs, shift, np.int8)
    return tensors


@cache
def small_model(config: PhaseConfig = CONFIG) -> Model:
    return Model("phase", config, random_tensors(config))


@cache
def small_model_path() -> Path:
    """The model as a weights file, for as long as the tests run."""
    folder = Path(tempfile.mkdtemp(prefix="nvpcodec-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return save(small_model(), folder, "small")


def small_options() -> Options:
    """Options that encode with the small model, on the CPU."""
    return Options(model=str(small_model_path()), device="cpu")
