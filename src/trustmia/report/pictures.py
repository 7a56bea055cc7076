"""The figures as PNG files: a panel for each variant or attack, on white."""

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd
import vl_convert
from PIL import Image

from trustmia import files
from trustmia.attacks import form_title
from trustmia.image_sets import FAKE, HELD_OUT, MEMBERS
from trustmia.image_sets import title as set_title
from trustmia.report import figures
from trustmia.report.figures import Figure, Rows
from trustmia.report.frames import Frames, only, palette, titled
from trustmia.report.summary import Summary, variant_title

# Attacks that a picture shows where there is no room for all: the paper's, and of each
# family the form that outsiders can run.
SHOWN = ("threshold", "entropy", "salem", "lira_offline_global_variance", "rmia_offline")
# The attack whose success the trade-off is about: the paper's simplest.
TRADE_OFF_ATTACK = "threshold"
PIXELS = 2.0
COLUMNS = 3
GALLERY_SIDE = 56


@dataclass(frozen=True)
class Picture:
    """A chart, and the tables that it names."""

    chart: alt.ConcatChart | Figure
    tables: dict[str, pd.DataFrame]


def write_pictures(folder: Path, summary: Summary, tables: Frames) -> list[Path]:
    """Write every figure there is data for; nothing else stays in the folder."""
    drawings = pictures(summary, tables)
    with files.atomic_folder(folder) as fresh:
        for name, picture in drawings.items():
            (fresh / f"{name}.png").write_bytes(as_png(picture))
    return [folder / f"{name}.png" for name in drawings]


def as_png(picture: Picture) -> bytes:
    """Draw a picture on white."""
    spec: dict[str, Any] = picture.chart.to_dict(validate=False)
    spec["datasets"] = {name: _records(table) for name, table in picture.tables.items()}
    spec["config"] = figures.theme("#111111", "#444444", "#e3e3e3") | {
        "background": "white",
        "padding": 12,
    }
    drawn = Image.open(io.BytesIO(vl_convert.vegalite_to_png(spec, scale=PIXELS)))
    stream = io.BytesIO()
    drawn.convert("RGB").save(stream, format="PNG")
    return stream.getvalue()


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    values = table.astype(object).where(table.notna(), None)  # JSON has no NaN
    return values.to_dict(orient="records")


def pictures(summary: Summary, tables: Frames) -> dict[str, Picture]:
    """Return the pictures by the name of their file; those without data are left out."""
    colours = palette([MEMBERS, *summary.sets])
    learned = [form_title(name) for name in summary.learned]
    spread = only(colours, tables["density"])
    embedded = only(colours, tables["embedding"])
    drawings: dict[str, tuple[str, Callable[[Rows], Figure], tuple[int, int]]] = {
        "fpr": ("shares", lambda rows: figures.fpr_bars(rows, colours, learned), (330, 190)),
        "density": ("density", lambda rows: figures.density(rows, spread), (270, 34 * len(spread))),
        "distances": ("distances", lambda rows: figures.distances(rows, [*spread]), (300, 260)),
        "reliability": ("reliability", figures.reliability, (250, 250)),
        "tsne": ("embedding", lambda rows: figures.embedding(rows, embedded), (300, 300)),
    }
    made = {
        name: _panels(summary, tables[table], draw, size)
        for name, (table, draw, size) in drawings.items()
        if not tables[table].empty
    }
    leading = {k: t[t["variant"] == variant_title(summary.lead)] for k, t in tables.items()}
    if not leading["shares"].empty:
        chart = figures.opening(alt.NamedData(name="rows"), colours, learned)
        sized = chart.properties(width=560, height=38 * len(colours))
        made["answer"] = Picture(sized, {"rows": leading["shares"]})
    if not leading["roc"].empty:
        made["roc"] = _rocs(summary, leading["roc"])
    if len(summary.variants) > 1 and not tables["trade_off"].empty:
        made["trade_off"] = _trade_offs(summary, tables["trade_off"])
    if not summary.gallery.empty:
        made["gallery"] = _gallery(summary)
    return made


def _panels(
    summary: Summary, table: pd.DataFrame, draw: Callable[[Rows], Figure], size: tuple[int, int]
) -> Picture:
    width, height = size
    panels: list[Figure] = []
    tables: dict[str, pd.DataFrame] = {}
    for variant in map(variant_title, summary.variants):
        rows = table[table["variant"] == variant]
        if not rows.empty:
            name = f"rows{len(tables)}"
            tables[name] = rows
            panel = draw(alt.NamedData(name=name))
            panels.append(panel.properties(title=variant, width=width, height=height))
    return Picture(alt.concat(*panels, columns=COLUMNS, spacing=28), tables)


def _rocs(summary: Summary, table: pd.DataFrame) -> Picture:
    titles = [form_title(name) for name in summary.attacks if name in SHOWN]
    titles = [title for title in titles if title in set(table["attack"])]
    tables = {f"rows{i}": table[table["attack"] == title] for i, title in enumerate(titles)}
    colours = palette([HELD_OUT, FAKE])
    panels = [
        figures.roc(alt.NamedData(name=name), colours, logarithmic).properties(
            title=title, width=190, height=190
        )
        for logarithmic in (False, True)
        for title, name in zip(titles, tables)
    ]
    chart = alt.concat(*panels, columns=len(titles), spacing=24)
    return Picture(chart.properties(title=variant_title(summary.lead)), tables)


def _trade_offs(summary: Summary, table: pd.DataFrame) -> Picture:
    attacks = summary.attacks
    title = form_title(TRADE_OFF_ATTACK if TRADE_OFF_ATTACK in attacks else attacks[0])
    variants = [variant_title(name) for name in summary.variants]
    data = alt.NamedData(name="rows")
    panels = [
        figures.trade_off(data, variants, quality, success).properties(width=360, height=250)
        for success in ("auroc", "fake_fpr")
        for quality in ("ece", "mmps")
    ]
    chart = alt.concat(*panels, columns=2, spacing=24).properties(title=f"{title} attack")
    return Picture(chart, {"rows": table[table["attack"] == title]})


def _gallery(summary: Summary) -> Picture:
    """The lead variant's false positives, a line of images for each set."""
    rows = summary.gallery[summary.gallery["variant"] == summary.lead]
    urls = [data_url(png) for png in rows["png"]]
    scores = [score_text(score) for score in rows["score"]]
    exhibits = titled(rows.drop(columns="png")).assign(url=urls, score=scores)
    sets = [set_title(name) for name in summary.sets if name in set(rows["set"])]
    chart = figures.gallery(alt.NamedData(name="rows"), sets, GALLERY_SIDE).properties(
        width=alt.Step(GALLERY_SIDE + 34), height=alt.Step(GALLERY_SIDE + 44)
    )
    return Picture(chart, {"rows": exhibits})


def data_url(png: bytes) -> str:
    """Return a PNG as a URL that holds it."""
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"


def score_text(score: float) -> str:
    """Return four digits of a score; those that would be rounded to one are not one."""
    return "> 0.9999" if 0.99995 <= score < 1 else f"{score:.4f}"
