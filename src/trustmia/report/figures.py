"""Every figure, once: functions from the name of a table to an Altair chart.

A chart shows all rows of its table. The pictures in `plots/` have a table for each variant; the
page has one for all and filters it by what its reader chose. Colours belong to image sets
alone, so other things are told apart by shape, position and words.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import altair as alt

from trustmia.image_sets import MEMBERS, colours
from trustmia.report.summary import LOWEST_FPR

Rows: TypeAlias = alt.NamedData
Figure: TypeAlias = alt.Chart | alt.LayerChart
Palette: TypeAlias = Mapping[str, str]

# Members and text have the colour of ink: black on paper, and light on the page's dark theme.
INK = colours([MEMBERS])[MEMBERS]
SHARE = alt.Scale(domain=[0, 1], nice=False)
QUARTERS = [0, 0.25, 0.5, 0.75, 1]
SHAPES = ["circle", "square", "triangle-up", "diamond", "cross"]
SHAPES += ["triangle-down", "triangle-right", "triangle-left"]
CALLED = "share called members"
NO_THRESHOLD = "No threshold errs on so few: more share the largest attack score."
# An earth mover's distance of scores that is drawn as the darkest.
DARK_DISTANCE = 0.6


def theme(ink: str, faint: str, line: str) -> dict[str, Any]:
    """Return what is the same in all figures.

    `ink` is the colour of titles and legends, `faint` of numbers at axes, `line` of grid lines.
    """
    font = "system-ui, 'Helvetica Neue', Arial, 'Liberation Sans', sans-serif"
    return {
        "font": font,
        "background": "transparent",
        "view": {"stroke": None},
        "axis": {
            "domain": False,
            "ticks": False,
            "labelColor": faint,
            "titleColor": ink,
            "titleFontWeight": "normal",
            "titleFontSize": 12,
            "labelFontSize": 12,
            "labelPadding": 6,
            "titlePadding": 8,
            "gridColor": line,
        },
        "legend": {
            "labelColor": ink,
            "titleColor": ink,
            "titleFontWeight": "normal",
            "labelFontSize": 12,
            "titleFontSize": 12,
            "symbolSize": 90,
            "labelLimit": 200,
        },
        "title": {"color": ink, "fontSize": 13, "fontWeight": 600, "anchor": "start"},
        "text": {"color": ink, "fontSize": 11},
        "header": {"labelColor": ink, "titleColor": ink},
        "rule": {"color": faint},
    }


def _colour(palette: Palette, legend: alt.Legend | None = None) -> alt.Color:
    scale = alt.Scale(domain=list(palette), range=list(palette.values()))
    return alt.Color("set:N", scale=scale, legend=legend, title=None)


def _legend(columns: int) -> alt.Legend:
    return alt.Legend(
        orient="top",
        direction="horizontal",
        columns=columns,
        title=None,
        symbolOpacity=1,
        symbolStrokeWidth=0,
    )


def _shapes(names: Sequence[str]) -> list[str]:
    return [SHAPES[i % len(SHAPES)] for i in range(len(names))]


def _facts(*fields: str) -> list[alt.Tooltip]:
    """Return what is shown where a reader points."""
    names = [field.partition(":")[0].replace("_", " ") for field in fields]
    formats = [".3f" if field.endswith(":Q") else "" for field in fields]
    return [
        alt.Tooltip(field, title=name, format=form)
        for field, name, form in zip(fields, names, formats)
    ]


def _layers(*charts: alt.Chart) -> alt.LayerChart:
    # `alt.layer` is declared to return facets too.
    return alt.LayerChart(layer=list(charts))


def opening(rows: Rows, palette: Palette, attacks: Sequence[str]) -> Figure:
    """Draw which share of each set attacks call members, as points with intervals."""
    shape = alt.Shape(
        "attack:N",
        scale=alt.Scale(domain=list(attacks), range=_shapes(attacks)),
        legend=alt.Legend(orient="top", title=None),
    )
    base = alt.Chart(rows).encode(
        y=alt.Y("set:N", sort=list(palette), title=None, axis=alt.Axis(grid=True, labelLimit=120)),
        yOffset=alt.YOffset("attack:N", sort=list(attacks), scale=alt.Scale(paddingOuter=0.7)),
        color=_colour(palette),
        tooltip=_facts("set:N", "attack:N", "value:Q", "low:Q", "high:Q"),
    )
    interval = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q"), x2="high:Q")
    points = base.mark_point(
        filled=True, size=75, opacity=1, stroke=INK, strokeWidth=0.5, strokeOpacity=0.6
    ).encode(
        x=alt.X("value:Q", scale=SHARE, axis=alt.Axis(title=CALLED, values=QUARTERS, format=".2f")),
        shape=shape,
    )
    return _layers(interval, points)


def fpr_bars(rows: Rows, palette: Palette, attacks: Sequence[str], legend: bool = True) -> Figure:
    """Draw which share of each set each attack calls members, as bars with intervals."""
    base = alt.Chart(rows).encode(
        x=alt.X("attack:N", sort=list(attacks), title=None, axis=alt.Axis(labelAngle=0)),
        xOffset=alt.XOffset("set:N", sort=list(palette)),
        tooltip=_facts("set:N", "attack:N", "value:Q", "low:Q", "high:Q"),
    )
    bars = base.mark_bar(stroke=INK, strokeOpacity=0.35, strokeWidth=0.5).encode(
        y=alt.Y("value:Q", scale=SHARE, axis=alt.Axis(title=CALLED, values=QUARTERS, format=".2f")),
        color=_colour(palette, _legend(4) if legend else None),
    )
    intervals = base.mark_rule(color=INK, strokeWidth=1).encode(y="low:Q", y2="high:Q")
    # Members are drawn in ink, on which an interval in ink could not be seen.
    halo = base.mark_rule(color="#bbbbbb", strokeWidth=2.5).encode(y="low:Q", y2="high:Q")
    return _layers(bars, halo, intervals)


def roc(rows: Rows, palette: Palette, logarithmic: bool) -> Figure:
    """Draw ROC curves of one attack, with the band of all seeds and the line of chance."""
    lowest = LOWEST_FPR if logarithmic else 0
    scale = alt.Scale(
        type="log" if logarithmic else "linear", domain=[lowest, 1], nice=False, clamp=True
    )
    ticks = {"values": [1e-3, 1e-2, 1e-1, 1], "format": "~g"} if logarithmic else {"tickCount": 5}
    base = alt.Chart(rows)
    if logarithmic:
        base = base.transform_filter(f"datum.fpr >= {LOWEST_FPR}")
    curves = base.transform_filter("datum.reached") if logarithmic else base
    x = alt.X("fpr:Q", scale=scale, axis=alt.Axis(title="false-positive rate", **ticks))
    y_axis = alt.Axis(title="true-positive rate", **ticks)
    colour = _colour(palette, _legend(4))
    chance = base.mark_line(color="#888888", strokeDash=[4, 4], strokeWidth=1).encode(
        x=x, y=alt.Y("fpr:Q", scale=scale)
    )
    band = curves.mark_area(opacity=0.18).encode(
        x=x, y=alt.Y("low:Q", scale=scale), y2="high:Q", color=colour
    )
    lines = curves.mark_line(strokeWidth=2).encode(
        x=x,
        y=alt.Y("tpr:Q", scale=scale, axis=y_axis),
        color=colour,
        tooltip=_facts("set:N", "fpr:Q", "tpr:Q"),
    )
    return _layers(chance, band, lines)


def transfer(rows: Rows, palette: Palette) -> Figure:
    """Draw which share of each set is called members if at most 5% of held-out images are."""
    sets = [name for name in palette if palette[name] != INK]
    base = alt.Chart(rows).encode(
        y=alt.Y("set:N", sort=sets, title=None),
        tooltip=_facts("set:N", "attack:N", "value:Q", "low:Q", "high:Q"),
    )
    axis = alt.Axis(title=CALLED, tickCount=4)
    bars = base.mark_bar(stroke=INK, strokeOpacity=0.35, strokeWidth=0.5).encode(
        x=alt.X("value:Q", axis=axis, scale=alt.Scale(domain=[0, 1])),
        color=_colour(palette),
    )
    intervals = base.mark_rule(color=INK).encode(x="low:Q", x2="high:Q")
    nothing = (
        alt.Chart(rows)
        .transform_aggregate(largest="max(value)")
        .transform_filter("!isValid(datum.largest)")
        .mark_text(align="left", color=INK, fontSize=12)
        .encode(x=alt.datum(0.05), y=alt.value(12), text=alt.value(NO_THRESHOLD))
    )
    return _layers(bars, intervals, nothing)


def density(rows: Rows, palette: Palette) -> Figure:
    """Draw how the maximum scores of each set are spread, a row for each set."""
    titles = list(palette)
    last = len(titles) - 1
    label = f"{list(reversed(titles))}[round(datum.value)]"
    axis = alt.Axis(
        title=None,
        values=list(range(len(titles))),
        labelExpr=label,
        labelBaseline="bottom",
        labelOverlap=False,
    )
    base = alt.Chart(rows).encode(
        x=alt.X(
            "score:Q",
            scale=alt.Scale(domainMax=1, nice=False, zero=False),
            axis=alt.Axis(title="maximum prediction score", grid=False, tickCount=6),
        ),
        detail="set:N",
    )
    scale = alt.Scale(domain=[0, last + 1], nice=False)
    areas = base.mark_area(opacity=0.85, stroke=INK, strokeWidth=0.6, strokeOpacity=0.5).encode(
        y=alt.Y("top:Q", scale=scale, axis=axis),
        y2="base:Q",
        color=_colour(palette),
        tooltip=_facts("set:N", "score:Q", "density:Q"),
    )
    notes = (
        base.transform_filter("isValid(datum.note)")
        .mark_text(align="left", baseline="bottom", dx=4, dy=-3, color=INK)
        .encode(y=alt.Y("base:Q", scale=scale, axis=axis), text="note:N")
    )
    return _layers(areas, notes)


def distances(rows: Rows, sets: Sequence[str]) -> Figure:
    """Draw the earth mover's distances between all sets' maximum scores."""
    base = alt.Chart(rows).encode(
        x=alt.X("set_a:N", sort=list(sets), title=None, axis=alt.Axis(labelAngle=-45)),
        y=alt.Y("set_b:N", sort=list(sets), title=None),
        tooltip=_facts("set_a:N", "set_b:N", "distance:Q"),
    )
    scale = alt.Scale(domain=[0, DARK_DISTANCE], range=[0.03, 0.5], clamp=True)
    shade = alt.Opacity("distance:Q", scale=scale, legend=None)
    cells = base.mark_rect(color="#888888").encode(opacity=shade)
    numbers = base.mark_text(color=INK).encode(text=alt.Text("distance:Q", format=".2f"))
    return _layers(cells, numbers)


def reliability(rows: Rows) -> Figure:
    """Draw how often predictions of a score are right, before and after calibration."""
    base = alt.Chart(rows)
    x_axis = alt.Axis(title="mean maximum score of a bin", tickCount=5, grid=True)
    y_axis = alt.Axis(title="accuracy of a bin", tickCount=5, grid=True)
    x = alt.X("confidence:Q", scale=SHARE, axis=x_axis)
    y = alt.Y("accuracy:Q", scale=SHARE, axis=y_axis)
    steps = ["before", "after"]
    dash = alt.StrokeDash(
        "calibration:O",
        scale=alt.Scale(domain=steps, range=[[3, 3], [1, 0]]),
        legend=alt.Legend(orient="top", title="calibration", symbolType="stroke"),
    )
    strength = alt.Opacity("calibration:O", scale=alt.Scale(domain=steps, range=[0.55, 1]))
    facts = _facts("calibration:N", "confidence:Q", "accuracy:Q", "share:Q")
    # One row is left for the diagonal. Data of its own would escape the page's filter.
    ideal = (
        base.transform_aggregate(rows="count()")
        .mark_rule(color="#888888", strokeWidth=1)
        .encode(
            x=alt.XDatum(0, scale=SHARE, axis=x_axis),
            y=alt.YDatum(0, scale=SHARE, axis=y_axis),
            x2=alt.datum(1),
            y2=alt.datum(1),
        )
    )
    lines = base.mark_line(color=INK, strokeWidth=1.5).encode(
        x=x, y=y, strokeDash=dash, opacity=strength
    )
    size = alt.Size(
        "share:Q",
        scale=alt.Scale(domain=[0, 1], range=[15, 420]),
        legend=alt.Legend(
            orient="top", title="share of images", format=".2f", values=[0.05, 0.25, 0.75]
        ),
    )
    points = base.mark_point(filled=True, color=INK).encode(
        x=x, y=y, size=size, opacity=strength, tooltip=facts, detail="calibration:N"
    )
    return _layers(ideal, lines, points)


def trade_off(
    rows: Rows, variants: Sequence[str], quality: str, success: str, legend: bool = True
) -> Figure:
    """Draw a quality of the models against an attack's success, a point for each run.

    Args:
        rows: Of one attack.
        variants: All variants, each with a shape of its own.
        quality: `ece` or `mmps`.
        success: `auroc` or `fake_fpr`.
        legend: Say which shape is which variant.
    """
    titles = {
        "ece": "expected calibration error",
        "mmps": "mean maximum prediction score",
        "auroc": "attack's AUROC",
        "fake_fpr": "share of fakes called members",
    }
    base = alt.Chart(rows)
    return base.mark_point(filled=True, size=80, color=INK, opacity=0.6).encode(
        x=alt.X(
            f"{quality}:Q",
            scale=alt.Scale(zero=False, padding=14),
            axis=alt.Axis(title=titles[quality], tickCount=5),
        ),
        y=alt.Y(f"{success}:Q", scale=alt.Scale(zero=False, padding=14), title=titles[success]),
        shape=alt.Shape(
            "variant:N",
            scale=alt.Scale(domain=list(variants), range=_shapes(variants)),
            legend=_legend(2) if legend else None,
        ),
        tooltip=_facts("variant:N", "seed:N", f"{quality}:Q", f"{success}:Q"),
    )


def embedding(rows: Rows, palette: Palette) -> Figure:
    """Draw penultimate features in two dimensions, which have no unit of their own."""
    hidden = alt.Axis(labels=False, grid=False)
    return (
        alt.Chart(rows)
        .mark_point(filled=True, size=22, opacity=0.65)
        .encode(
            x=alt.X("x:Q", axis=hidden, title="t-SNE 1", scale=alt.Scale(zero=False)),
            y=alt.Y("y:Q", axis=hidden, title="t-SNE 2", scale=alt.Scale(zero=False)),
            color=_colour(palette, _legend(4)),
            tooltip=_facts("set:N", "label:N"),
        )
    )


def gallery(rows: Rows, sets: Sequence[str], side: int) -> Figure:
    """Draw images with score and predicted class below, a line for each set."""
    base = alt.Chart(rows).encode(
        x=alt.X("rank:O", axis=None),
        y=alt.Y("set:N", sort=list(sets), title=None, axis=alt.Axis(grid=False)),
    )
    images = base.mark_image(width=side, height=side, baseline="middle").encode(url="url:N")
    scores = base.mark_text(dy=side / 2 + 9, color=INK, fontSize=10).encode(text="score:N")
    classes = base.mark_text(dy=side / 2 + 21, color=INK, fontSize=10).encode(text="predicted:N")
    return _layers(images, scores, classes)
