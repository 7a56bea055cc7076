"""Last-layer Laplace approximation (Kristiadi, Hein, Hennig 2020), by `laplace-torch`.

The posterior covers the weights of the last linear layer, with a Kronecker-factored
Hessian. That layer is a model of its own whose inputs are the penultimate features, so
images are not shown to the network again.
"""

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from trustmia.calibration.base import FitInputs, Method
from trustmia.torchvision_compat import declare_missing_operators

if TYPE_CHECKING:
    from laplace import KronLaplace

BATCH = 500
GRID_SIZE = 41
LOG10_PRECISION = (-4.0, 4.0)


@dataclass(frozen=True)
class Llla:
    """A fitted posterior; scores are its probit-approximated predictive mean."""

    posterior: "KronLaplace"

    def scores(self, features: Tensor, logits: Tensor) -> Tensor:
        """See `Calibration.scores`; the logits follow from the features and are not used."""
        result = torch.empty_like(logits)
        for start in range(0, len(features), BATCH):
            batch = features[start : start + BATCH]
            predictive = self.posterior(batch, pred_type="glm", link_approx="probit")
            result[start : start + BATCH] = cast(Tensor, predictive).detach()
        return result

    def logits(self, features: Tensor, logits: Tensor) -> Tensor:
        """See `Calibration.logits`: the logarithms of the scores, all finite."""
        scores = self.scores(features, logits)
        return scores.clamp(min=torch.finfo(scores.dtype).tiny).log()

    def tensors(self) -> dict[str, Tensor]:
        """See `Calibration.tensors`."""
        state = self.posterior.state_dict()
        tensors = {"prior_precision": state["prior_precision"].detach().reshape(-1)}
        for group, factors in enumerate(state["H"]):
            for number, factor in enumerate(factors):
                tensors[f"hessian.{group}.{number}"] = factor.contiguous()
        return tensors


def _posterior(head: nn.Linear) -> "KronLaplace":
    declare_missing_operators()
    from laplace import KronLaplace

    # A copy of its own: the model may move to another device afterwards.
    return KronLaplace(copy.deepcopy(head).cpu(), "classification")


def _loader(features: Tensor, labels: Tensor) -> DataLoader[tuple[Tensor, ...]]:
    return DataLoader(TensorDataset(features, labels), batch_size=BATCH)


def _fit(inputs: FitInputs) -> Llla:
    posterior = _posterior(inputs.head)
    posterior.fit(_loader(inputs.train_features, inputs.train_labels))
    posterior.optimize_prior_precision(
        pred_type="glm",
        method="gridsearch",
        link_approx="probit",
        val_loader=_loader(inputs.validation_features, inputs.validation_labels),
        log_prior_prec_min=LOG10_PRECISION[0],
        log_prior_prec_max=LOG10_PRECISION[1],
        grid_size=GRID_SIZE,
    )
    return Llla(posterior)


def _load(head: nn.Linear, tensors: dict[str, Tensor]) -> Llla:
    posterior = _posterior(head)
    factors: list[list[Tensor]] = []
    for name in sorted(name for name in tensors if name.startswith("hessian.")):
        group = int(name.split(".")[1])
        if group == len(factors):
            factors.append([])
        factors[group].append(tensors[name])
    state = {
        "cls_name": type(posterior).__name__,
        "mean": nn.utils.parameters_to_vector(head.parameters()).detach(),
        "H": factors,
        "prior_precision": tensors["prior_precision"],
    }
    empty = {"loss": 0.0, "prior_mean": 0.0, "sigma_noise": 1.0, "n_data": 0}
    fixed = {
        "n_outputs": head.out_features,
        "likelihood": "classification",
        "temperature": 1.0,
        "enable_backprop": False,
    }
    posterior.load_state_dict(state | empty | fixed)
    return Llla(posterior)


LLLA = Method(fit=_fit, load=_load)
