"""Refinements trained once more, alone, on what the finished coder leaves over.

In training a network sees crops in one orientation, and nothing is fitted to them. The coder takes means
over orientations and fits linear parts first, so that its errors are not the ones that a refinement has
learned to expect. Here some photographs are coded, what each prediction was asked with is kept, and only the
small networks of the refinements are trained on it.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import torch
from torch import Tensor, nn

from nvpcodec.float_layers import Conv
from nvpcodec.flow import bits
from nvpcodec.layout import EVERYTHING, everywhere
from nvpcodec.model import Model
from nvpcodec.orientation import reversals
from nvpcodec.phase_coder import PhaseCoder, phase_coder
from nvpcodec.phase_flow import Prediction
from nvpcodec.phase_model import PhaseModel, Placement, log_mass
from nvpcodec.refinement import Innovations, Refinement
from nvpcodec.tables import (
    ACTIVATION_UNIT,
    LEGAL,
    SCALE_MIN_LOG2,
    SCALE_STEPS_PER_OCTAVE,
    SHIFT_UNIT,
)
from nvpcodec.train.config import Polishing
from nvpcodec.train.data import Augmentation, crop, rgb_to_planes
from nvpcodec.train.export import draft_phase
from nvpcodec.train.loop import Schedule

#: Longest side of a crop that is coded, and what sides are multiples of, so that they stay even.
SIDE, SIDE_MULTIPLE = 256, 32
PICTURES_A_STEP = 4
HELD_BACK = 10
EMA = 0.99
WARM_UP_STEPS = 20


@dataclass(frozen=True)
class Asked:
    """A prediction before its refinement, and what it came to.

    features: (n, head width, h, w) int16, activations in the n orientations of the refinement
    mean:     (h, w) int16, sixteenths of a pixel step, the linear part included
    scale:    (h, w) uint8, indices
    values:   (h, w) int16
    """

    level: int
    phase: int
    plane: int
    features: Tensor = field(repr=False)
    mean: Tensor = field(repr=False)
    scale: Tensor = field(repr=False)
    values: Tensor = field(repr=False)

    def placement(self) -> Placement:
        return Placement(
            self.level,
            self.phase,
            self.plane,
            EVERYTHING,
            self.mean[None].float() / SHIFT_UNIT,
            self.scale[None].float() / SCALE_STEPS_PER_OCTAVE + SCALE_MIN_LOG2,
        )


#: All that was asked of one picture, in coding order.
Picture = list[Asked]


def polish(
    trained: PhaseModel, images: Sequence[Tensor], how: Augmentation, plan: Polishing, seed: int
) -> None:
    """Train the refinements of a model on crops of uint8 images (3, H, W), coded as the model is now.

    Where pictures that are held back do not gain, nothing changes.

    Raises
    ------
    ModelError
        A layer's sums cannot be kept in the exact range.
    """
    pictures = list(_coded(draft_phase(trained), images, how, plan.megapixels * 1e6, seed))
    held_back, pictures = pictures[::HELD_BACK], [p for i, p in enumerate(pictures) if i % HELD_BACK]
    trained.dtype = torch.float32
    for module in trained.modules():
        if isinstance(module, Conv):
            module.quantized = True
    parameters = [p for name, p in trained.named_parameters() if "refinement" in name]
    before, start = bits_per_dim(trained, held_back), _copies(parameters)
    _put(parameters, _averaged(trained, parameters, pictures, plan, seed))
    after = bits_per_dim(trained, held_back)
    if after >= before:
        _put(parameters, start)
    print(f"refinements polished: {before:.4f} -> {after:.4f} bits/dim, held-back pictures", file=sys.stderr)


def bits_per_dim(model: PhaseModel, pictures: Sequence[Picture]) -> float:
    """What the refined predictions of the pictures take."""
    with torch.no_grad():
        nats = torch.stack([_nats(model, picture) for picture in pictures]).sum()
    return float(bits.bits_per_dim(nats, _samples(pictures)))


def _coded(
    model: Model, images: Sequence[Tensor], how: Augmentation, pixels: float, seed: int
) -> Iterator[Picture]:
    """What is asked for augmented crops of images, drawn in proportion to their area, until there are so many
    pixels.
    """
    coder = phase_coder(model, torch.device("cpu"))
    rng = np.random.default_rng(seed)
    areas = np.array([image.shape[1] * image.shape[2] for image in images], np.float64)
    while pixels > 0:
        image = images[int(rng.choice(len(images), p=areas / areas.sum()))]
        smaller = min(SIDE, *image.shape[1:]) // SIDE_MULTIPLE * SIDE_MULTIPLE
        planes = rgb_to_planes(crop(image, max(smaller, SIDE_MULTIPLE), rng, how))
        yield _asked_of(coder, planes)
        pixels -= planes[0].numel()


def _asked_of(coder: PhaseCoder, planes: Tensor) -> Picture:
    """What a coder asks for planes (3, H, W)."""
    picture: Picture = []

    def note(prediction: Prediction, mean: Tensor, values: Tensor) -> None:
        if prediction.refinement is None:
            return
        height, width = values.shape
        features = prediction.refinement.features[..., :height, :width]
        picture.append(
            Asked(
                prediction.level,
                prediction.phase,
                prediction.plane,
                features.to(torch.int16),
                mean.to(torch.int16),
                prediction.scale.to(torch.uint8),
                values.to(torch.int16),
            )
        )

    coder.encode(planes.to(torch.int32).numpy(), asked=note)
    return picture


def _averaged(
    model: PhaseModel,
    parameters: Sequence[nn.Parameter],
    pictures: Sequence[Picture],
    plan: Polishing,
    seed: int,
) -> list[Tensor]:
    """The moving average of the parameters, trained by the wall clock."""
    schedule = Schedule(60 * plan.minutes, plan.learning_rate, WARM_UP_STEPS, ema=EMA)
    optimiser = torch.optim.Adam(parameters, betas=(0.9, 0.98))
    average = _copies(parameters)
    rng = np.random.default_rng(seed)
    started, step = time.monotonic(), 0
    while (elapsed := time.monotonic() - started) < schedule.seconds:
        chosen = [pictures[i] for i in rng.integers(0, len(pictures), PICTURES_A_STEP)]
        optimiser.zero_grad()
        for picture in chosen:
            bits.bits_per_dim(_nats(model, picture), _samples(chosen)).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, schedule.clip)
        for group in optimiser.param_groups:
            group["lr"] = schedule.rate(step, elapsed)
        optimiser.step()
        step += 1
        decay = min(schedule.ema, step / (10 + step))
        for mean, value in zip(average, parameters, strict=True):
            mean.lerp_(value.detach(), 1 - decay)
    return average


def _nats(model: PhaseModel, picture: Picture) -> Tensor:
    """What the refined predictions of one picture take, all passes at once."""
    nats = torch.zeros(())
    orientations = reversals(model.config.refinement_orientations)
    for _, of_level in groupby(picture, lambda asked: asked.level):
        innovations: Innovations | None = None
        for asked in of_level:
            innovations = innovations or Innovations(asked.values[None, None].float())
            x, at = asked.values[None].float(), asked.placement()
            features = asked.features.float() / ACTIVATION_UNIT
            layers = model.refinement(asked.level, asked.phase, asked.plane)
            refinement = Refinement(
                layers, asked.phase, asked.plane, features, innovations, model.cast, orientations
            )
            refinement.note(everywhere(*asked.values.shape), at.innovations(x).round())
            refined = at.refined(refinement.outputs_at_once().mean(0, keepdim=True))
            nats = nats - log_mass(x, refined.mean, refined.log2_scale, *LEGAL[asked.plane]).sum()
    return nats


def _samples(pictures: Sequence[Picture]) -> int:
    return sum(asked.values.numel() for picture in pictures for asked in picture)


def _copies(parameters: Sequence[nn.Parameter]) -> list[Tensor]:
    return [p.detach().clone() for p in parameters]


def _put(parameters: Sequence[nn.Parameter], values: Sequence[Tensor]) -> None:
    with torch.no_grad():
        for parameter, value in zip(parameters, values, strict=True):
            parameter.copy_(value)
