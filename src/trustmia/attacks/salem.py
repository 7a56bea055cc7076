"""The attack of Salem et al. 2019: a small network on the largest scores."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import expit
from torch import Tensor, nn
from torch.nn import functional as F

from trustmia.arrays import Bool, Float32, Float64
from trustmia.attacks.base import Attack, AttackSettings
from trustmia.attacks.logits import Floats, in_blocks, probabilities
from trustmia.errors import UserError
from trustmia.runtime.seeding import derive_seed

HIDDEN = 64
WINDOW = 15
MINIMUM_GAIN = 0.0005


class Network(nn.Module):
    """One hidden layer of ReLU units and one logit: float32 [B, k] to [B]."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(inputs, HIDDEN)
        self.out = nn.Linear(HIDDEN, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logit of each row."""
        logits: Tensor = self.out(F.relu(self.hidden(inputs)))[:, 0]
        return logits

    def logits(self, inputs: Floats) -> Floats:
        """Return the logit of each row in the precision of the inputs, float [N, k] to [N].

        Without matrix products, which round the last rows otherwise: equal rows are to tie.
        """
        parts = [p.detach().numpy().astype(inputs.dtype) for p in self.parameters()]
        weights, biases, out_weights, out_bias = parts
        hidden = np.tile(biases, (len(inputs), 1))
        for column, of_column in zip(inputs.T, weights.T, strict=True):
            hidden += column[:, None] * of_column
        np.maximum(hidden, 0, out=hidden)
        hidden *= out_weights
        result: Floats = hidden.sum(axis=1) + out_bias
        return result


@dataclass(frozen=True)
class SalemAttack:
    """Calls an image a member if the network's sigmoid is at least 0.5."""

    network: Network
    k: int

    def score(self, scores: Float32) -> Float32:
        """See `FittedAttack.score`: the sigmoid of the network's logit, in [0, 1]."""
        return in_blocks(scores, lambda rows: expit(self.network.logits(top_k(rows, self.k))))

    def rank(self, logits: Float32 | Float64) -> Float64:
        """See `FittedAttack.rank`: the network's logit, all in float64.

        Images tie still of which the network says the same: where none of its units is active,
        which may be most images, and where the largest score is within 1e-16 of 1.
        """
        return in_blocks(
            logits, lambda rows: self.network.logits(top_k(probabilities(rows), self.k))
        )

    def decide(self, attack_scores: Float32) -> Bool:
        """See `FittedAttack.decide`."""
        return attack_scores >= np.float32(0.5)

    def parameters(self) -> dict[str, float | None]:
        """See `FittedAttack.parameters`."""
        return {"salem_k": float(self.k)}

    def notes(self) -> tuple[str, ...]:
        """See `FittedAttack.notes`."""
        return ()


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


def check_k(k: int, classes: int, option: str) -> None:
    """Refuse to look at more scores than there are.

    Args:
        k: Largest scores that the attack sees.
        classes: How many scores there are of an image.
        option: What the person who set `k` calls it.

    Raises:
        UserError: `k` is not 1 to `classes`.
    """
    if not 1 <= k <= classes:
        raise UserError(f"{option}: got {k}; allowed: 1 to {classes}, the number of classes")


def fit(scores: Float32, member: Bool, settings: AttackSettings) -> SalemAttack:
    """Train the network on the shadow model's scores with binary cross-entropy.

    Where all scores are the same there is nothing to learn, and every image gets 0.5.

    Raises:
        UserError: `salem_k` is not 1 to the number of classes.
    """
    check_k(settings.salem_k, scores.shape[1], "salem_k")
    inputs = torch.from_numpy(top_k(scores, settings.salem_k))
    labels = torch.from_numpy(member.astype(np.float32))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive_seed(settings.seed, "salem"))
        network = Network(settings.salem_k)
        if bool((inputs == inputs[0]).all()):
            for parameter in network.parameters():
                nn.init.zeros_(parameter)
        else:
            train(network, inputs, labels, settings)
    return SalemAttack(network, settings.salem_k)


def train(network: Network, inputs: Tensor, labels: Tensor, settings: AttackSettings) -> None:
    """Train on inputs float32 [N, k] and labels float32 [N] until the loss stops improving."""
    optimizer = torch.optim.Adam(network.parameters(), settings.salem_lr, fused=True)
    patience = Patience()
    for _ in range(settings.salem_max_epochs):
        total = 0.0
        for rows in torch.randperm(len(labels)).split(settings.salem_batch_size):
            loss = F.binary_cross_entropy_with_logits(network(inputs[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(rows)
        if patience.is_over(total / len(labels)):
            break


SALEM = Attack("Salem Attack", fit)
