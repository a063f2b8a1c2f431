"""The training loop: Muon and AdamW, warm-up and cosine by wall clock, EMA weights, checkpoints that resume
exactly.
"""

import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nvpcodec.float_layers import Conv
from nvpcodec.flow import bits
from nvpcodec.train.growth import grown
from nvpcodec.train.muon import Muon

FEW_OUTPUTS = 8

#: Planes (B, 3, H, W) to nats, any shape.
Likelihood = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Schedule:
    """Wall-clock budget in seconds and the optimiser's numbers."""

    seconds: float
    learning_rate: float = 2e-3
    warm_up_steps: int = 200
    weight_decay: float = 1e-4
    clip: float = 1.0
    ema: float = 0.999
    checkpoint_seconds: float = 120.0
    #: Share of the budget after which weights and activations are rounded as the integer model rounds them.
    quantize_after: float = 0.82

    def rate(self, step: int, elapsed: float) -> float:
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, elapsed / self.seconds)))
        return self.learning_rate * min(1.0, (step + 1) / self.warm_up_steps) * (0.02 + 0.98 * cosine)


class Trainer:
    """One model in training, with everything that a checkpoint has to hold."""

    def __init__(self, model: nn.Module, schedule: Schedule, device: torch.device) -> None:
        self.model = model.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.schedule = schedule
        self.device = device
        self.optimisers = _optimisers(self.model, schedule)
        self.ema = {k: v.detach().clone() for k, v in model.state_dict().items()}
        self.step = 0
        self.elapsed = 0.0

    def train_step(self, planes: Tensor) -> float:
        """One update on planes (B, 3, H, W); returns bits/dim before it."""
        self.set_quantized(self.elapsed >= self.schedule.quantize_after * self.schedule.seconds)
        loss = bits_per_dim(self.model, planes.to(self.device))
        self.model.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), self.schedule.clip)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = self.schedule.rate(self.step, self.elapsed)
            optimiser.step()
        decay = min(self.schedule.ema, (1 + self.step) / (10 + self.step))
        for name, value in self.model.state_dict().items():
            if value.is_floating_point():
                self.ema[name].lerp_(value, 1 - decay)
            else:
                self.ema[name].copy_(value)
        self.step += 1
        return float(loss.detach())

    def set_quantized(self, quantized: bool) -> None:
        for module in self.model.modules():
            if isinstance(module, Conv):
                module.quantized = quantized

    def validate(self, planes: Tensor, batch: int) -> float:
        """Bits/dim of the EMA weights."""
        live = {k: v.clone() for k, v in self.model.state_dict().items()}
        self.model.load_state_dict(self.ema)
        self.model.eval()
        with torch.no_grad():
            parts = [bits_per_dim(self.model, p.to(self.device)) * len(p) for p in torch.split(planes, batch)]
        self.model.load_state_dict(live)
        self.model.train()
        return float(sum(parts)) / len(planes)

    def state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "ema": self.ema,
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "step": self.step,
            "elapsed": self.elapsed,
        }

    def start_from(self, weights: dict[str, Tensor]) -> None:
        """Begin with these weights, of a model of this size or a smaller one, instead of random ones."""
        self.model.load_state_dict(grown(weights, self.model))
        self.ema = {k: v.detach().clone() for k, v in self.model.state_dict().items()}

    def restore(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.ema = {k: v.to(self.device) for k, v in state["ema"].items()}
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.step, self.elapsed = state["step"], state["elapsed"]


def _optimisers(model: nn.Module, schedule: Schedule) -> list[torch.optim.Optimizer]:
    """Muon for the matrices, AdamW for biases and for layers of so few outputs that they are none."""
    matrices = [p for p in model.parameters() if p.dim() > 1 and len(p) > FEW_OUTPUTS]
    others = [p for p in model.parameters() if p.dim() <= 1 or len(p) <= FEW_OUTPUTS]
    rate, decay = schedule.learning_rate, schedule.weight_decay
    return [
        Muon(matrices, lr=rate, weight_decay=decay),
        torch.optim.AdamW(others, lr=rate, weight_decay=decay, betas=(0.9, 0.98)),
    ]


def bits_per_dim(model: Likelihood, planes: Tensor) -> Tensor:
    return bits.bits_per_dim(model(planes).sum(), planes.numel())


def save(path: Path, state: dict[str, Any]) -> None:
    """Write beside the target and rename, so that a killed training leaves its last checkpoint whole."""
    beside = path.with_suffix(path.suffix + ".part")
    torch.save(state, beside)
    os.replace(beside, path)


def run_loop(
    trainer: Trainer,
    batches: Iterator[Tensor],
    validation: Tensor,
    out: Path,
    session_seconds: float | None = None,
) -> bool:
    """Train until the schedule's budget is used up, over all sessions, or `session_seconds` of this one.

    Writes a line of the log and a checkpoint every so often; returns whether the budget is used up.
    """
    started, before = time.monotonic(), trainer.elapsed
    noted, losses, pixels = started, list[float](), 0
    for planes in batches:
        losses.append(trainer.train_step(planes))
        pixels += planes.shape[0] * planes.shape[-2] * planes.shape[-1]
        now = time.monotonic()
        trainer.elapsed = before + now - started
        finished = trainer.elapsed >= trainer.schedule.seconds
        ended = finished or (session_seconds is not None and now - started >= session_seconds)
        if ended or now - noted >= trainer.schedule.checkpoint_seconds:
            record = {
                "step": trainer.step,
                "seconds": round(trainer.elapsed),
                "train": round(sum(losses) / len(losses), 4),
                "validation": round(trainer.validate(validation, planes.shape[0]), 4),
                "megapixels_per_second": round(pixels / (now - noted) / 1e6, 3),
            }
            note(record, out / "log.jsonl")
            save(out / "state.pt", trainer.state())
            noted, losses, pixels = time.monotonic(), [], 0
        if ended:
            return finished
    return False


def note(record: dict[str, float], log: Path) -> None:
    """One line for the log, the same for the terminal."""
    with log.open("a") as file:
        print(json.dumps(record), file=file)
    print("  ".join(f"{k} {v}" for k, v in record.items()), file=sys.stderr)
