# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
"""BoTorch's Gaussian process with its prediction written out.

GPyTorch composes the kernel anew at every call, over data and places together; with a few dozen observations that
takes ten times longer than the numbers. Here the factorised data stay with the model. A test compares the two.
"""

from __future__ import annotations

import torch
from botorch.acquisition.objective import PosteriorTransform
from botorch.models.gp_regression import SingleTaskGP
from botorch.posteriors.gpytorch import GPyTorchPosterior
from botorch.posteriors.transformed import TransformedPosterior
from gpytorch.distributions import MultivariateNormal
from gpytorch.kernels import MaternKernel, ScaleKernel
from linear_operator import to_linear_operator
from linear_operator.utils.cholesky import psd_safe_cholesky
from torch import Tensor

from sdl.planners.encoding import Array
from sdl.planners.outcome import OutcomeFit

CLOSE = 1e-20
"""Squared distances are raised to this, where the root has no slope; the kernel's own slope is 0 there."""


class CachedGaussianProcess(SingleTaskGP):
    """An exact Gaussian process with given hyper-parameters that answers :meth:`posterior` from its factorised data.

    Parameters
    ----------
    fit
        Data and hyper-parameters.
    """

    def __init__(self, fit: OutcomeFit) -> None:
        inputs, targets = to_tensor(fit.data.inputs), to_tensor(fit.data.targets)
        kernel = ScaleKernel(MaternKernel(nu=2.5, ard_num_dims=inputs.shape[1]))
        kernel.base_kernel.lengthscale = to_tensor(fit.lengthscales)
        kernel.outputscale = fit.hyperparameters.amplitude
        noise = to_tensor(fit.noise)
        super().__init__(inputs, targets[:, None], noise[:, None], covar_module=kernel, outcome_transform=None)
        self.mean_module.constant = torch.tensor(fit.hyperparameters.mean, dtype=torch.double)
        self.eval()
        self._lengthscales = to_tensor(fit.lengthscales)
        self._amplitude = fit.hyperparameters.amplitude
        self._mean = fit.hyperparameters.mean
        self._places = inputs / self._lengthscales
        factor = psd_safe_cholesky(self._covariance(self._places, self._places) + torch.diag(noise))
        identity = torch.eye(len(inputs), dtype=torch.double)
        self._whitening = torch.linalg.solve_triangular(factor, identity, upper=False)
        self._weights = self._whitening.T @ (self._whitening @ (targets - self._mean))

    def posterior(  # type: ignore[override] # the base classes contradict one another in BoTorch
        self,
        X: Tensor,  # noqa: N803 # BoTorch's name
        output_indices: list[int] | None = None,
        observation_noise: bool | Tensor = False,
        posterior_transform: PosteriorTransform | None = None,
    ) -> GPyTorchPosterior | TransformedPosterior:
        """Return the joint posterior at *X*, shape (..., q, columns), without observation noise.

        Where *X* does not say whose trials they would be, they are the campaign's own: a 0 in the last column.
        """
        padded = torch.nn.functional.pad(X, (0, len(self._lengthscales) - X.shape[-1]))
        if observation_noise is not False or output_indices not in (None, [0]):
            return super().posterior(padded, output_indices, observation_noise, posterior_transform)
        places = padded / self._lengthscales
        cross = self._covariance(places, self._places)
        whitened = cross @ self._whitening.T
        mean = self._mean + cross @ self._weights
        covariance = self._covariance(places, places) - whitened @ whitened.mT
        # As an operator the covariance is only factorised where samples are drawn, and with jitter then.
        posterior = GPyTorchPosterior(MultivariateNormal(mean, to_linear_operator(covariance)))
        return posterior if posterior_transform is None else posterior_transform(posterior, X)

    def _covariance(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the prior covariance of scaled places, shape (..., n, m)."""
        squared = (first.unsqueeze(-2) - second.unsqueeze(-3)).square().sum(dim=-1)
        distance = (5.0 * squared.clamp_min(CLOSE)).sqrt()
        return self._amplitude * (1.0 + distance + distance.square() / 3.0) * torch.exp(-distance)


def to_tensor(array: Array) -> Tensor:
    """Return a double-precision tensor with a copy of *array*."""
    return torch.tensor(array, dtype=torch.double)
