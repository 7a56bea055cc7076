"""The attack of Salem et al. 2019: a small network on the largest scores.

The network has some 300 weights and takes tens of thousands of steps, so that a step of
a general framework is nearly all overhead. Its gradient fits on ten lines of NumPy, which
take about a quarter of the time (a test holds them against PyTorch's).
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

from trustmia.arrays import Bool, Float32
from trustmia.attacks.base import Attack, AttackSettings
from trustmia.errors import UserError
from trustmia.seeding import numpy_generator

HIDDEN = 64
WINDOW = 15
MINIMUM_GAIN = 0.0005
ROWS_AT_ONCE = 1 << 18


@dataclass(frozen=True)
class Network:
    """One hidden layer of ReLU units and one logit.

    Attributes:
        flat: float32 [k·64 + 64 + 64 + 1], all weights, so that an optimiser sees one array.
        weights: float32 [k, 64], a view of `flat`, as are the following.
        biases: float32 [64].
        out_weights: float32 [64].
        out_bias: float32 [1].
    """

    flat: Float32
    weights: Float32
    biases: Float32
    out_weights: Float32
    out_bias: Float32

    @classmethod
    def over(cls, flat: Float32) -> "Network":
        """Divide an array into the network's parts."""
        inputs = (len(flat) - 2 * HIDDEN - 1) // HIDDEN
        parts = np.split(flat, np.cumsum([inputs * HIDDEN, HIDDEN, HIDDEN]))
        return cls(flat, parts[0].reshape(inputs, HIDDEN), *parts[1:])

    @classmethod
    def initial(cls, inputs: int, rng: np.random.Generator) -> "Network":
        """Draw weights and biases uniformly within ±1/√(inputs of the layer), as PyTorch does."""
        network = cls.over(np.empty(inputs * HIDDEN + 2 * HIDDEN + 1, dtype=np.float32))
        for part, fan_in in (
            (network.weights, inputs),
            (network.biases, inputs),
            (network.out_weights, HIDDEN),
            (network.out_bias, HIDDEN),
        ):
            part[...] = rng.uniform(-(fan_in**-0.5), fan_in**-0.5, part.shape)
        return network

    def logits(self, inputs: Float32) -> Float32:
        """Return the logit of each row, float32 [N], of inputs float32 [N, k].

        Without matrix products, which round the last rows otherwise: equal rows are to tie.
        """
        hidden = np.tile(self.biases, (len(inputs), 1))
        for column, weights in zip(inputs.T, self.weights, strict=True):
            hidden += column[:, None] * weights
        np.maximum(hidden, 0, out=hidden)
        hidden *= self.out_weights
        logits: Float32 = hidden.sum(axis=1) + self.out_bias
        return logits

    def gradient(self, inputs: Float32, labels: Float32, gradient: "Network") -> float:
        """Write the gradient of the mean binary cross-entropy; return the loss."""
        before = inputs @ self.weights + self.biases
        hidden = np.maximum(before, 0)
        logits = hidden @ self.out_weights + self.out_bias
        errors = (sigmoid(logits) - labels) / np.float32(len(labels))
        np.matmul(errors, hidden, out=gradient.out_weights)
        gradient.out_bias[0] = errors.sum()
        at_hidden = errors[:, None] * self.out_weights * (before > 0)
        np.matmul(inputs.T, at_hidden, out=gradient.weights)
        at_hidden.sum(axis=0, out=gradient.biases)
        return float((np.logaddexp(np.float32(0), logits) - labels * logits).mean())


class Adam:
    """Adam (Kingma & Ba 2015) with its usual decay rates, over one array."""

    def __init__(self, flat: Float32, lr: float) -> None:
        self.flat, self.lr, self.steps = flat, lr, 0
        self.mean, self.square = np.zeros_like(flat), np.zeros_like(flat)

    def step(self, gradient: Float32) -> None:
        """Move the weights."""
        self.steps += 1
        self.mean += np.float32(0.1) * (gradient - self.mean)
        self.square += np.float32(0.001) * (gradient * gradient - self.square)
        root = np.sqrt(self.square) * np.float32((1 - 0.999**self.steps) ** -0.5)
        rate = np.float32(self.lr / (1 - 0.9**self.steps))
        self.flat -= rate * self.mean / (root + np.float32(1e-8))


def sigmoid(logits: Float32) -> Float32:
    """Return 1/(1 + e^−x) without overflow, float32 [N]."""
    positive = 1 / (1 + np.exp(-np.abs(logits)))
    result: Float32 = np.where(logits >= 0, positive, 1 - positive)
    return result


@dataclass(frozen=True)
class SalemAttack:
    """Calls an image a member if the network's sigmoid is at least 0.5."""

    network: Network
    k: int

    def score(self, scores: Float32) -> Float32:
        """See `FittedAttack.score`: the sigmoid of the network's logit, in [0, 1]."""
        result = np.empty(len(scores), dtype=np.float32)
        for start in range(0, len(scores), ROWS_AT_ONCE):
            largest = top_k(scores[start : start + ROWS_AT_ONCE], self.k)
            result[start : start + len(largest)] = sigmoid(self.network.logits(largest))
        return result

    def decide(self, attack_scores: Float32) -> Bool:
        """See `FittedAttack.decide`."""
        return attack_scores >= np.float32(0.5)

    def parameters(self) -> dict[str, float | None]:
        """See `FittedAttack.parameters`."""
        return {"salem_k": float(self.k)}


class Patience:
    """Says when a loss has stopped improving.

    It has when the best loss of the last `WINDOW` epochs is not at least `MINIMUM_GAIN`
    below the best loss before them.
    """

    def __init__(self) -> None:
        self.best_before = float("inf")
        self.recent: deque[float] = deque()

    def is_over(self, loss: float) -> bool:
        """Take the loss of the epoch that just ended."""
        self.recent.append(loss)
        if len(self.recent) > WINDOW:
            self.best_before = min(self.best_before, self.recent.popleft())
        return min(self.recent) > self.best_before - MINIMUM_GAIN


def top_k(scores: Float32, k: int) -> Float32:
    """Return the k largest scores of each row, largest first: float32 [N, k]."""
    kept = np.partition(scores, scores.shape[1] - k, axis=1)[:, scores.shape[1] - k :]
    return np.ascontiguousarray(np.sort(kept, axis=1)[:, ::-1])


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
    inputs, labels = top_k(scores, settings.salem_k), member.astype(np.float32)
    rng = numpy_generator(settings.seed, "salem")
    network = Network.initial(settings.salem_k, rng)
    if (inputs == inputs[0]).all():
        network.flat[:] = 0
        return SalemAttack(network, settings.salem_k)
    optimizer = Adam(network.flat, settings.salem_lr)
    patience = Patience()
    for _ in range(settings.salem_max_epochs):
        order = rng.permutation(len(labels))
        loss = train_epoch(network, optimizer, inputs[order], labels[order], settings)
        if patience.is_over(loss):
            break
    return SalemAttack(network, settings.salem_k)


def train_epoch(
    network: Network,
    optimizer: Adam,
    inputs: Float32,
    labels: Float32,
    settings: AttackSettings,
) -> float:
    """Pass once over the shadow rows in the given order; return the mean loss."""
    gradient = Network.over(np.empty_like(network.flat))
    total = 0.0
    for start in range(0, len(labels), settings.salem_batch_size):
        batch = slice(start, start + settings.salem_batch_size)
        loss = network.gradient(inputs[batch], labels[batch], gradient)
        optimizer.step(gradient.flat)
        total += loss * len(labels[batch])
    return total / len(labels)


SALEM = Attack("Salem Attack", fit)
