"""The entropy attack: a small entropy of the scores speaks for a member."""

from dataclasses import dataclass

import numpy as np

from trustmia.arrays import Bool, Float32, Float64
from trustmia.attacks import logits as exact
from trustmia.attacks.base import Attack, LearnedForm
from trustmia.settings import Section

CANDIDATES = 10_000


class Settings(Section):
    """The entropy attack."""


@dataclass(frozen=True)
class EntropyAttack:
    """Calls an image a member if the entropy of its scores, in nats, is below θ."""

    theta: float

    def score(self, scores: Float32) -> Float32:
        """See `FittedAttack.score`: the negative entropy."""
        return -entropy(scores)

    def rank(self, logits: Float32 | Float64) -> Float64:
        """See `FittedAttack.rank`: the negative log of the entropy."""
        return -exact.in_blocks(logits, exact.log_entropy)

    def decide(self, attack_scores: Float32) -> Bool:
        """See `FittedAttack.decide`."""
        return attack_scores.astype(np.float64) > -self.theta

    def parameters(self) -> dict[str, float | None]:
        """See `FittedAttack.parameters`."""
        return {"entropy_theta": self.theta}

    def notes(self) -> tuple[str, ...]:
        """See `FittedAttack.notes`."""
        return ()


def entropy(scores: Float32) -> Float32:
    """Return the Shannon entropy of each row in nats.

    PyTorch's `Categorical`, which the paper's attack uses, keeps a score one float32 step
    away from 0 and 1 inside the logarithm. Scores that have saturated in float32 then
    tie, rather than being ranked by what rounding left of them. For the same reason scores
    are added up in their order: in that of the classes, the same scores may differ.

    Args:
        scores: float32 [N, K]; rows sum to 1.

    Returns:
        float32 [N], in [0, log K] up to rounding.
    """
    import torch
    from torch.distributions import Categorical

    blocks = torch.from_numpy(np.ascontiguousarray(scores)).split(exact.ROWS_AT_ONCE)
    ordered = (rows.sort(dim=1).values for rows in blocks)
    return torch.cat([Categorical(rows, validate_args=False).entropy() for rows in ordered]).numpy()


def best_theta(member_entropy: Float32, nonmember_entropy: Float32) -> float:
    """Return the first of 10,000 thresholds with the most correct shadow decisions.

    The thresholds are evenly spaced between the smallest and largest entropy. A
    non-member is decided correctly at or above θ, a member below it. Two sorted arrays
    answer for all thresholds at once: O((N + T) log N) rather than O(N·T).

    Args:
        member_entropy: float32 [N].
        nonmember_entropy: float32 [M].
    """
    members, nonmembers = np.sort(member_entropy), np.sort(nonmember_entropy)
    low = min(members[0], nonmembers[0])
    high = max(members[-1], nonmembers[-1])
    thetas = np.linspace(low, high, CANDIDATES, dtype=np.float64)
    members_right = np.searchsorted(members.astype(np.float64), thetas, side="left")
    nonmembers_wrong = np.searchsorted(nonmembers.astype(np.float64), thetas, side="left")
    return float(thetas[np.argmax(members_right - nonmembers_wrong)])


def fit(scores: Float32, member: Bool, settings: Settings, seed: int) -> EntropyAttack:
    """Choose θ on the shadow model's scores."""
    values = entropy(scores)
    return EntropyAttack(best_theta(values[member], values[~member]))


ENTROPY = Attack(Settings, (LearnedForm("entropy", "Entropy", fit),))
