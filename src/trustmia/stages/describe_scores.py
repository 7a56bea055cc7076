"""Stage `describe_scores`: how the target's maximum scores are distributed."""

from trustmia import files, paths
from trustmia.exhibits.densities import density_table, maximum_scores, score_distances
from trustmia.signals.scores import read_scores


def main() -> None:
    """Write `plots/score_density.csv` and `metrics/score_distances.json`."""
    target = read_scores(paths.SCORES / "target.npz", needs_sets=True)
    maxima = maximum_scores(target)
    density = density_table(maxima, target.scores.shape[1])
    files.write_table(paths.PLOTS / "score_density.csv", density, "%.6f")
    files.write_json(paths.METRICS / "score_distances.json", score_distances(maxima))
