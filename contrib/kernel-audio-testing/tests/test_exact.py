from __future__ import annotations

import math

import pytest
import torch

from kernel_audio_testing.exact import Gaussian, Mixture


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def gaussian(generator) -> Gaussian:
    return Gaussian(
        torch.randn(2, 3, generator=generator).double(),
        0.5 + torch.rand(2, 3, generator=generator).double(),
    )


@pytest.fixture
def mixture(generator) -> Mixture:
    return Mixture(
        torch.randn(4, 2, 3, generator=generator).double(),
        torch.tensor([0.2, 0.5, 0.9, 0.3]).double(),
        torch.tensor([1.0, 2.0, 0.5, 3.0]).double(),
    )


def log_density(mixture: Mixture, x: torch.Tensor, sigma: float) -> torch.Tensor:
    """Return ln p(x) for each item, from torch's own distributions."""
    spread = (mixture.stds.square() + sigma**2).sqrt().view(-1, 1).expand(-1, 6)
    parts = torch.distributions.Independent(
        torch.distributions.Normal(mixture.means.flatten(1), spread), 1
    )
    shares = torch.distributions.Categorical(mixture.weights)
    return torch.distributions.MixtureSameFamily(shares, parts).log_prob(x.flatten(1))


@pytest.mark.parametrize("sigma", [0.05, 1.0, 20.0])
def test_the_score_is_the_gradient_of_the_log_density(mixture, sigma, generator):
    x = (mixture.sample(8, generator) * (1 + sigma)).requires_grad_()
    (gradient,) = torch.autograd.grad(log_density(mixture, x, sigma).sum(), x)
    torch.testing.assert_close(mixture.score(x.detach(), sigma), gradient, rtol=1e-9, atol=1e-10)
    denoised = mixture.denoise(x.detach(), sigma)
    torch.testing.assert_close(denoised, x.detach() + sigma**2 * gradient, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("sigma", [0.1, 3.0])
def test_a_mixture_of_one_is_a_gaussian(sigma, generator):
    mean = torch.randn(2, 3, generator=generator).double()
    std = torch.tensor(0.7).double()
    one = Mixture(mean[None], std[None], torch.ones(1).double())
    gaussian = Gaussian(mean, std)
    x = torch.randn(5, 2, 3, generator=generator).double()
    torch.testing.assert_close(one.denoise(x, sigma), gaussian.denoise(x, sigma))
    for end in (0.0, 40.0):
        torch.testing.assert_close(
            one.flow(x, sigma, end), gaussian.flow(x, sigma, end), rtol=1e-11, atol=1e-11
        )


@pytest.mark.parametrize("problem", ["gaussian", "mixture"])
def test_the_flow_obeys_its_equation(problem, request, generator):
    exact = request.getfixturevalue(problem)
    x = 2 * torch.randn(4, 2, 3, generator=generator).double()
    sigma, h = 0.8, 1e-4
    slope = (exact.flow(x, sigma, sigma + h) - exact.flow(x, sigma, sigma - h)) / (2 * h)
    torch.testing.assert_close(slope, (x - exact.denoise(x, sigma)) / sigma, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("problem", ["gaussian", "mixture"])
def test_flows_compose_and_return(problem, request, generator):
    exact = request.getfixturevalue(problem)
    x = 20 * torch.randn(4, 2, 3, generator=generator).double()
    end = exact.flow(x, 20.0, 0.0)
    torch.testing.assert_close(
        exact.flow(exact.flow(x, 20.0, 1.0), 1.0, 0.0), end, rtol=1e-9, atol=1e-10
    )
    torch.testing.assert_close(exact.flow(end, 0.0, 20.0), x, rtol=1e-7, atol=1e-7)
    assert torch.equal(exact.flow(x, 3.0, 3.0), x)


@pytest.mark.parametrize("problem", ["gaussian", "mixture"])
def test_samples_follow_the_distribution_and_the_generator(problem, request):
    exact = request.getfixturevalue(problem)
    draws = [exact.sample(20_000, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    if problem == "gaussian":
        mean, square = exact.mean, exact.std.square() + exact.mean.square()
    else:
        shares = (exact.weights / exact.weights.sum()).view(-1, 1, 1)
        mean = (shares * exact.means).sum(0)
        square = (shares * (exact.means.square() + exact.stds.square().view(-1, 1, 1))).sum(0)
    error = 5 * math.sqrt(4 / 20_000)
    torch.testing.assert_close(draws[0].mean(0), mean, rtol=0, atol=error)
    torch.testing.assert_close(draws[0].square().mean(0), square, rtol=0, atol=3 * error)


@pytest.mark.parametrize("problem", ["gaussian", "mixture"])
def test_works_in_the_dtype_of_the_state(problem, request):
    exact = request.getfixturevalue(problem)
    x = torch.ones(1, 2, 3)
    assert exact.denoise(x, 1.0).dtype == torch.float32
    assert exact.flow(x, 1.0, 0.5).dtype == torch.float32


def test_a_point_is_a_gaussian_without_spread():
    point = Gaussian(torch.tensor([[3.0]]), torch.tensor(0.0))
    x = torch.tensor([[[5.0]]])
    assert point.denoise(x, 2.0).item() == 3.0
    assert point.flow(x, 2.0, 0.0).item() == 3.0
