"""Training configurations: TOML with a table for each of model, training, augmentation and polishing."""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nvpcodec.errors import InputError
from nvpcodec.train.data import Augmentation

CONFIGS = Path(__file__).with_name("configs")


@dataclass(frozen=True)
class Training:
    """How long, on what crops, with which numbers."""

    minutes: float
    crop: int
    batch: int
    learning_rate: float
    ema: float = 0.999
    quantize_after: float = 0.82
    seed: int = 1


@dataclass(frozen=True)
class Polishing:
    """How long refinements are polished before a phase model is exported, if at all, and on how much."""

    minutes: float = 0.0
    megapixels: float = 5.0
    learning_rate: float = 1e-3


@dataclass(frozen=True)
class TrainingConfig:
    """`model` holds the fields of the model's own configuration, `kind` says which that is."""

    name: str
    kind: str
    model: dict[str, Any]
    training: Training
    augmentation: Augmentation = field(default_factory=Augmentation)
    polishing: Polishing = field(default_factory=Polishing)


def read_config(name: str) -> TrainingConfig:
    """The configuration of that name in the package, or else the file of that path.

    Raises
    ------
    InputError
        There is none, or it has a table or a field that does not exist.
    """
    shipped = CONFIGS / f"{name}.toml"
    path = shipped if shipped.is_file() else Path(name)
    try:
        record = tomllib.loads(path.read_text())
        model = record.pop("model")
        config = TrainingConfig(
            name=path.stem,
            kind=model.pop("kind"),
            model={k: tuple(v) if isinstance(v, list) else v for k, v in model.items()},
            training=Training(**record.pop("training")),
            augmentation=Augmentation(**record.pop("augmentation", {})),
            polishing=Polishing(**record.pop("polishing", {})),
        )
    except OSError as cause:
        known = ", ".join(sorted(p.stem for p in CONFIGS.glob("*.toml")))
        raise InputError(
            f"there is no configuration {name!r}; choose {known} or the path of a TOML file"
        ) from cause
    except (KeyError, TypeError, ValueError) as cause:
        raise InputError(f"the configuration {path} is not valid: {cause}") from cause
    if record:
        raise InputError(f"the configuration {path} has tables that are not known: {', '.join(record)}")
    return config
