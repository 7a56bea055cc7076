"""What logits say of scores that have rounded to 1, in float64.

Classes are sorted first: in another order, the same numbers have another sum.
"""

import numpy as np

from trustmia.arrays import Float32, Float64


def _below_largest(logits: Float32 | Float64) -> Float64:
    """Return how far each row's other logits are below its largest, float64 [N, K − 1], rising."""
    ordered = np.sort(logits.astype(np.float64), axis=1)
    below: Float64 = ordered[:, :-1] - ordered[:, -1:]
    return below


def log_odds(logits: Float32 | Float64) -> Float64:
    """Return log p − log(1 − p) of each row's largest probability p: float64 [N], finite.

    Logits are finite, float [N, K] with K at least 2.
    """
    below = _below_largest(logits)
    nearest = below[:, -1]
    odds: Float64 = -(nearest + np.log(np.exp(below - nearest[:, None]).sum(axis=1)))
    return odds


def log_entropy(logits: Float32 | Float64) -> Float64:
    """Return the log of each row's Shannon entropy in nats (see `log_odds`), float64 [N].

    The entropy is log(1 + s) + Σ e^−g·g / (1 + s), with g how far a logit is below the largest
    and s = Σ e^−g. All terms are positive, so that nothing cancels where s is small; the
    largest e^−g is taken out of them, so that nothing underflows.
    """
    below = _below_largest(logits)
    nearest = below[:, -1]
    powers = np.exp(below - nearest[:, None])
    others = np.exp(nearest) * powers.sum(axis=1)
    slope = np.divide(np.log1p(others), others, out=np.ones_like(others), where=others > 0)
    terms = slope * powers.sum(axis=1) - (powers * below).sum(axis=1) / (1 + others)
    result: Float64 = nearest + np.log(terms)
    return result


def probabilities(logits: Float32 | Float64) -> Float64:
    """Return each row's softmax (see `log_odds`), smallest first: float64 [N, K]."""
    powers = np.exp(np.pad(_below_largest(logits), ((0, 0), (0, 1))))
    result: Float64 = powers / powers.sum(axis=1, keepdims=True)
    return result
