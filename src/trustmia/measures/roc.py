"""ROC curves: of images as they are and of resamples; as tables and pictures."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from trustmia import files
from trustmia.arrays import Bool, Float64, Int64
from trustmia.attacks.outcome import AttackRun
from trustmia.errors import UserError
from trustmia.image_sets import MEMBERS, colours, has_colour

POINTS_PER_AXIS = 200
# Characters of a set's name that a picture has room for.
LONGEST = 40


@dataclass(frozen=True)
class Ranked:
    """Scores sorted once, so that every resample of them is sorted.

    Attributes:
        order: int64 [N], row numbers by falling score.
        ends: int64 [G], the last position in `order` of each distinct score.
        values: float64 [G], the distinct scores, falling.
    """

    order: Int64
    ends: Int64
    values: Float64


def rank(scores: Float64) -> Ranked:
    """Sort scores, float64 [N], N at least 1."""
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    return Ranked(order, ends, ordered[ends])


def roc_of(ranked: Ranked, counts: Float64, member: Bool) -> tuple[Float64, Float64]:
    """Return TPR and FPR of resamples: float64 [B, G + 1] each, from (0, 0).

    `counts`, float64 [B, N], says how often each row was drawn; `member` is bool [N].
    """
    ordered, truth = counts[:, ranked.order], member[ranked.order]
    called = np.cumsum(ordered, axis=1)
    positives = np.cumsum(ordered * truth, axis=1)
    tpr = positives[:, ranked.ends] / positives[:, -1:]
    negatives = (called - positives)[:, ranked.ends]
    fpr = negatives / negatives[:, -1:]
    zero = np.zeros((len(counts), 1))
    return np.hstack([zero, tpr]), np.hstack([zero, fpr])


def area_under(y: Float64, x: Float64) -> Float64:
    """Return the trapezoidal areas under curves, float64 [B], of float64 [B, P] each."""
    area: Float64 = (np.diff(x) * (y[:, 1:] + y[:, :-1]) / 2).sum(axis=1)
    return area


@dataclass(frozen=True)
class Roc:
    """A ROC curve, from (0, 0) to (1, 1): float64 [P] each, both non-decreasing."""

    fpr: Float64
    tpr: Float64


def roc_of_scores(members: npt.NDArray[np.floating], nonmembers: npt.NDArray[np.floating]) -> Roc:
    """Return the ROC curve of scores, float [N] and [M]: a point per distinct one, and (0, 0)."""
    scores = np.concatenate([members, nonmembers]).astype(np.float64)
    member = np.arange(len(scores)) < len(members)
    tpr, fpr = roc_of(rank(scores), np.ones((1, len(scores))), member)
    return Roc(fpr[0], tpr[0])


def thin_roc(roc: Roc) -> Roc:
    """Keep the points of a ROC curve that a plot can show, linear or logarithmic.

    Kept are the first and last point, the outermost point for each step of a grid over
    FPR (evenly and logarithmically spaced) and the first for each step over TPR.
    """
    even = np.linspace(0, 1, POINTS_PER_AXIS)
    grid = np.union1d(even, np.geomspace(1e-7, 1, POINTS_PER_AXIS))
    last_at_fpr = np.searchsorted(roc.fpr, grid, side="right") - 1
    first_at_tpr = np.searchsorted(roc.tpr, even, side="left")
    keep = np.union1d(np.union1d(last_at_fpr, first_at_tpr), [0, len(roc.fpr) - 1])
    return Roc(roc.fpr[keep], roc.tpr[keep])


def roc_curves(run: AttackRun) -> dict[str, dict[str, Roc]]:
    """Return form → non-member set → the thinned ROC curve of what ranks the images."""
    curves = {}
    for form, attack in run.forms.items():
        ranked = attack.ranked()
        members = ranked.pop(MEMBERS)
        curves[form] = {k: thin_roc(roc_of_scores(members, v)) for k, v in ranked.items()}
    return curves


def roc_table(rocs: Mapping[str, Roc]) -> pd.DataFrame:
    """Return the ROC curves of one attack as rows `set`, `fpr`, `tpr`."""
    parts = [pd.DataFrame({"set": name, "fpr": r.fpr, "tpr": r.tpr}) for name, r in rocs.items()]
    return pd.concat(parts, ignore_index=True)


def draw_rocs(path: Path, title: str, rocs: Mapping[str, Roc]) -> None:
    """Draw one attack's ROC curves, linear and logarithmic, as a PNG."""
    try:
        from matplotlib import style
        from matplotlib.figure import Figure
    except UnicodeDecodeError as error:
        raise UserError(f"matplotlibrc: not readable by matplotlib ({error})") from error

    # Not the style of a user's matplotlibrc: the same numbers give the same picture.
    with style.context(["default", {"font.size": 10, "axes.spines.top": False}]):
        figure = Figure(figsize=(10.5, 4.4), layout="constrained")
        linear, logarithmic = figure.subplots(1, 2)
        palette = colours(list(rocs))
        for name, roc in rocs.items():
            # Sets beyond the palette share its colours; dashes tell them apart.
            line = {"color": palette[name], "linestyle": "-" if has_colour(name) else "--"}
            linear.plot(roc.fpr, roc.tpr, **line)
            seen = (roc.fpr > 0) & (roc.tpr > 0)
            logarithmic.plot(roc.fpr[seen], roc.tpr[seen], **line)
        diagonal = np.geomspace(1e-4, 1, 50)
        for axes in (linear, logarithmic):
            axes.plot(diagonal, diagonal, color="#999999", linewidth=0.8, linestyle="--")
            axes.set_xlabel("false-positive rate")
        linear.set_ylabel("true-positive rate")
        logarithmic.set(xscale="log", yscale="log", xlim=(1e-4, 1), ylim=(1e-4, 1.05))
        legend = figure.legend(
            handles=linear.lines[:-1],
            labels=[name if len(name) <= LONGEST else f"{name[:LONGEST]}…" for name in rocs],
            title="non-members",
            loc="outside right upper",
            frameon=False,
            fontsize=9,
        )
        for text in legend.get_texts():
            text.set_parse_math(False)  # a set may be called `$x$`
        figure.suptitle(title)
        with files.atomic_file(path) as temporary:
            figure.savefig(temporary, dpi=120, metadata={"Software": None})
