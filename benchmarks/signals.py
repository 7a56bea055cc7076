"""Attacks with reference models against the forms that their formulas suggest."""

import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import scipy.stats
from sklearn.metrics import roc_auc_score, roc_curve

from benchmarks.timing import seconds, side_by_side
from trustmia.arrays import Float64
from trustmia.attacks.lira import Settings
from trustmia.attacks.rmia import share_exceeded
from trustmia.attacks.run import run_attacks
from trustmia.image_sets import HELD_OUT, MEMBERS
from trustmia.measures.table import judge
from trustmia.signals.container import Signals
from trustmia.signals.many_models import read_signals

PAIRS, LARGE = 10_000, 1_000_000
MODELS, IMAGES, CLASSES = 256, 50_000, 10
SCORED, RESAMPLES, ONE_BY_ONE = 5000, 1000, 20


def rmia() -> str:
    """Return how many times faster sorting is than the matrix of all pairs."""
    rng = np.random.default_rng(0)
    x, z = rng.random((PAIRS, 1)), rng.random((PAIRS, 1))

    def matrix() -> Float64:
        return (x / z.T > 1.0).mean(axis=1)

    assert np.array_equal(matrix(), share_exceeded(x, z, 1.0))
    _, _, ratio = side_by_side(lambda: share_exceeded(x, z, 1.0), matrix, 5)
    many = rng.random((LARGE, 1)), rng.random((LARGE, 1))
    took = seconds(lambda: share_exceeded(*many, 1.0))
    print(f"  RMIA of {LARGE:,} images against {LARGE:,} took {took:.1f} s", flush=True)
    return f"RMIA: {ratio:.0f} times faster than the matrix of 10,000 × 10,000 pairs"


def lira() -> str:
    """Return how LiRA compares with a Gaussian per image, one image after the other.

    The other way fits and evaluates each image's two Gaussians with SciPy, once its
    confidences are there; it is timed on a part of the images.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        _write_models(folder)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            took, peak, one = pool.apply(_audit_lira, (folder,))
    print(
        f"  LiRA of {MODELS} models × {IMAGES:,} images took {took:.0f} s, {peak:.1f} GB",
        flush=True,
    )
    ratio = one * IMAGES / took
    return (
        f"LiRA: {MODELS} models × {IMAGES:,} images from a memory-mapped folder in {peak:.1f} GB, "
        f"all six forms together {ratio:.1f} times faster than the online one image by image"
    )


def _write_models(folder: Path) -> None:
    rng = np.random.default_rng(0)
    shape = (MODELS, IMAGES, CLASSES)
    logits = np.lib.format.open_memmap(folder / "logits.npy", "w+", np.float32, shape)
    for model in logits:
        model[:] = rng.standard_normal(shape[1:], dtype=np.float32)
    order = rng.random((MODELS, IMAGES)).argsort(axis=0)
    np.save(folder / "member.npy", order < MODELS // 2)
    np.save(folder / "labels.npy", rng.integers(CLASSES, size=IMAGES))


def _audit_lira(folder: Path) -> tuple[float, float, float]:
    """Return seconds, peak memory in GB, and seconds per image of the other way."""
    start = time.perf_counter()
    signals = read_signals(folder)
    run_attacks(Signals(models=signals), ["lira"], {"lira": Settings()}, 0)
    took = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    part = 2000
    member = signals.member

    def one_after_the_other() -> None:
        phi = signals.images.confidences(slice(0, part))[..., 0]
        for i in range(part):
            for side in (member[1:, i], ~member[1:, i]):
                values = phi[1:, i][side]
                scipy.stats.norm.logpdf(phi[0, i], np.median(values), values.std())

    return took, peak, seconds(one_after_the_other) / part


def intervals() -> str:
    """Return how many times faster vectorised resamples are than scikit-learn's, each."""
    rng = np.random.default_rng(0)
    member = rng.random(SCORED) < 0.5
    scores = rng.normal(size=SCORED) + member

    def one_by_one() -> None:
        for _ in range(ONE_BY_ONE):
            rows = rng.integers(SCORED, size=SCORED)
            roc_auc_score(member[rows], scores[rows])
            roc_curve(member[rows], scores[rows])

    groups = {MEMBERS: scores[member], HELD_OUT: scores[~member]}

    def vectorised() -> None:
        list(judge(groups, HELD_OUT, RESAMPLES, 0))

    took, other, _ = side_by_side(vectorised, one_by_one, 3)
    print(f"  {RESAMPLES} resamples of {SCORED} images took {took:.1f} s", flush=True)
    ratio = other * RESAMPLES / ONE_BY_ONE / took
    return f"intervals: {ratio:.1f} times faster than scikit-learn's curve of each resample"
