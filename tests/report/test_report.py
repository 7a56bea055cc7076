"""The report: its numbers, its figures, its page, its stage and its command."""

import json
import re
import shutil
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import altair as alt
import numpy as np
import pandas as pd
import pytest
import vl_convert
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.helpers import ROOT
from tests.report.report_tables import LEARNED, SETS, Tables, run_tables, study_tables
from trustmia import cli, files, paths
from trustmia.attacks import form_title
from trustmia.commands.report import find_report
from trustmia.errors import UserError
from trustmia.image_sets import in_order
from trustmia.image_sets import title as set_title
from trustmia.measures.answer import FOOLED, TELLS_APART, Answer, Rates, answer
from trustmia.measures.table import read_results
from trustmia.params import load_params
from trustmia.report import figures
from trustmia.report.frames import Frames, frames, palette
from trustmia.report.grids import grids
from trustmia.report.page import render
from trustmia.report.pictures import as_png, pictures, score_text, write_pictures
from trustmia.report.provenance import Provenance, read_provenance
from trustmia.report.summary import ROC_GRID, Summary, of_one_run, summarise, with_run
from trustmia.stages import report as stage

NOTHING = Provenance({"Software": {"python": "3.11"}}, pd.DataFrame())


@pytest.fixture(scope="module")
def tables() -> Tables:
    return study_tables(variants=2, seeds=2)


@pytest.fixture(scope="module")
def empty(tables: Tables) -> Tables:
    return {name: table.head(0) for name, table in tables.items()}


@pytest.fixture(scope="module")
def summary(tables: Tables) -> Summary:
    return summarise(tables)


@pytest.fixture(scope="module")
def drawn(summary: Summary) -> Frames:
    return frames(summary)


@pytest.fixture(scope="module")
def page(tables: Tables, summary: Summary, drawn: Frames) -> str:
    return render(summary, drawn, Provenance(NOTHING.facts, tables["experiments"]))


def with_rates(tables: Tables, values: object, **chosen: object) -> Tables:
    """Return tables in which the rows of attacks that are chosen have other values."""
    attacks = tables["attacks"].copy()
    rows = (attacks[list(chosen)] == list(chosen.values())).all(axis=1)
    attacks.loc[rows, "value"] = values
    return tables | {"attacks": attacks}


def content(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="content">(.*?)</script>', page)
    assert found
    result: dict[str, Any] = json.loads(found[1])
    return result


def rates(summary: Summary) -> Rates:
    return Rates(summary.rates, summary.lead, {})


def test_seeds_become_a_mean_with_student_s_interval() -> None:
    three = study_tables(variants=1, seeds=3)
    three = with_rates(three, [0.5, 0.6, 0.7], attack="salem", set="fake", metric="fpr")
    row = rates(summarise(three)).of("standard", "fpr", "fake").loc["salem"]
    # t of 2 degrees of freedom is 4.302653 at 97.5%; the deviation is 0.1.
    half = 4.302653 * 0.1 / np.sqrt(3)
    assert row.tolist() == pytest.approx([0.6, 0.6 - half, 0.6 + half], abs=1e-6)


def test_a_single_run_keeps_the_intervals_it_came_with() -> None:
    run = run_tables()
    row = rates(summarise(of_one_run(run, 42))).of("this run", "recall", "original").loc["entropy"]
    attacks = run["attacks"].set_index(["attack", "set", "metric"])
    assert row.tolist() == attacks.loc[("entropy", "original", "recall")].tolist()


@given(st.lists(st.floats(0, 1), min_size=2, max_size=5))
@settings(max_examples=30, deadline=None)
def test_an_interval_holds_its_mean_and_stays_a_share(empty: Tables, values: list[float]) -> None:
    rows = [
        {"experiment": str(i), "variant": "v", "seed": i, "attack": "salem", "set": "fake"}
        | {"metric": "fpr", "value": value, "low": np.nan, "high": np.nan}
        for i, value in enumerate(values)
    ]
    found = summarise(empty | {"attacks": pd.DataFrame(rows)}).rates.iloc[0]
    assert 0 <= found["low"] <= found["value"] + 1e-12
    assert found["value"] - 1e-12 <= found["high"] <= 1


def test_roc_curves_of_seeds_are_averaged_where_they_have_the_same_fpr(tables: Tables) -> None:
    tables = tables | {
        "roc": pd.DataFrame(
            {
                "experiment": list("aaabbb"),
                "variant": "standard",
                "seed": [1, 1, 1, 2, 2, 2],
                "attack": "salem",
                "set": "original",
                "fpr": [0, 0, 1, 0, 0.5, 1],
                "tpr": [0, 0.4, 1, 0, 1, 1],
            }
        )
    }
    curve = summarise(tables).roc.set_index("fpr")
    first, second = 0.4 + 0.6 * ROC_GRID, np.minimum(2 * ROC_GRID, 1)
    assert curve["tpr"].to_numpy() == pytest.approx((first + second) / 2)
    assert curve["low"].to_numpy() == pytest.approx(np.minimum(first, second))
    assert curve["high"].to_numpy() == pytest.approx(np.maximum(first, second))
    assert curve.index[curve["reached"]].tolist() == [1], "no threshold of seed 1 gives less"


def test_a_run_that_the_study_has_is_not_shown_twice(tables: Tables, empty: Tables) -> None:
    same = of_one_run(run_tables("standard", 42), 42)
    assert with_run(tables, same) is tables
    other = with_run(tables, of_one_run(run_tables("llla", 7), 7))
    both = summarise(other)
    assert both.variants == ["standard", "label_smoothing", "this run"]
    assert both.answer.sentences[2].startswith("Among 2 ways")
    assert with_run(empty, same) is same


def test_the_answer_follows_the_numbers(tables: Tables) -> None:
    unfooled = with_rates(tables, 0.06, set="original", metric="fpr")
    for fake_fpr, verdict, told in (
        (0.74, "No.", "every attack calls at least half"),
        (
            *(0.05, "Within limits."),
            "no attack calls half or more of them members, on average over 2 seeds: Threshold 5%",
        ),
    ):
        found = summarise(with_rates(unfooled, fake_fpr, set="fake", metric="fpr")).answer
        assert found.verdict == verdict
        assert told in found.sentences[0]


def said(fooled: Sequence[float], recall: Sequence[float], held_out: Sequence[float]) -> Answer:
    """Return the answer of three attacks by what they call members."""
    rows = []
    for name, fake, own, other in zip(LEARNED, fooled, recall, held_out):
        values = {("fake", "fpr"): fake, ("fake", "recall"): own, ("original", "recall"): own}
        values |= {("original", "fpr"): other, ("original", "advantage"): own - other}
        rows += [("this run", name, *key, value) for key, value in values.items()]
    table = pd.DataFrame(rows, columns=["variant", "attack", "set", "metric", "value"])
    return answer(Rates(table.assign(low=np.nan, high=np.nan), "this run", {}))


LARGE, SMALL = ([0.9] * 3, [0.1] * 3), ([0.9] * 3, [0.8] * 3)
ALL = "every attack calls at least half"
SOME = "2 of 3 attacks call at least half"
NONE = "no attack calls half or more"


@pytest.mark.parametrize(
    ("fooled", "gap", "verdict", "first"),
    [
        ([0.8, 0.8, 0.8], LARGE, "No.", ALL),
        ([0.8, 0.8, 0.8], SMALL, "No.", ALL),
        ([0.8, 0.8, 0.1], LARGE, "Only some attacks.", SOME),
        ([0.8, 0.8, 0.1], SMALL, "Hardly.", SOME),
        # The one that is not fooled does not tell members apart; what those that are do is no help.
        ([0.8, 0.8, 0.1], ([0.9] * 3, [0.1, 0.1, 0.8]), "Hardly.", SOME),
        ([0.1, 0.1, 0.1], LARGE, "Within limits.", NONE),
        ([0.1, 0.1, 0.1], SMALL, "Hardly.", NONE),
        ([0.0, 0.0, 0.0], LARGE, "Within limits.", NONE),
        # An attack that calls nobody a member is fooled by nothing, and of no use.
        ([0.0, 0.0, 0.0], ([0.0] * 3, [0.0] * 3), "Hardly.", NONE),
        ([0.496, 0.2, 0.2], LARGE, "Within limits.", NONE),
        ([0.5, 0.2, 0.2], LARGE, "Only some attacks.", "1 of 3 attacks calls at least half"),
    ],
)
def test_verdict_and_sentences_say_the_same(
    fooled: list[float], gap: tuple[list[float], list[float]], verdict: str, first: str
) -> None:
    found = said(fooled, *gap)
    assert found.verdict == verdict
    assert first in found.sentences[0]
    shown = [float(share) for share in re.findall(r" ([\d.]+)%", found.sentences[0])]
    assert [share >= 100 * FOOLED for share in shown] == [value >= FOOLED for value in fooled]
    recall, held_out = gap
    assert f"They find {max(recall):.0%} of the true members" in found.sentences[1]
    none = "call no held-out image a member"
    assert (none in found.sentences[1]) == (max(held_out) == 0)
    differences = [r - h for r, h, f in zip(recall, held_out, fooled) if f < FOOLED]
    assert (verdict in ("No.", "Hardly.")) == (max(differences, default=0) < TELLS_APART)


def test_a_share_that_rounds_to_nothing_is_not_none() -> None:
    assert (
        "call under 1% of held-out images members too"
        in (said([0.1] * 3, [0.9] * 3, [0.004, 0.001, 0.0]).sentences[1])
    )


def test_variants_without_a_value_are_not_compared() -> None:
    rows = [(name, "salem", "fake", "fpr", value) for name, value in zip("abc", (0.497, 0.9, None))]
    table = pd.DataFrame(rows, columns=["variant", "attack", "set", "metric", "value"])
    table = table.astype({"value": float}).assign(low=np.nan, high=np.nan)
    recall = table.assign(metric="recall", value=0.9)
    both = pd.concat([table, recall], ignore_index=True)
    found = answer(Rates(both, "b", dict(zip("abc", "ABC")))).sentences[-1]
    assert found.startswith("Among 2 ways")
    assert found.endswith("goes from 49.7% (A) to 90% (B); below 50% with A.")


def test_a_seed_with_which_an_attack_calls_nobody_a_member_is_named(tables: Tables) -> None:
    one = {"attack": "salem", "set": "fake", "metric": "fpr", "seed": 43, "variant": "standard"}
    silent = "None of them is called a member by Salem with seed 43."
    assert summarise(with_rates(tables, 0, **one)).answer.sentences[0].endswith(silent)
    assert "None of them" not in summarise(tables).answer.sentences[0]


def test_the_answer_is_three_sentences_about_the_standard_variant(tables: Tables) -> None:
    reordered = {
        name: table.sort_values("variant", kind="stable") for name, table in tables.items()
    }
    found = summarise(reordered).answer
    assert len(found.sentences) == 3
    expected = rates(summarise(tables)).of("standard", "fpr", "fake")["value"]
    for attack, value in expected.items():
        assert f"{form_title(str(attack))} {value:.0%}" in found.sentences[0]
    advantage = rates(summarise(tables)).of("standard", "advantage", "original")
    assert list(advantage.index) == list(LEARNED)
    for attack, row in advantage.iterrows():
        value, low, high = (f"{100 * number:.1f}" for number in row)
        assert f"{form_title(str(attack))} {value} ({low} to {high})" in found.sentences[1]


def test_a_rate_that_one_seed_cannot_have_is_no_mean_of_the_others(tables: Tables) -> None:
    for metric in ("tpr_at_0.1pct_fpr", "tpr_at_0.1pct_fpr_realised", "fpr_at_5pct"):
        one = {"variant": "standard", "attack": "loss", "metric": metric, "seed": 42}
        tables = with_rates(tables, np.nan, **one)
    summary = summarise(tables)
    shown = {row[0].text: row[1:] for row in grids(summary)["ranking"].groups[0].rows}
    columns = grids(summary)["ranking"].columns[1:]
    for name, cell in zip(columns, shown["Loss"], strict=True):
        lacking = name in ("TPR at 0.1% FPR", "Fakes at 5% FPR")
        assert (cell.text == "–") == lacking == (cell.number is None)
    for cell in shown["Threshold"][2:4]:
        assert re.fullmatch(r"0\.\d{3}–[01]\.\d{3} at 0\.\d{4}", cell.interval)
    drawn = frames(summary)["transfer"]
    figure = figures.transfer(alt.NamedData(name="rows"), palette(summary.sets))
    for attack, lacks_value in (("Loss", True), ("Salem", False)):
        rows = drawn[(drawn["variant"] == "Standard") & (drawn["attack"] == attack)]
        assert len(rows) and rows["value"].isna().all() == lacks_value
        datasets = {"rows": json.loads(rows.to_json(orient="records"))}
        text = vl_convert.vegalite_to_svg(figure.to_dict(validate=False) | {"datasets": datasets})
        assert (figures.NO_THRESHOLD in text) == lacks_value


@pytest.mark.parametrize("missing", [["fake"], ["original"], ["fake", "original"]])
def test_an_answer_and_a_page_without_some_sets(tables: Tables, missing: list[str]) -> None:
    kept = {
        name: table[~table["set"].isin(missing)] if "set" in table else table
        for name, table in tables.items()
    }
    summary = summarise(kept)
    assert summary.answer.sentences
    assert set(missing).isdisjoint(summary.sets)
    text = render(summary, frames(summary), NOTHING)
    assert "nan" not in json.dumps([summary.answer.sentences]).lower()
    assert content(text)["specs"]


@pytest.mark.parametrize(
    "name", ["models", "roc", "density", "distances", "reliability", "embedding", "gallery"]
)
def test_a_table_without_rows_leaves_its_figures_out(tables: Tables, name: str) -> None:
    summary = summarise(tables | {name: tables[name].head(0)})
    drawn = frames(summary)
    specs = content(render(summary, drawn, NOTHING))["specs"]
    assert all(not drawn[spec["table"]].empty for spec in specs.values())
    assert "fpr" in specs
    assert "fpr" in pictures(summary, drawn)


def test_no_results_are_a_mistake_with_a_remedy(tables: Tables) -> None:
    with pytest.raises(UserError, match="dvc repro attack"):
        summarise(tables | {"attacks": tables["attacks"].head(0)})


def parts(spec: Any) -> Iterator[dict[str, Any]]:
    """Yield the objects anywhere in a chart."""
    if isinstance(spec, dict):
        yield spec
    for part in spec.values() if isinstance(spec, dict) else spec if isinstance(spec, list) else ():
        yield from parts(part)


def test_every_chart_of_the_page_reads_one_table_through_its_filters(page: str) -> None:
    found = content(page)
    assert len(found["specs"]) == 13
    for name, panel in found["specs"].items():
        spec = panel["spec"]
        # A layer with data of its own would escape the filter and show all variants at once.
        assert spec["data"] == {"name": panel["table"]}, name
        assert all("data" not in layer for layer in spec.get("layer", [])), name
        fields = {part["field"] for part in parts(spec) if isinstance(part.get("field"), str)}
        assert fields <= set(found["tables"][panel["table"]]), name
        assert [f"datum.{c} === {c}" for c in panel["choices"]] == [
            step["filter"] for step in spec["transform"][: len(panel["choices"])]
        ]


def test_a_tick_is_labelled_with_its_own_value(page: str) -> None:
    guides = [part.get(kind) or {} for part in parts(content(page)) for kind in ("axis", "legend")]
    numbered = [guide for guide in guides if "values" in guide and "labelExpr" not in guide]
    assert numbered
    for guide in numbered:
        form = guide["format"].replace("~", "")
        assert [float(format(value, form)) for value in guide["values"]] == guide["values"], guide


def test_every_variant_has_rows_in_every_table(summary: Summary, drawn: Frames) -> None:
    for name, table in drawn.items():
        assert set(table["variant"]) == {"Standard", "Label smoothing"}, name
        # Online attacks say nothing about fakes.
        numbers = table.select_dtypes("number").drop(columns="fake_fpr", errors="ignore")
        assert np.isfinite(numbers.to_numpy()).all(), name
    assert set(drawn["shares"]["set"]) == {set_title(n) for n in ("members", *SETS)}


def test_colours_are_the_sets_own_and_the_order_is_fixed() -> None:
    ordered = ["members", "original", "fake", "stl10"]
    assert in_order(["stl10", "fake", "members", "original"]) == ordered
    found = palette(ordered)
    assert found["Members"] == "#000000"
    assert found["Fake"] == "#D55E00"
    assert set(found) == {"Members", "Held-out", "Fake", "STL-10"}


def test_pictures_are_drawn_and_the_same_each_time(
    tmp_path: Path, summary: Summary, drawn: Frames
) -> None:
    folder = tmp_path / "figures"
    folder.mkdir()
    (folder / "old.png").touch()
    paths = write_pictures(folder, summary, drawn)
    assert sorted(folder.iterdir()) == sorted(paths)
    assert {path.stem for path in paths} == {
        *("answer", "density", "distances", "fpr", "gallery"),
        *("reliability", "roc", "trade_off", "tsne"),
    }
    for path in paths:
        pixels = np.asarray(Image.open(path).convert("L"))
        assert 0.005 < (pixels < 200).mean() < 0.9, path
    again = as_png(pictures(summary, drawn)["trade_off"])
    assert again == (folder / "trade_off.png").read_bytes()


Tag = tuple[str, dict[str, str | None]]


class Tags(HTMLParser):
    """Collects what elements a page begins, with their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Tag] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def tags(page: str) -> list[Tag]:
    parser = Tags()
    parser.feed(page)
    return parser.found


def test_the_page_loads_nothing(page: str, tags: list[Tag]) -> None:
    loading = ("src", "href", "srcset", "action")
    urls = [attributes[k] or "" for _, attributes in tags for k in loading if k in attributes]
    assert urls and all(url.startswith(("data:", "#")) for url in urls)
    assert "default-src 'none'" in page
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style and "url(" not in style[1] and "@import" not in style[1]


def test_headings_are_in_order_and_images_have_names(tags: list[Tag]) -> None:
    levels = [int(tag[1]) for tag, _ in tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    names = [attributes.get("alt") for tag, attributes in tags if tag == "img"]
    assert all(names) and len(names) == 2 * (len(SETS) - 1) * 8


def test_the_same_tables_give_the_same_page(tables: Tables, page: str) -> None:
    again = summarise(study_tables(variants=2, seeds=2))
    provenance = Provenance(NOTHING.facts, tables["experiments"])
    assert render(again, frames(again), provenance) == page


def test_names_cannot_end_the_element_they_are_in(tables: Tables) -> None:
    evil = "</script><b>x"
    renamed = {
        name: table.replace({"set": {"digits": evil}}) if "set" in table else table
        for name, table in tables.items()
    }
    renamed["embedding"] = renamed["embedding"].assign(label=evil)
    renamed["gallery"] = renamed["gallery"].assign(predicted=evil)
    summary = summarise(renamed)
    text = render(summary, frames(summary), NOTHING)
    assert "<b>x" not in text
    labels = content(text)["tables"]["embedding"]["label"]["levels"]
    assert labels == [evil]


def test_large_images_become_small(tables: Tables, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (224, 300, 3), dtype=np.uint8)
    files.write_image(tmp_path / "dog.png", noise)
    gallery = tables["gallery"].head(1).assign(png=[(tmp_path / "dog.png").read_bytes()])
    summary = summarise(tables | {"gallery": gallery})
    text = render(summary, frames(summary), NOTHING)
    url = re.search(r'<img src="data:image/png;base64,([^"]+)"', text)
    assert url
    assert len(url[1]) < 40_000 < (tmp_path / "dog.png").stat().st_size


def test_a_score_below_one_is_never_shown_as_one() -> None:
    shown = [score_text(score) for score in (0.5, 0.99994, 0.99996, 1.0)]
    assert shown == ["0.5000", "0.9999", "> 0.9999", "1.0000"]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the committed run left behind."""
    for name in ("params.yaml", "dvc.lock", "data.dvc", "models.dvc"):
        shutil.copy(ROOT / name, tmp_path)
    for folder in ("metrics", "plots"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_stage_reports_the_run_where_there_is_no_study(workspace: Path) -> None:
    (workspace / "study").mkdir()
    stage.main()
    text = paths.REPORT.read_text(encoding="utf-8")
    found = read_results().set_index(["attack", "set", "metric"])["value"]
    assert f"Salem {found['salem', 'fake', 'fpr']:.0%}" in text
    assert "This run" in text
    assert '<select name="variant">' not in text
    assert list(paths.FIGURES.glob("*.png"))
    has_intervals = summarise(stage.read_tables(load_params())).has_intervals
    assert ("Lines are 95% intervals" in text) == has_intervals
    first = paths.REPORT.read_bytes()
    stage.main()
    assert paths.REPORT.read_bytes() == first


@pytest.mark.parametrize(
    ("dataset", "variants"),
    [
        ("fashion_mnist", ["standard", "label_smoothing", "this run"]),
        ("cifar10", ["this run"]),
    ],
)
def test_the_stage_reports_a_study_of_the_data_set_and_a_run_that_is_not_in_it(
    dataset: str, variants: list[str], workspace: Path, tables: Tables
) -> None:
    (workspace / "study").mkdir()
    experiments = tables["experiments"].assign(dataset=dataset)
    for name, table in (tables | {"experiments": experiments}).items():
        table.to_parquet(workspace / "study" / f"{name}.parquet", index=False)
    found = summarise(stage.read_tables(load_params()))
    assert (found.variants, found.lead) == (variants, variants[0])


def test_provenance_has_the_hashes_of_the_repository(workspace: Path) -> None:
    facts = read_provenance(None).facts
    pointer = yaml.safe_load((workspace / "data.dvc").read_text(encoding="utf-8"))
    assert facts["Inputs"]["data.dvc"] == pointer["outs"][0]["md5"]
    params = yaml.safe_load((workspace / "params.yaml").read_text(encoding="utf-8"))
    assert facts["Parameters of the run"]["train.epochs"] == str(params["train"]["epochs"])
    lock = yaml.safe_load((workspace / "dvc.lock").read_text(encoding="utf-8"))
    outs = {out["path"]: out["md5"] for out in lock["stages"]["split"]["outs"]}
    assert outs.items() <= facts["Outputs of the run, MD5 in dvc.lock"].items()
    assert facts["Software"]["numpy"] == np.__version__


def test_provenance_is_the_same_after_the_report_was_written(workspace: Path) -> None:
    before = read_provenance(None).facts
    lock = yaml.safe_load((workspace / "dvc.lock").read_text(encoding="utf-8"))
    lock["stages"]["report"] = {"outs": [{"path": "reports/index.html", "md5": "0" * 32}]}
    (workspace / "dvc.lock").write_text(yaml.safe_dump(lock), encoding="utf-8")
    assert read_provenance(None).facts == before


def test_the_time_of_a_study_is_that_of_its_newest_experiment(workspace: Path) -> None:
    dates = ["2026-03-02T01:30:00+00:00", "2026-03-02T01:00:00+00:00"]
    of_study, of_run = read_provenance(pd.DataFrame({"date": dates})), read_provenance(None)
    assert of_study.facts["Time"]["newest experiment"] == dates[0]
    assert "newest experiment" not in of_run.facts.get("Time", {})


def note_report(md5: str, params: dict[str, object]) -> None:
    """Write a dvc.lock that names a report, and the parameters that it is of."""
    out = {"path": paths.REPORT.as_posix(), "md5": md5}
    noted = {"cmd": "draw", "outs": [out], "params": {"params.yaml": params}}
    Path("dvc.lock").write_text(json.dumps({"stages": {"report": noted}}))
    declared = {"cmd": "draw", "outs": [out["path"]], "params": list(params)}
    Path("dvc.yaml").write_text(json.dumps({"stages": {"report": declared}}))


def test_a_report_of_other_parameters_is_remarked_on(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files.write_text(paths.REPORT, "<!DOCTYPE html>")
    note_report(files.md5(paths.REPORT), {"seed": 42})
    cli.main(["report"])
    assert capsys.readouterr() == ("reports/index.html\n", "")
    note_report(files.md5(paths.REPORT), {"seed": 41})
    cli.main(["report"])
    assert capsys.readouterr() == (
        "reports/index.html\n",
        "trustmia: reports/index.html: older than the present params.yaml, code or data (seed was "
        "41 and is 42; not run since: report); run `dvc repro`\n",
    )


def test_the_command_names_the_report_or_what_to_run(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["report"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "trustmia: reports/index.html: not found; run `dvc pull reports/index.html`, "
        "or `dvc repro report`, in the root of the repository\n"
    )
    files.write_text(paths.REPORT, "<!DOCTYPE html>")
    for content in ("- 1", "stages: {}", "stages: [", "stages: {report: {outs: []}}"):
        Path("dvc.lock").write_text(content)
        with pytest.raises(UserError, match=r"dvc\.lock: names no report; run `git restore"):
            find_report(False, None)
    note_report("0" * 32, {})
    with pytest.raises(UserError, match=r"not the report that dvc\.lock names"):
        find_report(False, None)
    note_report(files.md5(paths.REPORT), {})
    opened = Mock(return_value=True)
    monkeypatch.setattr("webbrowser.open", opened)
    assert find_report(False, None) == str(paths.REPORT)
    opened.assert_not_called()
    assert find_report(True, Path("copies/mine.html")) == "copies/mine.html"
    opened.assert_called_once_with((workspace / "copies/mine.html").as_uri())
    with pytest.raises(UserError, match="is a folder"):
        find_report(False, Path("copies"))
    monkeypatch.setattr("webbrowser.open", lambda url: False)
    with pytest.raises(UserError, match="no browser"):
        find_report(True, None)
