"""One training from a configuration and folders of images to a weights file."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from nvpcodec.errors import InputError
from nvpcodec.exact import find_device
from nvpcodec.model import CONFIGS, Model, save
from nvpcodec.phase_model import PhaseModel
from nvpcodec.train.config import TrainingConfig, read_config
from nvpcodec.train.coupling_model import CouplingModel
from nvpcodec.train.data import batches, find_images, is_validation, load_rgb, rgb_to_planes, validation_crops
from nvpcodec.train.export import export_phase
from nvpcodec.train.export_coupling import export_coupling
from nvpcodec.train.flow_model import FlowModel, write_flow
from nvpcodec.train.loop import Schedule, Trainer, run_loop
from nvpcodec.train.polish import polish

#: Photographs that the shapes of the base distribution are fitted to.
SHAPED_IMAGES = 120


@dataclass(frozen=True)
class Kind:
    """How a kind of model is built from its configuration and the type of its features, and written to a
    folder under a name, given a few training images.
    """

    build: Callable[[TrainingConfig, torch.dtype], nn.Module]
    write: Callable[[nn.Module, list[Tensor], Path, str], Path]


def _coding(
    model: Callable[..., nn.Module], kind: str, export: Callable[[nn.Module, list[Tensor]], Model]
) -> Kind:
    """A kind that has an integer twin."""
    return Kind(
        build=lambda config, dtype: model(CONFIGS[kind](**config.model), dtype=dtype),
        write=lambda trained, images, folder, name: save(export(trained, images), folder, name),
    )


def _build_flow(config: TrainingConfig, _dtype: torch.dtype) -> nn.Module:
    sizes = dict(config.model)
    return FlowModel(sizes.pop("preset", ""), config.training.crop, sizes)


KINDS = {
    "phase": _coding(PhaseModel, "phase", export_phase),
    "realnvp": _coding(CouplingModel, "realnvp", export_coupling),
    "flow": Kind(_build_flow, write_flow),
}


def run(
    config_name: str,
    data: Sequence[str],
    *,
    out: str = "training",
    init: str | None = None,
    minutes: float | None = None,
    session_minutes: float | None = None,
    device_name: str = "auto",
) -> Path | None:
    """Train, or go on where `out` was left, and export when the time budget is used up.

    A new training starts from the EMA weights of the training state `init`, if that is given. Returns the
    weights file; None if only `session_minutes` have ended.

    Raises
    ------
    InputError
        The configuration is no good, or there are no images.
    """
    config = read_config(config_name)
    if minutes is not None:
        config = replace(config, training=replace(config.training, minutes=minutes))
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    files = find_images([Path(d) for d in data])
    training = load_rgb([f for f in files if not is_validation(f)])
    validation = load_rgb([f for f in files if is_validation(f)])
    if not training or not validation:
        raise InputError(
            f"{len(files)} images are too few: some are needed for training and some for validation"
        )
    trainer = _trainer(config, find_device(device_name))
    state = folder / "state.pt"
    if state.exists():
        trainer.restore(torch.load(state, map_location=trainer.device, weights_only=True))
    elif init is not None:
        trainer.start_from(torch.load(init, map_location=trainer.device, weights_only=True)["ema"])
    print(
        f"{len(training)} images, {len(validation)} more for validation, from step {trainer.step}",
        file=sys.stderr,
    )
    plan = config.training
    finished = run_loop(
        trainer,
        batches(training, trainer.step, plan.batch, plan.crop, plan.seed, config.augmentation),
        validation_crops(validation, plan.crop),
        folder,
        session_seconds=60 * session_minutes if session_minutes is not None else None,
    )
    return _export(config, trainer, training, folder) if finished else None


def _trainer(config: TrainingConfig, device: torch.device) -> Trainer:
    torch.manual_seed(config.training.seed)
    torch.set_flush_denormal(True)
    if config.kind not in KINDS:
        raise InputError(f"there is no kind of model {config.kind!r}; choose {', '.join(KINDS)}")
    if config.polishing.minutes and not config.model.get("refinement_width"):
        raise InputError(f"{config.name}: only refinements are polished, and the model has none")
    plan = config.training
    schedule = Schedule(
        seconds=60 * plan.minutes,
        learning_rate=plan.learning_rate,
        ema=plan.ema,
        quantize_after=plan.quantize_after,
    )
    return Trainer(KINDS[config.kind].build(config, _feature_dtype(device)), schedule, device)


def _feature_dtype(device: torch.device) -> torch.dtype:
    """On a CPU that was measured, convolutions are slower in bfloat16 than in float32 (docs/models.md)."""
    return torch.float32 if device.type == "cpu" else torch.bfloat16


def _export(config: TrainingConfig, trainer: Trainer, images: Sequence[Tensor], folder: Path) -> Path:
    """The EMA weights as a file: an integer model, where the kind has one."""
    trainer.model.load_state_dict(trainer.ema)
    model = trainer.model.cpu()
    if config.polishing.minutes and isinstance(model, PhaseModel):
        polish(model, images, config.augmentation, config.polishing, config.training.seed)
    shown = [rgb_to_planes(image) for image in images[:: -(-len(images) // SHAPED_IMAGES)]]
    path = KINDS[config.kind].write(model, shown, folder, config.name)
    print(f"wrote {path}", file=sys.stderr)
    return path
