"""Stage `describe_scores`: how the target's maximum scores are distributed."""

from trustmia import files, paths
from trustmia.exhibits.densities import (
    density_table,
    histogram_table,
    maximum_scores,
    score_distances,
)
from trustmia.signals.scores import read_scores


def main() -> None:
    """Write `plots/score_{density,histograms}.csv` and `metrics/score_distances.json`."""
    target = read_scores(paths.SCORES / "target.npz", needs_sets=True)
    maxima, classes = maximum_scores(target), target.scores.shape[1]
    for name, table in (("density", density_table), ("histograms", histogram_table)):
        files.write_table(paths.PLOTS / f"score_{name}.csv", table(maxima, classes), "%.6f")
    files.write_json(paths.METRICS / "score_distances.json", score_distances(maxima))
