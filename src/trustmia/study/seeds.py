"""Seeds of an experiment taken together: means with Student's intervals."""

import numpy as np
import pandas as pd
from scipy.special import stdtrit

CONFIDENCE = 0.95


def over_seeds(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Return means over seeds and half the width of their 95% intervals.

    The interval is Student's t: independent, normally distributed values.

    Args:
        table: `keys`, and `value` with NaN where a seed has none; a row for each seed.
        keys: Columns that rows to be taken together have in common.

    Returns:
        `keys`, `value`, `half`, `seeds` (how many have the value), `size` (how many there are).
        `half` is NaN of a single seed. Both are NaN where a seed lacks the value: the others
        would stand for all.
    """
    values = table.groupby(keys, sort=False)["value"]
    means = values.agg(value="mean", half="sem", seeds="count", size="size").reset_index()
    means["half"] *= stdtrit(means["size"] - 1, (1 + CONFIDENCE) / 2)
    means.loc[means["seeds"] < means["size"], ["value", "half"]] = np.nan
    return means
