# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
"""BoTorch's Gaussian process with its prediction written out.

GPyTorch composes the kernel anew at every call, over data and places together; with a few dozen observations that
takes ten times longer than the numbers. Here the factorised data stay with the model. A test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from botorch.acquisition.objective import PosteriorTransform
from botorch.models.gp_regression import SingleTaskGP
from botorch.models.model_list_gp_regression import ModelListGP
from botorch.posteriors.gpytorch import GPyTorchPosterior
from botorch.posteriors.transformed import TransformedPosterior
from gpytorch.distributions import MultivariateNormal
from gpytorch.kernels import AdditiveKernel, Kernel, MaternKernel, ScaleKernel
from linear_operator import to_linear_operator
from torch import Tensor

from sdl.journal.records import ParameterValue
from sdl.planners.encoding import Array, Encoding
from sdl.planners.field import Field
from sdl.planners.outcome import OutcomeFit
from sdl.planners.surrogate import Surrogate

if TYPE_CHECKING:
    from sdl.planners.assumed import Offset


@dataclass(frozen=True)
class BotorchModel:
    """What a planner has learned, as a model for BoTorch's acquisition functions, and the way to its coordinates.

    Attributes
    ----------
    model
        Predicts the outcomes in the order of *outcomes*, on standardised scales, which may be logarithms.
    outcomes
        Names of the outcomes.
    """

    model: CachedGaussianProcess | ModelListGP
    outcomes: tuple[str, ...]
    _encoding: Encoding
    _surrogate: Surrogate

    @classmethod
    def of(cls, surrogate: Surrogate, encoding: Encoding) -> BotorchModel:
        """Return *surrogate* in BoTorch's form."""
        models = [CachedGaussianProcess(fit, surrogate.field(name)) for name, fit in surrogate.fits.items()]
        together: CachedGaussianProcess | ModelListGP = models[0] if len(models) == 1 else ModelListGP(*models)
        together.eval()
        return cls(together, surrogate.names, encoding, surrogate)

    def encode(self, points: Sequence[Mapping[str, ParameterValue]]) -> Tensor:
        """Return the coordinates of *points*, shape (points, columns), each in [0, 1]."""
        return to_tensor(self._encoding.encode(points))

    def decode(self, rows: Tensor) -> list[dict[str, ParameterValue]]:
        """Return the points at *rows*, shape (points, columns); no constraint between parameters is looked at."""
        return [self._encoding.decode(row) for row in rows.detach().numpy()]

    def standardised(self, outcome: str, values: Sequence[float]) -> Tensor:
        """Return *values* of *outcome*, in its unit, on the scale that the model predicts on, shape (values,)."""
        return to_tensor(self._surrogate.fits[outcome].warp.forward(np.asarray(values, dtype=float)))


CLOSE = 1e-20
"""Squared distances are raised to this, where the root has no slope; the kernel's own slope is 0 there."""


class CachedGaussianProcess(SingleTaskGP):
    """An exact Gaussian process with given hyper-parameters that answers :meth:`posterior` from its factorised data.

    Parameters
    ----------
    fit
        Data and hyper-parameters.
    field
        The same in NumPy, already factorised; made of *fit* where it is not given.
    """

    def __init__(self, fit: OutcomeFit, field: Field | None = None) -> None:
        inputs, targets, noise = to_tensor(fit.data.inputs), to_tensor(fit.data.targets), to_tensor(fit.noise)
        super().__init__(inputs, targets[:, None], noise[:, None], covar_module=_kernel(fit), outcome_transform=None)
        self.mean_module.constant = torch.tensor(fit.hyperparameters.mean, dtype=torch.double)
        self.eval()
        self._field = Field.of(fit) if field is None else field
        self._places = [to_tensor(scaled) for scaled in self._field.known.scaled]
        self._whitening, self._weights = to_tensor(self._field.whitening), to_tensor(self._field.weights[:, 0])

    def posterior(  # type: ignore[override] # the base classes contradict one another in BoTorch
        self,
        X: Tensor,  # noqa: N803 # BoTorch's name
        output_indices: list[int] | None = None,
        observation_noise: bool | Tensor = False,
        posterior_transform: PosteriorTransform | None = None,
    ) -> GPyTorchPosterior | TransformedPosterior:
        """Return the joint posterior at *X*, shape (..., q, columns), without observation noise.

        Where *X* does not say whose trials they would be, and when, they are the campaign's own, and now: zeros.
        """
        padded = torch.nn.functional.pad(X, (0, self._field.kernel.n_columns - X.shape[-1]))
        if observation_noise is not False or output_indices not in (None, [0]):
            return super().posterior(padded, output_indices, observation_noise, posterior_transform)
        places = self._scaled(padded)
        cross = self._observed(self._covariance(places, self._places))
        whitened = cross @ self._whitening.T
        mean = self._field.fit.hyperparameters.mean + cross @ self._weights
        if self._field.fit.offset is not None:
            mean = mean + _Offset.apply(X, self._field.fit.offset)  # type: ignore[no-untyped-call] # torch's
        covariance = self._covariance(places, places) - whitened @ whitened.mT
        # As an operator the covariance is only factorised where samples are drawn, and with jitter then.
        posterior = GPyTorchPosterior(MultivariateNormal(mean, to_linear_operator(covariance)))
        return posterior if posterior_transform is None else posterior_transform(posterior, X)

    def _scaled(self, rows: Tensor) -> list[Tensor]:
        terms = self._field.kernel.terms
        return [(rows if t.columns is None else rows[..., t.columns.tolist()]) * to_tensor(t.scale) for t in terms]

    def _covariance(self, first: list[Tensor], second: list[Tensor]) -> Tensor:
        """Return the prior covariance of scaled places, shape (..., n, m)."""
        total = torch.zeros(())
        for term, a, b in zip(self._field.kernel.terms, first, second, strict=True):
            squared = (a.unsqueeze(-2) - b.unsqueeze(-3)).square().sum(dim=-1)
            distance = (5.0 * squared.clamp_min(CLOSE)).sqrt()
            total = total + term.amplitude * (1.0 + distance + distance.square() / 3.0) * torch.exp(-distance)
        return total

    def _observed(self, covariance: Tensor) -> Tensor:
        """See :meth:`sdl.planners.field.Field.observed`."""
        pairs = self._field.fit.differences
        if pairs is None:
            return covariance
        n, m = self._field.n_rows, len(pairs.values)
        plain, low, high = torch.split(covariance, [n, m, m], dim=-1)
        return torch.cat([plain, high - low], dim=-1)


class _Offset(torch.autograd.Function):
    """What a user's model expects, as a function that PyTorch can differentiate; its code is not PyTorch's."""

    @staticmethod
    def forward(ctx: Any, X: Tensor, offset: Offset) -> Tensor:  # noqa: N803 # BoTorch's name
        """Return the offset at *X*, shape (..., columns), shape (...)."""
        rows = X.detach().reshape(-1, X.shape[-1]).numpy()
        ctx.save_for_backward(X)
        ctx.offset = offset
        return to_tensor(offset.values(rows)).reshape(X.shape[:-1])

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        """Return the gradient with respect to *X*."""
        (X,) = ctx.saved_tensors  # noqa: N806 # BoTorch's name
        slopes = to_tensor(ctx.offset.slopes(X.detach().reshape(-1, X.shape[-1]).numpy())).reshape(X.shape)
        return gradients[0].unsqueeze(-1) * slopes, None


def _kernel(fit: OutcomeFit) -> Kernel:
    """Return GPyTorch's form of the kernel."""
    parts: list[Kernel] = []
    for term in fit.kernel.terms:
        columns = None if term.columns is None else tuple(term.columns.tolist())
        kernel = ScaleKernel(MaternKernel(nu=2.5, ard_num_dims=len(term.scale), active_dims=columns))
        kernel.base_kernel.lengthscale = to_tensor(1.0 / term.scale)
        kernel.outputscale = term.amplitude
        parts.append(kernel)
    return parts[0] if len(parts) == 1 else AdditiveKernel(*parts)


def to_tensor(array: Array) -> Tensor:
    """Return a double-precision tensor with a copy of *array*."""
    return torch.tensor(array, dtype=torch.double)
