"""The entropy attack: a small entropy of the scores speaks for a member."""

import numpy as np

from trustmia.arrays import Bool, Float32, in_blocks
from trustmia.attacks.base import Attack, FittedAttack, LearnedForm
from trustmia.attacks.logits import log_entropy
from trustmia.settings import Section

CANDIDATES = 10_000


class Settings(Section):
    """The entropy attack."""


def below(theta: float) -> FittedAttack:
    """Return the attack that calls members what has an entropy, in nats, below θ."""
    return FittedAttack(
        score=lambda scores: -entropy(scores),
        rank=lambda logits: -in_blocks(log_entropy, logits),
        decide=lambda negative: negative.astype(np.float64) > -theta,
        learned={"entropy_theta": theta},
    )


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

    def of_rows(rows: Float32) -> Float32:
        ordered = torch.from_numpy(np.sort(rows, axis=1))
        entropies: Float32 = Categorical(ordered, validate_args=False).entropy().numpy()
        return entropies

    return in_blocks(of_rows, scores)


def best_theta(member_entropy: Float32, nonmember_entropy: Float32) -> float:
    """Return the first of 10,000 thresholds with the most correct shadow decisions.

    The thresholds are evenly spaced between the smallest and largest entropy. A
    non-member is decided correctly at or above θ, a member below it. Two sorted arrays
    answer for all thresholds at once: O((N + T) log N) rather than O(N·T).

    Args:
        member_entropy: float32 [N], at least one.
        nonmember_entropy: float32 [M], at least one.
    """
    members, nonmembers = np.sort(member_entropy), np.sort(nonmember_entropy)
    low = min(members[0], nonmembers[0])
    high = max(members[-1], nonmembers[-1])
    thetas = np.linspace(low, high, CANDIDATES, dtype=np.float64)
    members_right = np.searchsorted(members.astype(np.float64), thetas, side="left")
    nonmembers_wrong = np.searchsorted(nonmembers.astype(np.float64), thetas, side="left")
    return float(thetas[np.argmax(members_right - nonmembers_wrong)])


def fit(scores: Float32, member: Bool, settings: Settings, seed: int) -> FittedAttack:
    """Choose θ on the shadow model's scores."""
    values = entropy(scores)
    return below(best_theta(values[member], values[~member]))


ENTROPY = Attack(Settings, (LearnedForm("entropy", "Entropy", fit),))
