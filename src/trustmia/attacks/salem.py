"""The attack of Salem et al. 2019: a small network on the largest scores."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, TypeVar

import numpy as np
from pydantic import Field

from trustmia.arrays import Bool, Float32, Float64, in_blocks
from trustmia.attacks.base import Attack, FittedAttack, LearnedForm, Refused
from trustmia.attacks.logits import probabilities
from trustmia.runtime.seeding import derive_seed
from trustmia.settings import Count, Rate, Section

if TYPE_CHECKING:
    from torch import Tensor, nn

Floats = TypeVar("Floats", Float32, Float64)
HIDDEN = 64
WINDOW = 15
MINIMUM_GAIN = 0.0005


class Settings(Section):
    """The attack of Salem et al."""

    k: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=3,
        description="largest scores that the network sees; fewer by default of fewer classes",
    )
    lr: Rate = Field(default=0.01, description="learning rate of the network")
    batch_size: Count = Field(default=16, description="shadow rows per step")
    max_epochs: Count = Field(
        default=1000, description="bound on its epochs should its loss never settle"
    )


def attack_of(weights: Sequence[Float32], fewer: bool) -> FittedAttack:
    """Return the attack that calls members what has a sigmoid of at least 0.5.

    By logits, images tie still of which the network says the same: where none of its units is
    active, which may be most images, and where the largest score is within 1e-16 of 1.

    Args:
        weights: float32 [64, k], [64], [1, 64] and [1]: those of one hidden layer of ReLU units
            and of one logit, with biases.
        fewer: There are fewer classes than the scores that the network sees by default.
    """
    from scipy.special import expit

    k = weights[0].shape[1]
    note = f"Salem Attack: the {k} largest scores (salem.k), as there are {k} classes."
    return FittedAttack(
        score=lambda scores: in_blocks(lambda p: expit(logits_of(weights, top_k(p, k))), scores),
        rank=lambda logits: in_blocks(
            lambda rows: logits_of(weights, top_k(probabilities(rows), k)), logits
        ),
        decide=lambda sigmoids: sigmoids >= np.float32(0.5),
        learned={"salem_k": float(k)},
        notes=(note,) if fewer else (),
    )


def logits_of(weights: Sequence[Float32], inputs: Floats) -> Floats:
    """Return the network's logit of each row in the precision of the inputs, float [N, k] to [N].

    Without matrix products, which round the last rows otherwise: equal rows are to tie.
    """
    first, biases, out_weights, out_bias = (part.astype(inputs.dtype) for part in weights)
    hidden = np.tile(biases, (len(inputs), 1))
    for column, of_column in zip(inputs.T, first.T, strict=True):
        hidden += column[:, None] * of_column
    np.maximum(hidden, 0, out=hidden)
    hidden *= out_weights
    result: Floats = hidden.sum(axis=1) + out_bias
    return result


class Patience:
    """Says when a loss has stopped improving, as the published code does.

    It has when `WINDOW` epochs have gone by since the last loss that was `MINIMUM_GAIN` below
    the one kept before it, and the next does not gain as much either.
    """

    def __init__(self) -> None:
        self.kept = float("inf")
        self.waited = 0

    def is_over(self, loss: float) -> bool:
        """Take the loss of the epoch that just ended."""
        if self.waited >= WINDOW and self.kept <= loss + MINIMUM_GAIN:
            return True
        if self.kept - loss >= MINIMUM_GAIN:
            self.kept, self.waited = loss, 0
        self.waited += 1
        return False


def top_k(scores: Floats, k: int) -> Floats:
    """Return the k largest scores of each row, largest first: float [N, k]."""
    kept = np.partition(scores, scores.shape[1] - k, axis=1)[:, scores.shape[1] - k :]
    return np.sort(kept, axis=1)[:, ::-1].copy()


def seen(settings: Settings, classes: int) -> int:
    """Return how many scores the network sees; the default gives way to fewer classes.

    Raises:
        Refused: More than there are were asked for.
    """
    if "k" not in settings.model_fields_set:
        return min(settings.k, classes)
    if settings.k > classes:
        allowed = f"1 to {classes}, the number of classes"
        raise Refused("salem.k", f"got {settings.k}; allowed: {allowed}")
    return settings.k


def fit(scores: Float32, member: Bool, settings: Settings, seed: int) -> FittedAttack:
    """Train the network on the shadow model's scores with binary cross-entropy.

    Where all scores are the same there is nothing to learn, and every image gets 0.5.
    """
    import torch
    from torch import nn

    k = seen(settings, scores.shape[1])
    inputs = torch.from_numpy(top_k(scores, k))
    labels = torch.from_numpy(member.astype(np.float32))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive_seed(seed, "salem"))
        network = nn.Sequential(nn.Linear(k, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1))
        if bool((inputs == inputs[0]).all()):
            for parameter in network.parameters():
                nn.init.zeros_(parameter)
        else:
            train(network, inputs, labels, settings)
    weights = [parameter.detach().numpy() for parameter in network.parameters()]
    return attack_of(weights, fewer=k < settings.k)


def train(network: "nn.Sequential", inputs: "Tensor", labels: "Tensor", settings: Settings) -> None:
    """Train on inputs float32 [N, k] and labels float32 [N] until the loss stops improving."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits

    optimizer = torch.optim.Adam(network.parameters(), settings.lr, fused=True)
    patience = Patience()
    for _ in range(settings.max_epochs):
        total = 0.0
        for rows in torch.randperm(len(labels)).split(settings.batch_size):
            loss = binary_cross_entropy_with_logits(network(inputs[rows])[:, 0], labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(rows)
        if patience.is_over(total / len(labels)):
            break


SALEM = Attack(Settings, (LearnedForm("salem", "Salem", fit),))
