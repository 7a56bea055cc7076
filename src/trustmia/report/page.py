"""The report as one HTML file that needs no other file and no network."""

import functools
import importlib.resources
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import jinja2
import numpy as np
import pandas as pd
import vl_convert
from markupsafe import Markup
from PIL import Image

from trustmia.attacks import form_title
from trustmia.image_sets import FAKE, HELD_OUT, MEMBERS
from trustmia.image_sets import title as set_title
from trustmia.report import figures, grids
from trustmia.report.figures import INK, Figure
from trustmia.report.frames import Frames, only, palette
from trustmia.report.pictures import data_url, score_text
from trustmia.report.provenance import Provenance
from trustmia.report.summary import Summary, variant_title

THEMES = {
    "light": figures.theme("#1b1d21", "#555b66", "#e4e6ea"),
    "dark": figures.theme("#eceef2", "#a4abb8", "#33373f"),
}
DIGITS = 4
# Longest side of an image of the gallery; larger ones would make the file as large as they are.
THUMBNAIL = 96


@dataclass(frozen=True)
class Panel:
    """A chart of the page.

    Attributes:
        figure: What to draw; its data are named as one of `frames`.
        height: In pixels.
        description: What is seen, for readers who do not see it.
        choices: Columns that the reader's choice filters by.
    """

    figure: Figure
    height: int
    description: str
    choices: tuple[str, ...] = ("variant",)

    @property
    def table(self) -> str:
        """The table that is drawn, one of `frames`."""
        data = self.figure.data
        assert isinstance(data, alt.NamedData)
        return str(data.name)


def render(summary: Summary, tables: Frames, provenance: Provenance) -> str:
    """Return the page; the same arguments give the same text."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("trustmia.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    panels = {k: p for k, p in _panels(summary, tables).items() if not tables[p.table].empty}
    variants = [variant_title(name) for name in summary.variants]
    return environment.get_template("page.html").render(
        answer=summary.answer,
        summary=summary,
        panels=panels,
        variants=variants,
        attacks=[form_title(name) for name in summary.attacks],
        lead=variant_title(summary.lead),
        legend=_legend(palette([MEMBERS, *summary.sets])),
        grids=grids.grids(summary),
        gallery=_gallery(summary),
        provenance=provenance,
        revisions=grids.experiments(provenance.experiments),
        several=len(variants) > 1,
        style=_asset("page.css"),
        script=_asset("page.js"),
        vega=_vega(),
        content=_script_json(_content(panels, tables)),
    )


def _panels(summary: Summary, tables: Frames) -> dict[str, Panel]:
    colours = palette([MEMBERS, *summary.sets])
    spread = only(colours, tables["density"])
    embedded = only(colours, tables["embedding"])
    curves = palette([HELD_OUT, FAKE])
    learned = [form_title(name) for name in summary.learned]
    variants = [variant_title(name) for name in summary.variants]

    rows = alt.NamedData
    both = ("variant", "attack")
    panels = {
        "answer": Panel(
            figures.opening(rows("shares"), colours, learned),
            42 * len(colours),
            "Share of each image set that each attack calls members.",
        ),
        "fpr": Panel(
            figures.fpr_bars(rows("shares"), colours, learned, legend=False),
            200,
            "Bars: share of each image set that each attack calls members.",
        ),
        "roc": Panel(
            figures.roc(rows("roc"), curves, logarithmic=False),
            300,
            "ROC curves against held-out and fake images, linear axes.",
            both,
        ),
        "roc_log": Panel(
            figures.roc(rows("roc"), curves, logarithmic=True),
            300,
            "ROC curves against held-out and fake images, logarithmic axes.",
            both,
        ),
        "transfer": Panel(
            figures.transfer(rows("transfer"), colours),
            28 * len(summary.sets),
            "Share of each image set called members at 5% of held-out images.",
            both,
        ),
        "density": Panel(
            figures.density(rows("density"), spread),
            38 * len(spread),
            "Densities of the maximum prediction score, a row for each image set.",
        ),
        "distances": Panel(
            figures.distances(rows("distances"), list(spread)),
            30 * len(spread),
            "Earth mover's distances between the maximum scores of all image sets.",
        ),
        "reliability": Panel(
            figures.reliability(rows("reliability")),
            300,
            "Accuracy against score on held-out images, before and after calibration.",
        ),
        "tsne": Panel(
            figures.embedding(rows("embedding"), embedded),
            320,
            "t-SNE of penultimate features of members, held-out and fake images.",
        ),
    }
    return panels | (_trade_offs(variants) if len(variants) > 1 else {})


def _trade_offs(variants: Sequence[str]) -> dict[str, Panel]:
    data = alt.NamedData(name="trade_off")
    first = ("ece", "auroc")
    return {
        f"trade_off_{quality}_{success}": Panel(
            figures.trade_off(data, variants, quality, success, (quality, success) == first),
            240,
            f"{quality.upper()} of each run against the attack's success.",
            ("attack",),
        )
        for success in ("auroc", "fake_fpr")
        for quality in ("ece", "mmps")
    }


def _content(panels: dict[str, Panel], tables: Frames) -> dict[str, Any]:
    """Return what the page's script draws: specifications, and each table once."""
    used = dict.fromkeys(panel.table for panel in panels.values())
    return {
        "ink": INK,
        "themes": THEMES,
        "specs": {name: _spec(panel) for name, panel in panels.items()},
        "tables": {name: _columns(tables[name]) for name in used},
    }


def _spec(panel: Panel) -> dict[str, Any]:
    chart = panel.figure.properties(
        width="container", height=panel.height, description=panel.description
    )
    spec: dict[str, Any] = chart.to_dict(validate=False)
    # Altair's own theme; the page's is laid on when it is drawn, and again when it changes.
    spec.pop("config", None)
    filters = [{"filter": f"datum.{name} === {name}"} for name in panel.choices]
    spec["transform"] = filters + spec.get("transform", [])
    spec["params"] = [{"name": name, "value": ""} for name in panel.choices]
    return {"table": panel.table, "choices": panel.choices, "spec": spec}


def _columns(table: pd.DataFrame) -> dict[str, Any]:
    """Return columns: numbers rounded; text as its distinct values and their numbers."""
    columns: dict[str, Any] = {}
    for name, values in table.items():
        if pd.api.types.is_numeric_dtype(values):
            columns[str(name)] = [_rounded(value) for value in values]
        else:
            codes, levels = pd.factorize(values, use_na_sentinel=True)
            columns[str(name)] = {"codes": codes.tolist(), "levels": list(levels)}
    return columns


def _rounded(value: float) -> float | int | None:
    """Return four digits after the point, four significant ones for small numbers."""
    if not np.isfinite(value):
        return None
    small = float(f"{value:.{DIGITS}g}") if abs(value) < 1 else round(float(value), DIGITS)
    short = round(small, DIGITS + 1)
    return int(short) if short == int(short) else short


def _legend(colours: dict[str, str]) -> list[tuple[str, str]]:
    return [(name, "var(--ink)" if c == INK else c) for name, c in colours.items()]


def _gallery(summary: Summary) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Return the images by the titles of variant and set, most confident first."""
    images = summary.gallery.sort_values("rank", kind="stable")
    urls = images["png"].map(functools.cache(_thumbnail))
    images = images.assign(url=urls, score=images["score"].map(score_text))
    return {
        variant_title(variant): {
            set_title(name): rows[rows["set"] == name].to_dict(orient="records")
            for name in summary.sets
        }
        for variant in summary.variants
        if len(rows := images[images["variant"] == variant])
    }


def _thumbnail(png: bytes) -> str:
    image = Image.open(io.BytesIO(png))
    if max(image.size) <= THUMBNAIL:
        return data_url(png)
    image.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.save(stream, format="PNG")
    return data_url(stream.getvalue())


def _asset(name: str) -> Markup:
    path = importlib.resources.files("trustmia.report") / "templates" / name
    return Markup(path.read_text(encoding="utf-8"))


@functools.cache
def _vega() -> Markup:
    """Vega, Vega-Lite and Vega-Embed in one script; it cannot end the element it is in."""
    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return Markup(bundle.replace("</script", "<\\/script"))


def _script_json(content: dict[str, Any]) -> Markup:
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c"))
