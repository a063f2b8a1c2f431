"""What every layer must do, and seeded batches to do it with."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

from nvpcodec.flow import Bijection, Flow

Module = TypeVar("Module", bound=nn.Module)


def batch(*shape: int, seed: int = 1, scale: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(shape, generator=generator, dtype=torch.float64)


def stirred(module: Module, seed: int = 2, by: float = 0.2) -> Module:
    """The module in double precision and in evaluation, its parameters and statistics moved at random."""
    generator = torch.Generator().manual_seed(seed)
    module.double().eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(
                by
                * torch.randn(parameter.shape, generator=generator, dtype=torch.float64).to(parameter.dtype)
            )
        for name, buffer in module.named_buffers():
            if name.endswith(("mean", "variance")):
                buffer.add_(0.5 * torch.rand(buffer.shape, generator=generator, dtype=torch.float64))
    return module


def jacobian(layer: Bijection, item: Tensor) -> Tensor:
    """d z / d x of one item, flat: (n, n)."""

    def flat(x: Tensor) -> Tensor:
        z: Tensor = layer(x.view(1, *item.shape))[0]
        return z.flatten()

    found: Tensor = torch.autograd.functional.jacobian(flat, item.flatten())  # type: ignore[no-untyped-call]
    return found


def check_bijection(layer: Bijection, x: Tensor) -> None:
    """The inverse is exact, log-determinants are those of the Jacobian, shapes are as announced."""
    with torch.no_grad():
        z, log_det = layer(x)
        back, back_log_det = layer.inverse(z)
    assert z.shape[1:] == layer.output_shape(tuple(x.shape[1:]))
    assert log_det.shape == back_log_det.shape == (len(x),)
    assert z.dtype == log_det.dtype == x.dtype
    torch.testing.assert_close(back, x, rtol=0, atol=1e-8)
    torch.testing.assert_close(back_log_det, -log_det, rtol=1e-7, atol=1e-7)
    for item, claimed in zip(x, log_det, strict=True):
        numerical = torch.linalg.slogdet(jacobian(layer, item)).logabsdet
        torch.testing.assert_close(claimed, numerical, rtol=1e-7, atol=1e-7)


def check_flow(flow: Flow, x: Tensor) -> None:
    """Latents go back to what they came from."""
    with torch.no_grad():
        latents, log_det = flow(x)
        torch.testing.assert_close(flow.inverse(latents), x.to(latents[0].dtype), rtol=0, atol=1e-6)
    assert [tuple(z.shape[1:]) for z in latents] == flow.latent_shapes
    assert log_det.shape == (len(x),)
