"""Names and titles: those of the registries, wherever people read them."""

import re
from collections.abc import Collection

import pytest

from tests.attacks.attacking import COMPARED, FORMS, LEARNED
from tests.helpers import ROOT
from trustmia import cli
from trustmia.attacks import ATTACKS, form_title
from trustmia.calibration import METHODS
from trustmia.classifiers import AUGMENTATIONS
from trustmia.classifiers.architectures import ARCHITECTURES
from trustmia.commands import COMMANDS
from trustmia.datasets import DATASETS
from trustmia.datasets.weights import PRETRAINED
from trustmia.image_sets import IMAGE_SETS
from trustmia.measures.metrics import DECISIONS, RANKINGS, public, realised

GLOBAL = "_global_variance"
METRICS = {
    "| `precision`": {public(key) for key in DECISIONS},
    # What of a TPR was realised has a row of its own.
    "| `auroc` | trapezoidal area under the ROC curve |": RANKINGS.keys()
    - {realised(key) for key in RANKINGS},
}
NAMED: dict[str, Collection[str]] = {
    "name": DATASETS,
    "arch": ARCHITECTURES,
    "augmentation": AUGMENTATIONS,
    "method": METHODS,
}


def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def first_column(page: str, start: str) -> list[str]:
    """Return the first cell of each row of a page's table, in which some row starts so."""
    (table,) = (block for block in text(page).split("\n\n") if f"\n{start}" in f"\n{block}")
    return [row.split(" | ")[0].removeprefix("| ") for row in table.splitlines()[2:]]


def in_code(cells: Collection[str]) -> set[str]:
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def test_every_form_and_data_set_has_a_title_of_its_own() -> None:
    of_forms = [form_title(name) for name in FORMS]
    for titles in (of_forms, [source.title for source in DATASETS.values()]):
        assert all(titles) and len(set(titles)) == len(titles)
    assert not set(of_forms) & set(FORMS), "a title is no name"


def test_data_sets_have_one_title_wherever_they_are_shown() -> None:
    assert {name: source.name for name, source in DATASETS.items()} == {n: n for n in DATASETS}
    for name in DATASETS.keys() & IMAGE_SETS.keys():
        assert IMAGE_SETS[name].title == DATASETS[name].title
    of = {image_set.dataset for image_set in IMAGE_SETS.values()} - {None}
    assert of == set(DATASETS), "each can be shown to a model of another one"


def test_the_documentation_defines_every_form() -> None:
    assert [n.lower() for n in first_column("docs/audit.md", "| threshold |")] == list(LEARNED)
    defined = in_code(first_column("docs/audit.md", "| `lira_online`"))
    assert defined == {n for n in COMPARED if not n.endswith(GLOBAL)} | {f"…{GLOBAL}"}
    assert {n for n in COMPARED if n.endswith(GLOBAL)} == {
        f"{n}{GLOBAL}" for n in COMPARED if f"{n}{GLOBAL}" in COMPARED
    }


@pytest.mark.parametrize("start", METRICS)
def test_the_documentation_defines_every_metric(start: str) -> None:
    assert in_code(first_column("docs/audit.md", start)) >= METRICS[start]


def test_the_documentation_says_where_everything_is_fetched_from() -> None:
    named = in_code(first_column("docs/paper.md", "| `fashion_mnist`, "))
    assert named == {*DATASETS, *PRETRAINED}


@pytest.mark.parametrize("key", NAMED)
def test_comments_of_parameters_name_all_that_is_allowed(key: str) -> None:
    comments = re.findall(rf"^  {key}: \S+ # (.*)$", text("params.yaml"), flags=re.MULTILINE)
    words = [set(re.findall(r"\w+", comment)) for comment in comments]
    assert any(named >= set(NAMED[key]) for named in words), comments


def test_the_readme_names_calibrations_and_attacks() -> None:
    rows = dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", text("README.md"), flags=re.MULTILINE))
    assert in_code([rows["defence after training"]]) == {*METHODS, "calibration.method"} - {"none"}
    having = [name for name, attack in ATTACKS.items() if attack.settings.model_fields]
    assert {f"attack.{name}" for name in having} == {
        ".".join(name.split(".")[:2]) for name in in_code([rows["attack"]])
    } - {"attack.methods"}


def test_help_names_every_command_and_attack(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, names in (([], COMMANDS), (["audit"], ATTACKS)):
        with pytest.raises(SystemExit):
            cli.main([*arguments, "--help"])
        words = re.findall(r"[\w-]+", capsys.readouterr().out)
        assert set(names) <= set(words)
