"""The frozen record of one model: configuration, integer weights, tables. It proves its bounds, has its id.

A weights file is a safetensors file of integer tensors, with the configuration as JSON in its metadata:

    <layer>.weight<i>   int8 (out, in, k, k), one for each input that the layer sums over
    <layer>.bias        int32 (out,), one half of the rounding included
    <layer>.shift       int8 (out,): a result is floor(sum / 2^shift), clamped
    base                int32: the base tables of all scale indices, one after another

and for the kind "realnvp"

    scale_num           int32 (couplings, 1024): scales R for the network outputs -512 ... 511
    base_mean           int32 (latent channels,), sixteenths of a step of the latent grid
    base_scale          int32 (latent channels,), scale indices of the base
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nvpcodec.coupling_layout import COUPLING_SCALES, factored, masks
from nvpcodec.errors import ModelError
from nvpcodec.fixedpoint import FLOAT32_EXACT, accumulator_bounds
from nvpcodec.layout import COUPLINGS, PASSES, TAPS, known_around, seen_before
from nvpcodec.tables import (
    ACTIVATION_MAX,
    ACTIVATION_MIN,
    MASS_MIN,
    MASS_TOTAL,
    SCALE_FINENESS,
    SCALES,
    base_lengths,
)

PLANES = 3
MODEL_ID_BYTES = 8
MAX_SHIFT = 23

MAX_DEQUANT_BITS, MAX_SCALE_BITS = 4, 12
MAX_SCALE_NUM = 1 << 16
MAX_BASE_MEAN = 1 << 20


@dataclass(frozen=True)
class LayerSpec:
    """Shape of one layer: (channels, kernel) of each input it sums over; `zero` is how training starts."""

    name: str
    inputs: tuple[tuple[int, int], ...]
    outputs: int
    relu: bool = False
    zero: bool = False


@dataclass(frozen=True)
class TableSpec:
    """Shape and legal values, low ... high, of an int32 tensor beside the layers."""

    name: str
    shape: tuple[int, ...]
    low: int
    high: int


#: How many of a model's first 1, 2, 4 or 8 orientations are not transposed, see `orientation`.
UNTRANSPOSED = {1: 1, 2: 2, 4: 2, 8: 4}


@dataclass(frozen=True)
class PhaseConfig:
    """The phase flow. Scales from `levels - 1` on share their weights; networks see all of them in as many
    orientations. Predictions are refined by networks of `refinement_width`, in `refinement_orientations` of
    those that are not transposed, or not at all if the width is 0.
    """

    levels: int = 3
    width: int = 48
    blocks: tuple[int, int] = (2, 3)
    head_width: int = 32
    handed_width: int = 24
    orientations: int = 1
    refinement_width: int = 0
    refinement_orientations: int = 1

    def __post_init__(self) -> None:
        if self.orientations not in UNTRANSPOSED:
            raise ModelError("the orientations of the model are not 1, 2, 4 or 8")
        if self.refinement_width < 0:
            raise ModelError("the refinement width of the model is below 0")
        most = UNTRANSPOSED[self.orientations] if self.refinement_width else 1
        if self.refinement_orientations not in (1, 2, 4) or self.refinement_orientations > most:
            raise ModelError(f"the refinement orientations of the model are not 1, 2 or 4, at most {most}")

    def prefix(self, level: int, coupling: int) -> str:
        return f"level{min(level, self.levels - 1)}.coupling{coupling}."

    def up(self, level: int) -> str:
        """Name of the layer that takes features from the scale below `level` up to it."""
        return f"level{min(level, self.levels - 1)}.up"

    def refinement(self, level: int, phase: int, plane: int) -> str:
        """Prefix of the layers that refine what is predicted of one phase and plane."""
        return f"level{min(level, self.levels - 1)}.phase{phase}.refinement{plane}_"

    def layers(self) -> Iterator[LayerSpec]:
        for level in range(self.levels):
            yield LayerSpec(self.up(level), ((self.width, 1),), 4 * self.handed_width)
            for coupling, changed in enumerate(COUPLINGS):
                handed = self.width if coupling else self.handed_width
                yield from self._network(
                    self.prefix(level, coupling), len(changed), handed, self.blocks[coupling]
                )
                if self.refinement_width:
                    yield from self._refinements(level, changed)

    def tables(self) -> Iterator[TableSpec]:
        """It needs none but the base tables."""
        yield from ()

    def _network(self, prefix: str, changed: int, handed: int, blocks: int) -> Iterator[LayerSpec]:
        width = self.width
        context = changed * (TAPS + 2) * PLANES
        yield LayerSpec(prefix + "stem", ((context, 1), (handed, 1)), width)
        for i in range(blocks):
            yield LayerSpec(f"{prefix}block{i}_spatial", ((width, 3),), width, relu=True)
            yield LayerSpec(f"{prefix}block{i}_mix", ((width, 1),), width, zero=True)
        for plane in range(PLANES):
            known = ((changed * plane, 3),) if plane else ()
            yield LayerSpec(f"{prefix}head{plane}_hidden", ((width, 1), *known), self.head_width, relu=True)
            yield LayerSpec(f"{prefix}head{plane}_out", ((self.head_width, 1),), 2 * changed, zero=True)

    def _refinements(self, level: int, changed: tuple[int, ...]) -> Iterator[LayerSpec]:
        width = self.refinement_width
        for phase in changed:
            for plane in range(PLANES):
                prefix = self.refinement(level, phase, plane)
                inputs = ((self.head_width, 1), *refinement_inputs(phase, plane))
                yield LayerSpec(prefix + "hidden", inputs, width, relu=True)
                yield LayerSpec(prefix + "out", ((width, 1),), 2, zero=True)


def refinement_inputs(phase: int, plane: int) -> tuple[tuple[int, int], ...]:
    """Channels and kernel of what a refinement sees beside features: innovations that all passes see, if any,
    and for each pass a constant and what it alone sees.
    """
    before = sum(len(offsets) for _, _, offsets in seen_before(phase, plane))
    passes = tuple((1 + len(known_around(number)), 1) for number in range(len(PASSES)))
    return ((before, 1), *passes) if before else passes


@dataclass(frozen=True)
class CouplingConfig:
    """RealNVP in its paper's form.

    Latents and all that the couplings hold are multiples of 2^-dequant_bits pixel steps; a coupling scales by
    multiples of 2^-scale_bits.
    """

    width: int = 32
    blocks: int = 2
    head_width: int = 32
    dequant_bits: int = 2
    scale_bits: int = 8

    def __post_init__(self) -> None:
        if not (0 <= self.dequant_bits <= MAX_DEQUANT_BITS and 1 <= self.scale_bits <= MAX_SCALE_BITS):
            raise ModelError("dequant_bits or scale_bits of the model lie outside their range")

    def prefix(self, scale: int, coupling: int) -> str:
        return f"scale{scale}.coupling{coupling}."

    def layers(self) -> Iterator[LayerSpec]:
        for scale in range(COUPLING_SCALES):
            for coupling, mask in enumerate(masks(scale)):
                yield from self._network(self.prefix(scale, coupling), len(mask.kept), len(mask.changed))

    def tables(self) -> Iterator[TableSpec]:
        """R of each coupling and network output; mean and scale index of each latent channel."""
        couplings = sum(len(masks(scale)) for scale in range(COUPLING_SCALES))
        latents = sum(len(factored(scale).changed) for scale in range(COUPLING_SCALES))
        yield TableSpec("scale_num", (couplings, ACTIVATION_MAX - ACTIVATION_MIN + 1), 2, MAX_SCALE_NUM)
        yield TableSpec("base_mean", (latents,), -MAX_BASE_MEAN, MAX_BASE_MEAN)
        yield TableSpec("base_scale", (latents,), 0, SCALES - 1)

    def _network(self, prefix: str, kept: int, changed: int) -> Iterator[LayerSpec]:
        width = self.width
        yield LayerSpec(prefix + "linear", ((kept, 3),), changed, zero=True)
        yield LayerSpec(prefix + "stem", ((kept, 3), (kept, 3)), width)
        for i in range(self.blocks):
            yield LayerSpec(f"{prefix}block{i}_spatial", ((width, 3),), width, relu=True)
            yield LayerSpec(f"{prefix}block{i}_mix", ((width, 1),), width, zero=True)
        yield LayerSpec(f"{prefix}head0_hidden", ((width, 1),), self.head_width, relu=True)
        yield LayerSpec(f"{prefix}head0_out", ((self.head_width, 1),), 2 * changed, zero=True)


Config = PhaseConfig | CouplingConfig
CONFIGS: dict[str, type[PhaseConfig] | type[CouplingConfig]] = {
    "phase": PhaseConfig,
    "realnvp": CouplingConfig,
}


@dataclass(frozen=True, eq=False)
class Model:
    """One model, checked when made.

    Raises
    ------
    ModelError
        A tensor is missing, superfluous or of another shape, a sum may leave the range that float32 holds
        exactly, a table holds a value out of its range, or the base table does not increase.
    """

    kind: str
    config: Config
    tensors: Mapping[str, NDArray[Any]] = field(repr=False)

    def __post_init__(self) -> None:
        expected = {"base"}
        for spec in self.config.layers():
            expected |= _check_layer(spec, self.tensors)
        for table in self.config.tables():
            expected.add(_check_table(table, self.tensors))
        if superfluous := set(self.tensors) - expected:
            raise ModelError(
                f"the weights hold tensors that the model does not know: {', '.join(sorted(superfluous))}"
            )
        _check_base(_tensor(self.tensors, "base", np.int32, (sum(base_lengths()),)))

    @cached_property
    def model_id(self) -> bytes:
        """First bytes of the SHA-256 over configuration and tensors, independent of the file they came in."""
        digest = hashlib.sha256(self.config_json().encode())
        for name in sorted(self.tensors):
            tensor = self.tensors[name]
            digest.update(f"{name} {tensor.dtype.name} {tensor.shape}\n".encode())
            digest.update(tensor.astype(tensor.dtype.newbyteorder("<")).tobytes())
        return digest.digest()[:MODEL_ID_BYTES]

    def config_json(self) -> str:
        return json.dumps({"kind": self.kind, **_fields(self.config)}, sort_keys=True)


def load(path: Path) -> Model:
    """Read and check a weights file.

    Raises
    ------
    ModelError
        The file cannot be read, or is no valid model.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as cause:
        raise ModelError(f"the weights file {path} cannot be read: {cause}") from cause
    try:
        record = json.loads(metadata["config"])
        kind = record.pop("kind")
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in record.items()}
        config = CONFIGS[kind](**fields)
        default = asdict(CONFIGS[kind]())
        if fields.keys() != _fields(config).keys() or any(
            _types(v) != _types(default[k]) for k, v in fields.items()
        ):
            raise TypeError("a field is missing, superfluous or of another type")
    except (AttributeError, KeyError, TypeError, ValueError) as cause:
        raise ModelError(f"the weights file {path} has no valid configuration") from cause
    return Model(kind, config, tensors)


def save(model: Model, folder: Path, name: str) -> Path:
    """Write NAME-<model id>.safetensors into the folder."""
    from safetensors.numpy import save_file

    path = folder / f"{name}-{model.model_id.hex()}.safetensors"
    # safetensors writes memory as it lies, whatever the strides say.
    tensors = {name: np.ascontiguousarray(tensor) for name, tensor in model.tensors.items()}
    save_file(tensors, str(path), metadata={"config": model.config_json()})
    return path


def _fields(config: Config) -> dict[str, Any]:
    """What a weights file says of a configuration: single orientations and no refinement, all that the first
    models knew, go without saying.
    """
    unsaid = {"orientations": 1, "refinement_width": 0, "refinement_orientations": 1}
    return {k: v for k, v in asdict(config).items() if k not in unsaid or v != unsaid[k]}


def _types(value: object) -> object:
    """What tells one number from two, and whole ones from others."""
    return tuple(map(type, value)) if isinstance(value, tuple) else type(value)


def _tensor(
    tensors: Mapping[str, NDArray[Any]], name: str, dtype: type, shape: tuple[int, ...]
) -> NDArray[Any]:
    if name not in tensors:
        raise ModelError(f"the weights lack the tensor {name}")
    tensor = tensors[name]
    if tensor.dtype != dtype or tensor.shape != shape:
        raise ModelError(f"{name} is {tensor.dtype} {tensor.shape}, expected {np.dtype(dtype)} {shape}")
    return tensor


def _check_layer(spec: LayerSpec, tensors: Mapping[str, NDArray[Any]]) -> set[str]:
    """Names of the layer's tensors, once their shapes and the bound on every partial sum are proved."""
    names = [f"{spec.name}.weight{i}" for i in range(len(spec.inputs))]
    weights = [
        _tensor(tensors, n, np.int8, (spec.outputs, c, k, k))
        for n, (c, k) in zip(names, spec.inputs, strict=True)
    ]
    bias = _tensor(tensors, f"{spec.name}.bias", np.int32, (spec.outputs,))
    shift = _tensor(tensors, f"{spec.name}.shift", np.int8, (spec.outputs,))
    if shift.min() < 0 or shift.max() > MAX_SHIFT:
        raise ModelError(f"a shift of layer {spec.name} lies outside 0 ... {MAX_SHIFT}")
    bounds = accumulator_bounds(weights, bias, -ACTIVATION_MIN)
    if bounds.max() >= FLOAT32_EXACT:
        raise ModelError(
            f"layer {spec.name}, channel {bounds.argmax()}: sums may reach {bounds.max()}, "
            f"float32 is exact below {FLOAT32_EXACT}"
        )
    return {*names, f"{spec.name}.bias", f"{spec.name}.shift"}


def _check_table(spec: TableSpec, tensors: Mapping[str, NDArray[Any]]) -> str:
    """The table's name, after its values have been checked."""
    table = _tensor(tensors, spec.name, np.int32, spec.shape)
    if table.min() < spec.low or table.max() > spec.high:
        raise ModelError(f"the table {spec.name} has a value outside {spec.low} ... {spec.high}")
    return spec.name


def _check_base(base: NDArray[np.int32]) -> None:
    start = 0
    for index, (length, fineness) in enumerate(zip(base_lengths(), SCALE_FINENESS, strict=True)):
        table = base[start : start + length].astype(np.int64)
        start += length
        step = 1 << fineness
        smallest = min(
            table.min(),
            MASS_TOTAL - table.max(),
            (table[step:] - table[:-step]).min(),
            (table[1:] - table[:-1]).min() + MASS_MIN,
        )
        if smallest < MASS_MIN:
            raise ModelError(f"the base table of scale index {index} gives a symbol a mass below {MASS_MIN}")


def phase_config(model: Model) -> PhaseConfig:
    """The configuration of a phase model.

    Raises
    ------
    TypeError
        It is a model of another kind.
    """
    if not isinstance(model.config, PhaseConfig):
        raise TypeError(f"a phase model is needed here, not one of kind {model.kind}")
    return model.config
