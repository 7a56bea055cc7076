"""The one number that attacks with reference models read: the logit-scaled confidence.

φ = log p_y − log Σ_{j≠y} p_j (Carlini et al. 2022, section IV), from which follow the
probability p_y = 1/(1 + e^−φ) of the true class and the loss −log p_y. Float64 throughout:
in float32 a confident model's p_y is 1, and all that tells its images apart is lost. Sums run
over sorted classes: in another order, the same numbers would have another sum.
"""

import numpy as np
import numpy.typing as npt

from trustmia.arrays import Float64, Int64

SMALLEST = np.finfo(np.float64).tiny


def from_logits(logits: npt.NDArray[np.floating], labels: Int64) -> Float64:
    """Return the confidence in the true class.

    Args:
        logits: float [..., N, A, K], A views of each image, K at least 2.
        labels: int64 [N] in [0, K).

    Returns:
        float64 [..., N, A].
    """
    exact = logits.astype(np.float64)
    index = np.broadcast_to(labels[:, None, None], (*exact.shape[:-1], 1))
    true = np.take_along_axis(exact, index, axis=-1)[..., 0]
    np.put_along_axis(exact, index, -np.inf, axis=-1)
    exact.sort(axis=-1)
    largest = exact[..., -1:].copy()
    exact -= largest
    np.exp(exact, out=exact)
    return true - largest[..., 0] - np.log(exact.sum(axis=-1))


def from_scores(
    scores: npt.NDArray[np.floating], labels: Int64, least: Float64 | None = None
) -> Float64:
    """Return the confidence in the true class from prediction scores.

    Args:
        scores: float [..., N, A, K]; rows sum to 1.
        labels: int64 [N] in [0, K).
        least: What a score that was rounded to 0 counts as, above 0: float64 [1], or [2] of
            each of two classes. None: the smallest float64.

    Returns:
        float64 [..., N, A]; finite, though scores may be 0 or 1.
    """
    exact = scores.astype(np.float64)
    index = np.broadcast_to(labels[:, None, None], (*exact.shape[:-1], 1))
    true = np.take_along_axis(exact, index, axis=-1)[..., 0]
    np.put_along_axis(exact, index, 0.0, axis=-1)
    exact.sort(axis=-1)
    of_class = np.broadcast_to(SMALLEST if least is None else least, exact.shape[-1:])
    # Of two classes the other one is first from the end; of more, all have the same.
    own, others = of_class[labels][:, None], of_class[::-1][labels][:, None]
    return np.log(np.maximum(true, own)) - np.log(np.maximum(exact.sum(axis=-1), others))


def from_probability(
    probability: npt.NDArray[np.floating], least: Float64 | None = None
) -> Float64:
    """Return the confidence from the true class's probability alone.

    Args:
        probability: float [...] in [0, 1].
        least: float64 [2], how far below 1 a probability that was rounded to 1 counts, and
            what one that was rounded to 0 counts as, above 0. None: as finely as its type.
    """
    if least is None:
        least = np.asarray([np.finfo(probability.dtype).epsneg / 2, SMALLEST])
    exact = probability.astype(np.float64)
    return np.log(np.maximum(exact, least[1])) - np.log(np.maximum(1 - exact, least[0]))


def from_loss(loss: npt.NDArray[np.floating], least: Float64) -> Float64:
    """Return the confidence from the true class's cross-entropy loss, −log p_y.

    Args:
        loss: float [...], in nats, at least 0.
        least: What a loss that was rounded to 0 counts as, above 0, float64 [1].
    """
    exact = np.maximum(loss.astype(np.float64), least)
    return -exact - np.log(-np.expm1(-exact))


def log_probability(confidence: Float64) -> Float64:
    """Return log p_y, the negative cross-entropy loss in nats, of confidences."""
    return -np.logaddexp(0.0, -confidence)


def probability(confidence: Float64) -> Float64:
    """Return p_y of confidences."""
    return np.exp(log_probability(confidence))
