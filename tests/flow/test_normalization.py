"""Statistics: running ones in training, frozen ones in evaluation, those of the first batch."""

from __future__ import annotations

import torch

from nvpcodec.flow import ActNorm, BatchNorm
from tests.flow.helpers import batch, check_bijection


def test_running_statistics_blend_in_each_batch() -> None:
    norm = BatchNorm(3, momentum=0.75).double()
    x = 5 + batch(8, 3, 4, 4, scale=2.0)
    norm(x)
    torch.testing.assert_close(norm.mean, 0.25 * x.mean((0, 2, 3)))
    torch.testing.assert_close(norm.variance, 0.75 + 0.25 * x.var((0, 2, 3), correction=0))
    first = norm.mean.clone()
    norm(x)
    torch.testing.assert_close(norm.mean, 0.75 * first + 0.25 * x.mean((0, 2, 3)))


def test_in_training_the_present_batch_counts_and_gets_gradients() -> None:
    norm = BatchNorm(2, momentum=0.5).double()
    x = (3 + batch(16, 2)).requires_grad_()
    z, log_det = norm(x)
    expected = (x - norm.mean) / (norm.variance + norm.epsilon).sqrt()
    torch.testing.assert_close(z, expected)
    torch.testing.assert_close(log_det[0], -0.5 * torch.log(norm.variance + norm.epsilon).sum())
    (gradient,) = torch.autograd.grad(log_det.sum(), x)
    assert gradient.abs().min() > 0


def test_evaluation_leaves_the_statistics_and_inverts_exactly() -> None:
    norm = BatchNorm(3).double()
    for seed in range(5):
        norm(2 + batch(8, 3, 2, 2, seed=seed, scale=3.0))
    norm.eval()
    before = norm.mean.clone(), norm.variance.clone()
    check_bijection(norm, batch(2, 3, 2, 2))
    assert torch.equal(norm.mean, before[0])
    assert torch.equal(norm.variance, before[1])


def test_many_equal_batches_are_normalised() -> None:
    norm = BatchNorm(2).double()
    x = 7 + batch(64, 2, scale=5.0)
    for _ in range(150):
        z, _ = norm(x)
    torch.testing.assert_close(z.mean(0), torch.zeros(2, dtype=torch.float64), rtol=0, atol=1e-4)
    torch.testing.assert_close(z.var(0, correction=0), torch.ones(2, dtype=torch.float64), rtol=0, atol=1e-4)


def test_actnorm_takes_its_start_from_the_first_batch_alone() -> None:
    norm = ActNorm(3).double()
    x = 4 + batch(16, 3, 4, 4, scale=3.0)
    z, _ = norm(x)
    torch.testing.assert_close(z.mean((0, 2, 3)), torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-9)
    torch.testing.assert_close(
        z.std((0, 2, 3), correction=0), torch.ones(3, dtype=torch.float64), rtol=1e-5, atol=0
    )
    shift = norm.shift.clone()
    norm(10 * x)
    assert torch.equal(norm.shift, shift)


def test_actnorm_in_evaluation_waits_for_training() -> None:
    norm = ActNorm(2).double().eval()
    x = 4 + batch(4, 2)
    assert torch.equal(norm(x)[0], x)
    assert not norm.initialized
