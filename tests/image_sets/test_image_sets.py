"""The registry of image sets: what DVC's plot templates and makers have of it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.helpers import ROOT
from trustmia.image_sets import IMAGE_SETS, MEMBERS, colours, in_words, title
from trustmia.registry import resolve


def scales(node: Any) -> Iterator[tuple[list[str], list[str]]]:
    """Yield the domain and range of every scale of a Vega-Lite template."""
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else []
    if isinstance(node, dict) and {"domain", "range"} <= node.keys():
        yield node["domain"], node["range"]
    for child in children:
        yield from scales(child)


def test_plot_templates_have_the_colours_of_the_registry() -> None:
    coloured = [name for name, image_set in IMAGE_SETS.items() if image_set.colour]
    for template in ("roc", "features"):
        found = list(scales(json.loads((ROOT / f".dvc/plots/{template}.json").read_text())))
        for domain, shown in found:
            assert set(domain) <= {MEMBERS, *IMAGE_SETS}
            assert shown == list(colours(domain).values())
        if template == "roc":
            assert [domain for domain, _ in found] == [coloured, coloured]


@pytest.mark.parametrize("name", IMAGE_SETS)
def test_every_set_is_made_by_what_the_registry_names(name: str) -> None:
    assert callable(resolve(IMAGE_SETS[name].made_by))


def test_every_set_has_a_title_of_its_own() -> None:
    titles = [title(name) for name in (MEMBERS, *IMAGE_SETS)]
    assert len(set(titles)) == len(titles)
    assert title("my_own_set") == in_words("my_own_set") == "My own set"
