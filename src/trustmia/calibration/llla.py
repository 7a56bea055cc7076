"""Last-layer Laplace approximation (Kristiadi, Hein, Hennig 2020).

The posterior of the last linear layer's weights is Gaussian, its Hessian the Kronecker
product of a factor of the classes and one of the features. The prior is isotropic; its
precision is the one number that is chosen on held-out images.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from trustmia.calibration.base import Calibration, FitInputs, Method
from trustmia.errors import UserError

Loss = Callable[[float], float]

# The grid of log10 of the prior precision; a minimum at an end widens it by SPAN, up to ±BOUND.
LOG10_PRECISION = (-4.0, 4.0)
STEP, SPAN, BOUND = 0.1, 4.0, 8.0
# An end whose loss is as close to the smallest has it: what is left is rounding.
FLAT = 1e-9
# What the published code sets: batches and running average of its Hessian; samples, grid (of
# variances from 1e-4 to 1e2) and weight of the noise images of its search.
PUBLISHED_BATCH = 128
PUBLISHED_DECAY = 0.95
PUBLISHED_SAMPLES = 10
PUBLISHED_LOG10_PRECISION = (-2.0, 4.0)
PUBLISHED_STEP = 6 / 99
NOISE_WEIGHT = 0.25
SMALLEST = 1e-8
# Numbers that a sampled batch may hold at once.
BATCH_NUMBERS = 2**22


@dataclass(frozen=True)
class Hessian:
    """Eigenvalues and eigenvectors of the two factors of a mean Hessian.

    Attributes:
        images: Number of images that the posterior has seen.
        class_values: float64 [K].
        class_basis: float64 [K, K], eigenvectors as columns.
        feature_values: float64 [F].
        feature_basis: float64 [F, F].
        damped: Whether the prior is added to each factor, as the published code does,
            instead of to their product.
    """

    images: int
    class_values: Tensor
    class_basis: Tensor
    feature_values: Tensor
    feature_basis: Tensor
    damped: bool

    def posterior(self, prior_precision: float, draws: Tensor | None) -> "Llla":
        """Return the posterior under a prior."""
        classes, features = self.class_values, self.feature_values[:, None]
        root = math.sqrt(self.images)
        if self.damped:
            prior = math.sqrt(prior_precision)
            precision = (root * features + prior) * (root * classes + prior)
        else:
            precision = self.images * features * classes + prior_precision
        return Llla(
            prior_precision=torch.tensor([prior_precision], dtype=torch.float64),
            class_basis=self.class_basis,
            feature_basis=self.feature_basis,
            weight_variance=1 / precision,
            bias_variance=1 / (self.images * classes + prior_precision),
            draws=draws,
        )


@dataclass(frozen=True)
class Llla(Calibration):
    """A fitted posterior.

    Attributes:
        prior_precision: float64 [1].
        class_basis: float64 [K, K], the eigenvectors of all logits' covariances.
        feature_basis: float64 [F, F], eigenvectors of the features' factor.
        weight_variance: float64 [F, K], posterior variances in the two bases.
        bias_variance: float64 [K], in the basis of the classes.
        draws: float64 [S, K], what `_draws` returned, of the link `mc`; None: `probit`.
            All images share them, so that an image's scores depend on nothing but the
            image: not on its row, nor on the images beside it, nor on their number.
    """

    prior_precision: Tensor
    class_basis: Tensor
    feature_basis: Tensor
    weight_variance: Tensor
    bias_variance: Tensor
    draws: Tensor | None = None

    def logits(self, features: Tensor, logits: Tensor) -> Tensor:
        """See `Calibration.logits`: scaled logits (`probit`) or logarithms of scores (`mc`)."""
        return self.linked(_squared(features, self.feature_basis), logits.double()).float()

    def linked(self, squared: Tensor, logits: Tensor) -> Tensor:
        """Return calibrated logits, float64 [N, K].

        Args:
            squared: float64 [N, F], squares of the features in their basis.
            logits: float64 [N, K].
        """
        if self.draws is None:
            variances = self._variances(squared) @ self.class_basis.T.square()
            return logits / torch.sqrt(1 + math.pi / 8 * variances)
        rows = max(1, BATCH_NUMBERS // self.draws.numel())
        parts = zip(squared.split(rows), logits.split(rows), strict=True)
        return torch.cat([self.sampled(*part, self.draws) for part in parts])

    def sampled(self, squared: Tensor, logits: Tensor, draws: Tensor) -> Tensor:
        """Return the logarithm of the mean score over samples, float64 [N, K].

        Args:
            squared: See `linked`.
            logits: See `linked`.
            draws: float64 [S, K] or [N, S, K], standard normal numbers.
        """
        scales = self._variances(squared).sqrt()[:, None]
        logits_of_samples = logits[:, None] + (scales * draws) @ self.class_basis.T
        return logits_of_samples.log_softmax(2).logsumexp(1) - math.log(draws.shape[-2])

    def _variances(self, squared: Tensor) -> Tensor:
        """Return variances in the basis of the classes, float64 [N, K]."""
        return squared @ self.weight_variance + self.bias_variance

    def tensors(self) -> dict[str, Tensor]:
        """See `Calibration.tensors`."""
        return {name: tensor for name, tensor in vars(self).items() if tensor is not None}


def _squared(features: Tensor, basis: Tensor) -> Tensor:
    return (features.double() @ basis).square()


def exact_hessian(features: Tensor, logits: Tensor) -> Hessian:
    """Return the Hessian of the cross-entropy, its factors averaged over all images.

    Args:
        features: float32 [N, F] of the training images.
        logits: float32 [N, K].
    """
    inputs, probabilities = features.double(), logits.double().softmax(1)
    outer = probabilities.T @ probabilities
    classes = (torch.diag(probabilities.sum(0)) - outer) / len(inputs)
    of_features = inputs.T @ inputs / len(inputs)
    return Hessian(len(inputs), *_eigen(classes), *_eigen(of_features), damped=False)


def published_hessian(features: Tensor, logits: Tensor, drawn: Tensor) -> Hessian:
    """Return the Hessian as the published code estimates it.

    The factor of the classes is that of labels drawn from the model, one for each image;
    batches of 128 enter a running average, so that of many, the last ones count.

    Args:
        features: float32 [N, F] of the training images, in their order.
        logits: float32 [N, K].
        drawn: int64 [N], the drawn labels.
    """
    sizes = [len(part) for part in drawn.split(PUBLISHED_BATCH)]
    weights: list[float] = []
    for number in range(1, len(sizes) + 1):
        kept = min(1 - 1 / number, PUBLISHED_DECAY)
        weights = [kept * weight for weight in weights] + [1 - kept]
    per_image = [weight / size for weight, size in zip(weights, sizes, strict=True)]
    weight = torch.tensor(per_image, dtype=torch.float64).repeat_interleave(torch.tensor(sizes))
    inputs, probabilities = features.double(), logits.double().softmax(1)
    gradients = probabilities - F.one_hot(drawn, logits.shape[1])
    classes = gradients.T @ (weight[:, None] * gradients)
    of_features = inputs.T @ (weight[:, None] * inputs)
    return Hessian(len(inputs), *_eigen(classes), *_eigen(of_features), damped=True)


def _eigen(factor: Tensor) -> tuple[Tensor, Tensor]:
    """Return eigenvalues, at least 0, and eigenvectors as columns."""
    values, basis = torch.linalg.eigh(factor)
    return values.clamp(min=0), basis.contiguous()


def smallest(loss: Loss, log10_range: tuple[float, float], step: float) -> float:
    """Return the prior precision with the smallest loss of a grid.

    Args:
        loss: Of a prior precision.
        log10_range: Ends of the grid, multiples of `step`; a minimum at an end widens it there.
        step: Between values, in log10.

    Raises:
        UserError: The loss still falls at 1e-8 or 1e8.
    """
    first, last = (round(end / step) for end in log10_range)
    span, bound = round(SPAN / step), round(BOUND / step)
    losses: dict[int, float] = {}
    while True:
        losses |= {n: loss(10 ** (n * step)) for n in range(first, last + 1) if n not in losses}
        best = min(losses, key=losses.__getitem__)
        end = min((first, last), key=losses.__getitem__)
        if losses[end] - losses[best] > FLAT:
            return 10.0 ** (best * step)
        if abs(end) >= bound:
            raise UserError(_no_minimum(end * step))
        if end == first:
            first = max(first - span, -bound)
        else:
            last = min(last + span, bound)


def _no_minimum(log10_precision: float) -> str:
    model = "the model is not" if log10_precision > 0 else "the widest posterior is still"
    return (
        "calibration.method llla: the loss on the validation images has no minimum, it still "
        f"falls at a prior precision of {10**log10_precision:.0e}: {model} overconfident on "
        "them; set calibration.method to none or temperature"
    )


def validation_nll(hessian: Hessian, inputs: FitInputs, draws: Tensor | None) -> Loss:
    """Return the NLL of the validation images as a function of the prior precision."""
    squared = _squared(inputs.validation.features, hessian.feature_basis)
    logits = inputs.validation.logits.double()

    def loss(prior_precision: float) -> float:
        linked = hessian.posterior(prior_precision, draws).linked(squared, logits)
        return float(F.cross_entropy(linked, inputs.validation_labels))

    return loss


def published_loss(hessian: Hessian, inputs: FitInputs, generator: torch.Generator) -> Loss:
    """Return the published code's loss as a function of the prior precision.

    It is the NLL of the validation images plus 0.25 times the mean −log probability of all
    classes on noise images, of means over ten samples for each image. So few of them favour
    a larger precision than many would. All precisions are judged on the same samples, unlike
    in the published code, where chance gives a flat loss its minimum.
    """
    assert inputs.noise is not None
    predictions = inputs.validation, inputs.noise
    squared = [_squared(each.features, hessian.feature_basis) for each in predictions]
    shapes = [each.logits.shape for each in predictions]
    draws = [_draws((images, PUBLISHED_SAMPLES, k), generator) for images, k in shapes]

    def loss(prior_precision: float) -> float:
        posterior = hessian.posterior(prior_precision, None)
        logarithms = []
        for each, squares, samples in zip(predictions, squared, draws, strict=True):
            linked = posterior.sampled(squares, each.logits.double(), samples)
            logarithms.append((linked.softmax(1) + SMALLEST).log())
        validation, noise = logarithms
        nll = F.nll_loss(validation, inputs.validation_labels)
        return float(nll - NOISE_WEIGHT * noise.mean())

    return loss


def _draws(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Return normal numbers of variance 1, float64 [..., S, K], with a mean of 0 over samples.

    Another mean would shift the logits, which half the time lessens a loss by chance: some
    small variance would then be better than none, however little the model is overconfident.
    """
    draws = torch.randn(shape, dtype=torch.float64, generator=generator)
    samples = shape[-2]
    if samples == 1:
        return draws
    return (draws - draws.mean(-2, keepdim=True)) * math.sqrt(samples / (samples - 1))


def _fit(inputs: FitInputs) -> Llla:
    settings, train = inputs.llla, inputs.train
    generator = torch.Generator().manual_seed(inputs.seed)
    draws = None
    if settings.link == "mc":
        draws = _draws((settings.samples, train.logits.shape[1]), generator)
    if settings.prior == "nll":
        hessian = exact_hessian(train.features, train.logits)
        chosen = smallest(validation_nll(hessian, inputs, draws), LOG10_PRECISION, STEP)
    else:
        # The running average weighs the last images most; the published order is a random one.
        order = torch.randperm(len(train.logits), generator=generator)
        features, logits = train.features[order], train.logits[order]
        drawn = torch.multinomial(logits.double().softmax(1), 1, generator=generator)[:, 0]
        hessian = published_hessian(features, logits, drawn)
        loss = published_loss(hessian, inputs, generator)
        chosen = smallest(loss, PUBLISHED_LOG10_PRECISION, PUBLISHED_STEP)
    return hessian.posterior(chosen, draws)


LLLA = Method(fit=_fit, load=lambda tensors: Llla(**tensors))
