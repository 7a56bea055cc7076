"""The numbers of the report: seeds of a variant taken together, curves on common grids."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from trustmia import paths
from trustmia.attacks import forms_in_order
from trustmia.errors import UserError
from trustmia.image_sets import FAKE, HELD_OUT, in_order, in_words
from trustmia.measures.answer import Answer, Rates, answer
from trustmia.measures.metrics import TRANSFER
from trustmia.measures.table import KEYS
from trustmia.study.seeds import over_seeds
from trustmia.study.tables import RunTables

THIS_RUN = "this run"
# The variant that the answer is about, if a study has it.
LEAD_VARIANT = "standard"
VARIANT_TITLES = {"llla": "LLLA"}
# The left end of logarithmic ROC curves; a few thousand images do not resolve smaller rates.
LOWEST_FPR = 1e-3
ROC_GRID = np.unique(
    np.concatenate([np.geomspace(LOWEST_FPR, 1, 37), np.linspace(0, 1, 31)]).round(5)
)
DENSITY_POINTS = 200
EMBEDDED_PER_SET = 250


@dataclass(frozen=True)
class Summary:
    """Tables with one row where a study has one for each seed.

    Attributes:
        variants: In the order of the study.
        attacks: In the order of the registries.
        sets: Sets of non-members, those of the palette first.
        seeds: Seeds of a variant at most.
        rates: `variant`, `attack`, `set`, `metric`, `value`, `low`, `high`; NaN where a seed
            has no value, as its attack has no threshold with so small an FPR.
        models: `variant`, `metric`, `value`, `low`, `high`.
        trade_off: `variant`, `seed`, `attack`, `ece`, `mmps`, `auroc`, `fake_fpr`; one row
            for each run and attack.
        roc: `variant`, `attack`, `set`, `fpr`, `tpr`, `reached`, `low`, `high` on
            `ROC_GRID`; low and high are the lowest and highest of the seeds, `reached`
            says whether thresholds of all of them give so small an FPR.
        density: `variant`, `set`, `score`, `density`.
        distances: `variant`, `set_a`, `set_b`, `distance`.
        reliability: `variant`, `calibration`, `confidence`, `accuracy`, `share`.
        embedding: `variant`, `x`, `y`, `set`, `label` of one seed.
        gallery: `variant`, `set`, `rank`, `score`, `predicted`, `true`, `png` of one seed.
    """

    variants: list[str]
    attacks: list[str]
    sets: list[str]
    seeds: int
    rates: pd.DataFrame
    models: pd.DataFrame
    trade_off: pd.DataFrame
    roc: pd.DataFrame
    density: pd.DataFrame
    distances: pd.DataFrame
    reliability: pd.DataFrame
    embedding: pd.DataFrame
    gallery: pd.DataFrame

    @property
    def lead(self) -> str:
        """The variant that the answer is about."""
        return LEAD_VARIANT if LEAD_VARIANT in self.variants else self.variants[0]

    @property
    def learned(self) -> list[str]:
        """Attacks that decide by themselves, by a rule learned on the shadow model."""
        learned = set(self.rates.loc[self.rates["metric"] == "recall", "attack"])
        return [name for name in self.attacks if name in learned]

    @property
    def has_intervals(self) -> bool:
        """Whether any rate has an interval."""
        return bool(self.rates["low"].notna().any())

    @property
    def answer(self) -> Answer:
        """The answer, of the lead variant."""
        runs = self.trade_off
        nobody = runs["attack"].isin(self.learned) & (runs["fake_fpr"] == 0)
        silent = runs.loc[(runs["variant"] == self.lead) & nobody, ["attack", "seed"]]
        compared = {name: variant_title(name) for name in self.variants if name != THIS_RUN}
        pairs = list(silent.itertuples(index=False, name=None))
        return answer(Rates(self.rates, self.lead, compared, self.seeds, pairs))


def variant_title(name: str) -> str:
    """Return a variant's name for people, e.g. `Label smoothing`."""
    return VARIANT_TITLES.get(name) or in_words(name)


def of_one_run(tables: RunTables, seed: int) -> RunTables:
    """Return a run's tables with the columns that a study's have in front."""
    front = {"experiment": THIS_RUN, "variant": THIS_RUN, "seed": seed}
    return {name: table.assign(**front) for name, table in tables.items()}


def with_run(study: RunTables, run: RunTables) -> RunTables:
    """Return a study's tables and a run's, unless the study has that run's results already.

    The study may have no experiments; the run is what `of_one_run` returned.
    """
    if study["experiments"].empty:
        return run
    results = _results(run["attacks"])
    for _, rows in study["attacks"].groupby("experiment", sort=False):
        if _results(rows) == results:
            return study
    return {
        name: pd.concat([table, run[name]], ignore_index=True) if name in run else table
        for name, table in study.items()
    }


def _results(attacks: pd.DataFrame) -> dict[tuple[str, str, str], float]:
    return attacks.dropna(subset="value").set_index(KEYS)["value"].to_dict()


def summarise(tables: RunTables) -> Summary:
    """Take the seeds of each variant together, of a study or of what `of_one_run` returned.

    Raises:
        UserError: There is no attack's result in them.
    """
    attacks = tables["attacks"]
    if attacks.empty:
        raise UserError(f"{paths.RESULTS}: not found; run `dvc repro attack`")
    variants = list(dict.fromkeys(attacks["variant"]))
    distances = tables["distances"].groupby(["variant", "set_a", "set_b"], sort=False)
    return Summary(
        variants=variants,
        attacks=forms_in_order(attacks["attack"]),
        sets=in_order(attacks["set"]),
        seeds=int(attacks.groupby("variant")["seed"].nunique().max()),
        rates=_over_seeds(attacks, ["variant", "attack", "set", "metric"]),
        models=_over_seeds(tables["models"].assign(low=np.nan, high=np.nan), ["variant", "metric"]),
        trade_off=_trade_off(tables["models"], attacks),
        roc=_mean_roc(tables["roc"]),
        density=_mean_density(tables["density"]),
        distances=distances["distance"].mean().reset_index(),
        reliability=_pooled(tables["reliability"]),
        embedding=_thinned(_first_seed(tables["embedding"])),
        gallery=_first_seed(tables["gallery"]),
    )


def _over_seeds(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Mean over seeds with Student's interval; a single seed keeps its own interval."""
    means = over_seeds(table, keys)
    own = table.drop_duplicates(keys)[["low", "high"]].set_axis(means.index)
    # What has an interval is a share, an area or the difference of two, or NLL, without an end.
    lowest = np.where(means["metric"] == "advantage", -1, 0)
    highest = np.where(means["metric"] == "nll", np.inf, 1)
    lower = (means["value"] - means["half"]).clip(lower=lowest)
    upper = (means["value"] + means["half"]).clip(upper=highest)
    single = (means["size"] == 1) & means["value"].notna()
    low, high = own["low"].where(single, lower), own["high"].where(single, upper)
    return means[[*keys, "value"]].assign(low=low, high=high)


def _trade_off(models: pd.DataFrame, attacks: pd.DataFrame) -> pd.DataFrame:
    run = ["variant", "seed"]
    form = [*run, "attack"]
    qualities = models.pivot_table(index=run, columns="metric", values="value", sort=False)
    qualities = qualities.reindex(columns=["ece", "mmps"]).reset_index()
    auroc = attacks[(attacks["set"] == HELD_OUT) & (attacks["metric"] == "auroc")]
    # Attacks without a decision of their own are held to 5% of the held-out images.
    fakes = attacks[(attacks["set"] == FAKE) & attacks["metric"].isin(["fpr", TRANSFER])]
    fakes = fakes.sort_values("metric", kind="stable").drop_duplicates(form)
    success = auroc[[*form, "value"]].merge(
        fakes[[*form, "value"]], "left", on=form, suffixes=("_auroc", "_fakes")
    )
    names = {"value_auroc": "auroc", "value_fakes": "fake_fpr"}
    return success.rename(columns=names).merge(qualities, on=run)


def _mean_roc(table: pd.DataFrame) -> pd.DataFrame:
    parts = []
    keys = ["variant", "attack", "set"]
    for (variant, attack, name), rows in table.groupby(keys, sort=False):
        seeds = [curve for _, curve in rows.groupby("seed", sort=False)]
        # The highest TPR at each FPR, straight lines between.
        highest = [curve.groupby("fpr")["tpr"].max() for curve in seeds]
        curves = np.stack([np.interp(ROC_GRID, tpr.index, tpr) for tpr in highest])
        # Below the first threshold of every seed there is only a line to the origin.
        first = max(tpr.index[tpr.index > 0].min() for tpr in highest)
        columns = {"fpr": ROC_GRID, "tpr": curves.mean(axis=0), "reached": first <= ROC_GRID}
        columns |= {"low": curves.min(axis=0), "high": curves.max(axis=0)}
        parts.append(pd.DataFrame({"variant": variant, "attack": attack, "set": name} | columns))
    return _stacked(parts, [*keys, "fpr", "tpr", "reached", "low", "high"])


def _mean_density(table: pd.DataFrame) -> pd.DataFrame:
    parts = []
    for variant, rows in table.groupby("variant", sort=False):
        grid = np.unique(rows["score"])
        if len(grid) > DENSITY_POINTS:
            grid = np.linspace(grid[0], grid[-1], DENSITY_POINTS)
        for name, curves in rows.groupby("set", sort=False):
            # Outside a curve's own range there is nothing of it.
            densities = [
                np.interp(grid, curve["score"], curve["density"], left=0, right=0)
                for _, curve in curves.groupby("seed", sort=False)
            ]
            columns = {"score": grid, "density": np.mean(densities, axis=0)}
            parts.append(pd.DataFrame({"variant": variant, "set": name} | columns))
    return _stacked(parts, ["variant", "set", "score", "density"])


def _pooled(table: pd.DataFrame) -> pd.DataFrame:
    """Bins of all seeds as if their images were those of one model."""
    keys = ["variant", "calibration", "bin"]
    names = ["confidence", "accuracy"]
    sums = table[names].mul(table["count"], axis=0).assign(count=table["count"])
    middle = (table["lower"] + table["upper"]) / 2
    sums = pd.concat([table[["variant", "calibration"]], sums], axis=1).assign(bin=middle.round(4))
    bins = sums.groupby(keys, sort=False).sum().reset_index()
    bins = bins[bins["count"] > 0]
    bins[names] = bins[names].div(bins["count"], axis=0)
    totals = bins.groupby(["variant", "calibration"], sort=False)["count"].transform("sum")
    bins["share"] = bins["count"] / totals
    bins = bins.sort_values("bin", kind="stable", ignore_index=True)
    return bins[["variant", "calibration", *names, "share"]]


def _first_seed(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of each variant's smallest seed: pictures of several seeds show no more."""
    first = table.groupby("variant")["seed"].transform("min")
    return table[table["seed"] == first].drop(columns=["experiment", "seed"])


def _thinned(table: pd.DataFrame) -> pd.DataFrame:
    """The first points of each set, a point of every set in turn: none hides another."""
    turn = table.groupby(["variant", "set"], sort=False).cumcount()
    place = table.groupby("variant", sort=False).ngroup()
    kept = table.assign(turn=turn, place=place)[turn < EMBEDDED_PER_SET]
    kept = kept.sort_values(["place", "turn"], kind="stable", ignore_index=True)
    return kept.drop(columns=["turn", "place"])


def _stacked(parts: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
