"""What a score-based membership inference attack is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from trustmia.arrays import Bool, Float32, Float64


@dataclass(frozen=True)
class AttackSettings:
    """Settings of all attacks; each reads its own.

    Attributes:
        seed: Seed of attacks that train a network.
        salem_k: Largest scores that the Salem attack sees, at least 1.
        salem_lr: Learning rate of its network.
        salem_batch_size: Shadow rows per step.
        salem_max_epochs: Bound on its epochs.
    """

    seed: int = 42
    salem_k: int = 3
    salem_lr: float = 0.01
    salem_batch_size: int = 16
    salem_max_epochs: int = 1000


class FittedAttack(Protocol):
    """An attack that has learned its parameters from the shadow model."""

    def score(self, scores: Float32) -> Float32:
        """Return how much each row looks like a member's.

        Args:
            scores: float32 [N, K], a model's prediction scores; rows sum to 1.

        Returns:
            float32 [N]; higher is more likely a member.
        """

    def rank(self, logits: Float32 | Float64) -> Float64:
        """Return what `score` would in exact arithmetic, or a rising function of it.

        Scores near 1 are equal in float32 and rank nothing; the logits behind them still do.

        Args:
            logits: float [N, K], whose softmax the prediction scores are.

        Returns:
            float64 [N], finite; the same for the same logits, whatever the order of classes.
        """

    def decide(self, attack_scores: Float32) -> Bool:
        """Return which rows are called members, bool [N], from what `score` returned."""

    def parameters(self) -> dict[str, float | None]:
        """Return what was learned, by the names used in `metrics.json`.

        Finite numbers, or None where there is none.
        """

    def notes(self) -> tuple[str, ...]:
        """Return what is unusual about what was learned, a sentence each."""


@dataclass(frozen=True)
class Attack:
    """An attack in the registry.

    Attributes:
        title: Name in tables, as in the paper's result files.
        fit: Learns from the shadow model: scores float32 [N, K], membership bool [N] with
            both values present, settings. Raises `UserError` if a setting does not fit
            the scores.
    """

    title: str
    fit: Callable[[Float32, Bool, AttackSettings], FittedAttack]
