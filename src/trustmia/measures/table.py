"""The one long table of results: attack, set, metric, value, low, high, n."""

from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd

from trustmia import files, paths
from trustmia.arrays import Float64
from trustmia.attacks.outcome import AttackRun, AttackScores
from trustmia.errors import UserError
from trustmia.image_sets import HELD_OUT, MEMBERS
from trustmia.measures.bootstrap import draws, interval
from trustmia.measures.evidence import DecidedImages, RankedImages
from trustmia.measures.metrics import DECISIONS, RANKINGS, THRESHOLDS, Metric, called_at

KEYS = ["attack", "set", "metric"]
COLUMNS = dict.fromkeys(KEYS, "str") | dict.fromkeys(("value", "low", "high"), "float64")
COLUMNS |= {"n": "Int64"}
# Numbers of images, beside the metrics: those that share their set's largest score, so that no
# FPR between 0 and their share can be had; and those that lack the reference models for a score.
TIES, UNSCORED = "ties", "unscored"
Evidence = TypeVar("Evidence")
Content = TypeVar("Content")


class Row(NamedTuple):
    """A row of the table, of one attack; None is what there is not."""

    set: str
    metric: str
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int | None = None


def measure(
    run: AttackRun, resamples: int, seed: int, against: Collection[str] = (HELD_OUT,)
) -> pd.DataFrame:
    """Return all that can be measured of attacks.

    Args:
        run: What the attacks say.
        resamples: Resamples of the bootstrap over images, which draws members and every set with
            replacement, each as many as there are; 0 for no intervals.
        seed: Seed of the draws, and of the halves of balanced accuracy.
        against: Non-member sets that members are ranked against, each by itself. Rankings have
            intervals only where it is one set.

    Returns:
        One row per attack (form), set and metric: of `metrics`' `DECISIONS`, if the attack learns
        any, of `RANKINGS` for the sets of `against`, and, where held-out images are among them, of
        `THRESHOLDS` for all sets; and `TIES`, `UNSCORED`, and what an attack learned, with an empty
        set. Rates are fractions. `value` is NaN where it cannot be had, and so are `low` and
        `high`, the 95% percentile interval; `n` is the number of images that it rests on.
    """
    rows = [
        (form, *row)
        for form, attack in run.forms.items()
        for row in _measured(attack, resamples, seed, against)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def _measured(
    attack: AttackScores, resamples: int, seed: int, against: Collection[str]
) -> Iterator[Row]:
    for name, learned in attack.learned.items():
        yield Row("", name, learned)
    members = attack.groups[MEMBERS]
    for name, rows in attack.groups.items():
        if attack.decisions is None:
            unscored = float(np.isnan(attack.scores[rows]).sum())
            yield Row(name, UNSCORED, unscored, n=len(rows))
        elif name != MEMBERS:
            decided = DecidedImages(attack.decisions, members, rows, name)
            metrics = {(name, key): metric for key, metric in DECISIONS.items()}
            yield from _values(metrics, decided.drawn, decided.sizes, resamples, seed)
    ranked = attack.ranked()
    for name, values in ranked.items():
        if name != MEMBERS:
            ties = float((values == values.max()).sum())
            yield Row(name, TIES, ties, n=len(values))
    for name in against:
        if name in ranked:
            yield from judge(ranked, name, resamples if len(against) == 1 else 0, seed)


def judge(groups: Mapping[str, Float64], against: str, resamples: int, seed: int) -> Iterator[Row]:
    """Judge how scores rank members before a set, and any other at held-out images' thresholds.

    Groups are `MEMBERS` and non-member sets → float64 [N], finite, N at least 1; `against` is one
    of these sets. For `resamples` and `seed` see `measure`.

    Yields:
        The rows of `RANKINGS` for the set and, if it is that of held-out images, of `THRESHOLDS`
        for all sets.
    """
    metrics = {(against, key): metric for key, metric in RANKINGS.items()}
    if against == HELD_OUT:
        for name in groups:
            if name != MEMBERS:
                metrics |= {(name, key): called_at(at, name) for key, at in THRESHOLDS.items()}
    else:
        groups = {name: groups[name] for name in (MEMBERS, against)}
    images = RankedImages(groups, against, seed)
    yield from _values(metrics, images.drawn, images.sizes, resamples, seed)


def _values(
    metrics: Mapping[tuple[str, str], Metric[Evidence]],
    drawn: Callable[[Mapping[str, Float64], bool], Evidence],
    sizes: Mapping[str, int],
    resamples: int,
    seed: int,
) -> Iterator[Row]:
    """Yield the metrics, by set and key, of images as they are, with intervals over resamples.

    `drawn` gives the evidence of resamples, of counts: group → float64 [B, size].
    """
    once = drawn({name: np.ones((1, size)) for name, size in sizes.items()}, False)
    points = {key: float(metric.value(once)[0]) for key, metric in metrics.items()}
    resampled: dict[tuple[str, str], list[Float64]] = {
        key: [] for key, metric in metrics.items() if metric.interval and not np.isnan(points[key])
    }
    for counts in draws(sizes, resamples, seed):
        evidence = drawn(counts, True)
        for place, values in resampled.items():
            values.append(metrics[place].value(evidence))
    for (name, key), point in points.items():
        n = {"members": sizes[MEMBERS], "set": sizes[name], "both": sizes[MEMBERS] + sizes[name]}
        low, high = interval(resampled.get((name, key), [])) or (None, None)
        value = None if np.isnan(point) else point
        yield Row(name, key, value, low, high, n[metrics[name, key].counts])


def parse_results(stream: Any) -> pd.DataFrame:
    """Read the long table as CSV in full precision, from a path or a stream of bytes.

    What cannot be had is empty there, and NaN here.

    Raises:
        ValueError: It is no such table.
    """
    # A set may be called None or NA, and Python's numbers are those that were written.
    numbers = dict.fromkeys(("value", "low", "high"), lambda text: float(text or "nan"))
    table = pd.read_csv(
        stream,
        keep_default_na=False,
        na_values={"n": [""]},
        converters=numbers,
        dtype={"n": "Int64"},
    )
    missing = [name for name in COLUMNS if name not in table]
    if missing:
        raise ValueError(f"has no column {missing[0]}")
    return table[list(COLUMNS)].astype(COLUMNS)


def read_results(path: Path = paths.RESULTS) -> pd.DataFrame:
    """Return what the last run wrote.

    Raises:
        UserError: There is no such file yet, or it is no table of results.
    """
    return _read(path, parse_results)


def read_metrics(name: str) -> dict[str, Any]:
    """Return what the last run wrote to `metrics/NAME.json`.

    Raises:
        UserError: There is no such file yet, or it is not an object with content.
    """
    return _read(paths.METRICS / f"{name}.json", files.read_json)


def _read(path: Path, reader: Callable[[Path], Content]) -> Content:
    try:
        content = reader(path)
    except FileNotFoundError as error:
        raise UserError(
            f"{path}: not found; run `dvc repro`, in the root of the repository"
        ) from error
    except (ValueError, OSError) as error:
        raise UserError(f"{path}: not readable ({error}); run `git restore {path}`") from error
    if not isinstance(content, dict | pd.DataFrame) or not len(content):
        raise UserError(f"{path}: holds no metrics; run `git restore {path}`, or `dvc repro`")
    return content
