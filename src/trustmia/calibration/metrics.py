"""How well prediction scores tell the truth about themselves."""

import numpy as np
import numpy.typing as npt

from trustmia.arrays import Float64, Int64

BINS = 15
SMALLEST = np.finfo(np.float32).tiny


def calibration_metrics(scores: npt.NDArray[np.floating], labels: Int64) -> dict[str, float]:
    """Return accuracy, NLL, ECE and overconfidence error.

    Args:
        scores: float [N, K], rows sum to 1.
        labels: int64 [N].

    Returns:
        `accuracy` in [0, 1]; `nll` in nats, at least 0; `ece`, the expected calibration
        error Σ n_b/N·|acc_b − conf_b| (Naeini et al. 2015); `overconfidence_error`,
        Σ n_b/N·conf_b·max(conf_b − acc_b, 0) (Thulasidasan et al. 2019); `mmps`, the mean
        maximum prediction score. Sums run over 15 bins of equal width, lower edges
        excluded.
    """
    table = reliability_table(scores, labels)
    weight = table["count"] / len(labels)
    gap = table["confidence"] - table["accuracy"]
    confidence = scores.max(axis=1)
    true_scores = scores[np.arange(len(labels)), labels].astype(np.float64)
    return {
        "accuracy": float((scores.argmax(axis=1) == labels).mean()),
        "nll": float(-np.log(np.maximum(true_scores, SMALLEST)).mean()),
        "ece": float((weight * np.abs(gap)).sum()),
        "overconfidence_error": float((weight * table["confidence"] * np.maximum(gap, 0)).sum()),
        "mmps": float(confidence.mean(dtype=np.float64)),
    }


def reliability_table(scores: npt.NDArray[np.floating], labels: Int64) -> dict[str, Float64]:
    """Return mean confidence and accuracy of the images in each bin of confidence.

    The bins have equal width over [0, 1], lower edges excluded; for the arguments see
    `calibration_metrics`.

    Returns:
        float64 [BINS] each: `lower` and `upper` edge, `count`, `confidence`, `accuracy`
        (both 0 in an empty bin).
    """
    confidence = scores.max(axis=1).astype(np.float64)
    correct = scores.argmax(axis=1) == labels
    edges = np.linspace(0, 1, BINS + 1)
    index = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, BINS - 1)
    count = np.bincount(index, minlength=BINS).astype(np.float64)
    divisor = np.maximum(count, 1)
    return {
        "lower": edges[:-1],
        "upper": edges[1:],
        "count": count,
        "confidence": np.bincount(index, confidence, BINS) / divisor,
        "accuracy": np.bincount(index, correct, BINS) / divisor,
    }
