"""What the paper published: its splits, checkpoints, tables and configurations."""

import functools
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from sklearn.model_selection import train_test_split
from torch.utils.data import Subset, random_split

from tests.datasets.miniatures import Evil, zipped
from tests.helpers import ROOT, paper_params
from trustmia import cli, paths
from trustmia.classifiers.architectures import ARCHITECTURES
from trustmia.classifiers.architectures.base import Classifier
from trustmia.datasets import DATASETS
from trustmia.errors import UserError
from trustmia.measures.table import COLUMNS
from trustmia.paper import comparison
from trustmia.paper.checkpoints import PAPER_NAMES, import_checkpoints, parse_name
from trustmia.paper.comparison import METRICS, compare, published_results
from trustmia.paper.configurations import CONFIGURATIONS, MODELS, configured
from trustmia.params import load_params, validated
from trustmia.runtime import checkpoints
from trustmia.splits import SplitParams
from trustmia.splits.published import published_split
from trustmia.yaml_files import parse_yaml, with_values

COMMITTED = (ROOT / "params.yaml").read_text(encoding="utf-8")
NAMES = list(CONFIGURATIONS)


# Configurations


def leaves(params: Any) -> dict[str, Any]:
    """Return the values of parameters by their full keys."""
    return dict(pd.json_normalize(params, sep=".").iloc[0])


@functools.cache
def on_the_committed(name: str) -> dict[str, Any]:
    return dict(parse_yaml(with_values(COMMITTED, CONFIGURATIONS[name].values)))


@pytest.mark.parametrize("name", NAMES)
def test_configuration_sets_its_values_and_nothing_else(name: str) -> None:
    values = CONFIGURATIONS[name].values
    assert leaves(on_the_committed(name)) == leaves(parse_yaml(COMMITTED)) | values
    assert validated(on_the_committed(name), name) == paper_params(name)


def test_configuration_is_the_same_whichever_was_there_before() -> None:
    assert len({frozenset(c.values) for c in CONFIGURATIONS.values()}) == 1
    text = COMMITTED
    for name in [*NAMES, NAMES[0]]:
        text = with_values(text, CONFIGURATIONS[name].values)
        assert parse_yaml(text) == on_the_committed(name)
    before, after = COMMITTED.splitlines(), text.splitlines()
    assert [line.partition("#")[2] for line in before] == [line.partition("#")[2] for line in after]


def test_configuration_changes_the_lines_of_its_values_alone() -> None:
    values, committed = CONFIGURATIONS[NAMES[0]].values, leaves(parse_yaml(COMMITTED))
    after = with_values(COMMITTED, values).splitlines()
    changed = sum(committed[key] != value for key, value in values.items())
    assert sum(one != other for one, other in zip(COMMITTED.splitlines(), after)) == changed


def test_configure_keeps_what_else_a_user_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    mine = f"# mine\n{COMMITTED}".replace("num_patches: 2500", "num_patches: 7")
    Path("params.yaml").write_text(mine)
    cli.main(["configure", NAMES[-1]])
    assert "params.yaml: stanford_dogs_resnet50_temperature_10 (Stan" in capsys.readouterr().out
    written = Path("params.yaml").read_text()
    expected = leaves(parse_yaml(mine)) | CONFIGURATIONS[NAMES[-1]].values
    assert leaves(parse_yaml(written)) == expected
    assert "num_patches: 7" in written and written.startswith("# mine\n")
    assert re.search(r"^  methods: \[threshold, entropy, salem\] +# attacks to run$", written, re.M)
    cli.main(["configure", NAMES[0], "--params", "params.yaml", "--out", "other.yaml"])
    assert Path("params.yaml").read_text() == written
    assert load_params(Path("other.yaml")).train.arch == "resnet18"


def test_configure_without_a_name_lists_all(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["configure"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == NAMES and len(lines) == 24
    assert "CIFAR-10, ResNet-18, L2 regularisation 0.0003" in lines[2]


@pytest.mark.parametrize(
    ("content", "arguments", "told"),
    [
        (COMMITTED, ["cifar10_resnet"], "'cifar10_resnet' is unknown; similar: cifar10_resnet18,"),
        (COMMITTED, ["vgg"], "'vgg' is unknown; similar: none; `trustmia configure` lists all 24"),
        (None, [NAMES[0]], "params.yaml: not found; run from the root of the repository"),
        ("seed: [", [NAMES[0]], "params.yaml: not valid YAML"),
        ("seed", [NAMES[0]], "params.yaml: lacks seed; `git restore params.yaml` brings it"),
        (COMMITTED.replace("  lr: 0.001", "  rate: 0.001"), [NAMES[0]], "lacks train.lr; `git"),
        (COMMITTED.replace("width: 32", "width: wide"), [NAMES[0]], "generator.width: got 'wide'"),
        (COMMITTED, [NAMES[0], "--out", "params.yaml/file"], "cannot write params.yaml/file: "),
        (None, [NAMES[0], "--params", "."], ".: cannot be read: Is a directory"),
    ],
    ids=["near", "far", "missing", "no YAML", "no keys", "lacks", "wrong", "out", "folder"],
)
def test_configure_tells_in_one_line_why_it_wrote_nothing(
    content: str | None,
    arguments: list[str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("params.yaml").write_text(content)
    with pytest.raises(SystemExit) as stopped:
        cli.main(["configure", *arguments])
    said = capsys.readouterr().err
    assert stopped.value.code == 2 and told in said and said.count("\n") == 1
    assert content is None or Path("params.yaml").read_text() == content


@pytest.mark.parametrize("name", MODELS)
def test_split_of_every_model_can_be_drawn(name: str) -> None:
    params = paper_params(name)
    cifar = params.dataset.name == "cifar10"
    labels = np.tile(np.arange(10), 6000) if cifar else np.arange(20580) % 120
    sizes = params.split
    split = published_split(params.dataset.name, labels, sizes, params.seed)
    assert [len(split[role]["train"]) for role in ("target", "shadow")] == [sizes.train_size] * 2


# Splits


def numbers(images: Any) -> list[int]:
    """Return what a subset of a range holds; in the range, image i is i."""
    return sorted(images[i] for i in range(len(images)))


def seeded_split(data: Any, first: int, seed: int) -> Any:
    torch.manual_seed(seed)
    return random_split(data, [first, len(data) - first])


def sizes_of(holdout: int, train: int, validation: int, test: int, **attack: int) -> SplitParams:
    sizes = {"generator_holdout": holdout, "train": train, "validation": validation, "test": test}
    keys = {f"{part}_size": size for part, size in sizes.items()}
    return paper_params("cifar10_resnet18").split.model_copy(update=keys | attack)


@pytest.mark.parametrize("test_size", [500, 300])
def test_cifar10_split_is_that_of_the_published_calls(test_size: int) -> None:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 600))
    sizes = sizes_of(20, 1250, 100, test_size, attack_members=250, attack_nonmembers=240)
    split = published_split("cifar10", labels, sizes, seed=42)
    train, test = range(5000), range(5000, 6000)
    taken, _ = train_test_split(train, train_size=2500, random_state=42, stratify=labels[:5000])
    halves = train_test_split(range(2500), train_size=1250, test_size=1250, random_state=42)
    # Fewer test images than there are of both models are drawn before they are divided.
    few = test if 2 * test_size == len(test) else seeded_split(test, 2 * test_size, 42)[0]
    tested = seeded_split(few, test_size, 42)
    for role, half, held_out in zip(("target", "shadow"), halves, tested, strict=True):
        trained: Any = Subset(Subset(train, taken), half)  # type: ignore[arg-type]
        assert split[role]["train"].tolist() == numbers(trained)
        assert split[role]["test"].tolist() == numbers(held_out)
        assert split[role]["members"].tolist() == numbers(seeded_split(trained, 250, 0)[0])
        non_members = seeded_split(held_out, 240, 0)[0]
        assert split[role]["non_members"].tolist() == numbers(non_members)
    parts = [split[r][p] for r in ("target", "shadow") for p in ("train", "validation", "test")]
    everything = np.concatenate([*parts, *split["generator"].values()])
    assert len(everything) == len(set(everything.tolist())) <= 6000


def test_dogs_split_is_that_of_the_published_calls() -> None:
    labels = np.arange(2058) % 12
    sizes = sizes_of(0, 823, 0, 206, attack_members=200, attack_nonmembers=206)
    split = published_split("stanford_dogs", labels, sizes, seed=42)
    train, test = seeded_split(range(2058), int(0.8 * 2058), 42)
    trained, tested = seeded_split(train, 823, 42), seeded_split(test, 206, 42)
    for role, half, held_out in zip(("target", "shadow"), trained, tested, strict=True):
        assert split[role]["train"].tolist() == numbers(half)
        assert split[role]["non_members"].tolist() == numbers(held_out)
        assert split[role]["members"].tolist() == numbers(seeded_split(half, 200, 42)[0])
        assert np.array_equal(split[role]["validation"], split[role]["test"])
    assert len(split["generator"]["train"]) == len(split["generator"]["holdout"]) == 0


@pytest.mark.parametrize(
    ("dataset", "sizes", "allowed"),
    [
        ("cifar10", sizes_of(0, 2500, 0, 500), "train_size below 2500"),
        ("cifar10", sizes_of(0, 1000, 0, 501), "test_size up to 500"),
        ("cifar10", sizes_of(0, 1000, 0, 500, attack_members=1001), "attack_members up to 1000"),
        ("stanford_dogs", sizes_of(0, 100, 0, 50), "train_size 2400, test_size 600"),
    ],
)
def test_sizes_that_the_published_split_cannot_have_are_told(
    dataset: str, sizes: SplitParams, allowed: str
) -> None:
    with pytest.raises(UserError, match=f"split: method published allows .*{allowed}"):
        published_split(dataset, np.tile(np.arange(10), 600), sizes, 42)


# Checkpoints


def state_dict(model: str) -> dict[str, torch.Tensor]:
    arch = paper_params(PAPER_NAMES[model]).train.arch
    size, classes = (32, 10) if model.endswith("cifar10") else (32, 120)
    torch.manual_seed(0)
    return ARCHITECTURES[arch](3, size, classes).state_dict()


def saved(state: object) -> bytes:
    stream = io.BytesIO()
    torch.save(state, stream)
    return stream.getvalue()


def archive_of(folder: Path, content: dict[str, bytes]) -> Path:
    path = folder / "pretrained_models.zip"
    path.write_bytes(zipped(content.items()))
    return path


@pytest.mark.parametrize("model", PAPER_NAMES)
def test_published_checkpoint_becomes_one_of_this_project(model: str, tmp_path: Path) -> None:
    state = state_dict(model)
    name = f"{model}_L2_0.0003_shadow.pt"
    archive = archive_of(tmp_path, {f"pretrained_models/{name}": saved(state)})
    (place,) = import_checkpoints(archive, tmp_path / "classifiers")
    assert place == tmp_path / f"classifiers/{model}_L2_0.0003/shadow.safetensors"
    loaded = checkpoints.load(place.with_suffix(""))
    assert all(torch.equal(loaded.tensors[key], tensor) for key, tensor in state.items())
    assert loaded.card["params"]["train.weight_decay"] == 0.0003
    assert loaded.card["arch"] == paper_params(PAPER_NAMES[model]).train.arch


def test_imported_checkpoint_fits_the_papers_configuration_and_no_other(tmp_path: Path) -> None:
    names = [f"salem_cnn_relu_cifar10_LS_0.0083_{role}.pt" for role in ("target", "shadow")]
    content = saved(state_dict("salem_cnn_relu_cifar10"))
    import_checkpoints(archive_of(tmp_path, dict.fromkeys(names, content)), tmp_path)
    stem = tmp_path / "salem_cnn_relu_cifar10_LS_0.0083" / "target"

    def differences(name: str, **split: object) -> list[str]:
        params = paper_params(name).train.model_dump(exclude={"source"})
        wanted = {f"train.{key}": value for key, value in params.items()}
        published = {"dataset": "cifar10", "method": "published", "seed": 42, "train_size": 12500}
        data = {"sha256": "of the images", "split": published | split}
        return checkpoints.differences(checkpoints.load_card(stem), wanted, data)

    fitting = "cifar10_salem_cnn_label_smoothing"
    assert differences(fitting) == []
    assert differences("cifar10_salem_cnn") == ["train.label_smoothing 0.0083 rather than 0.0"]
    told = ["split with method 'published' rather than 'stratified'"]
    assert differences(fitting, method="stratified") == told
    assert differences(fitting, seed=1) == ["split with seed 42 rather than 1"]


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda state: state.pop("out.bias"), "missing out.bias"),
        (lambda state: state.update({"out.scale": torch.ones(1)}), "unexpected out.scale"),
        (
            lambda state: state.update({"out.weight": torch.zeros(100, 128)}),
            "out.weight is [100, 128], not [10, 128]",
        ),
        (lambda state: state.clear(), "missing model.0.weight, missing model.0.bias"),
    ],
)
def test_state_dict_that_does_not_fit_is_listed_and_nothing_written(
    spoil: Callable[[dict[str, torch.Tensor]], object], told: str, tmp_path: Path
) -> None:
    good, bad = state_dict("salem_cnn_relu_cifar10"), state_dict("salem_cnn_relu_cifar10")
    spoil(bad)
    names = [f"salem_cnn_relu_cifar10_{role}.pt" for role in ("target", "shadow")]
    archive = archive_of(tmp_path, dict(zip(names, (saved(good), saved(bad)), strict=True)))
    with pytest.raises(UserError) as caught:
        import_checkpoints(archive, tmp_path / "classifiers")
    assert all(part in str(caught.value) for part in (told, names[1], "nothing written"))
    assert not (tmp_path / "classifiers").exists()


OF_RESNET18 = "resnet18_cifar10_target.pt"
L2, SMOOTHED = {"train.weight_decay": 0.0003}, {"train.label_smoothing": 0.1}


@pytest.mark.parametrize(
    ("archive", "told"),
    [
        (zipped([(OF_RESNET18, saved({"w": Evil()}))]), "not readable as weights"),
        (zipped([(OF_RESNET18, b"no weights")]), "not readable as weights"),
        (zipped([(OF_RESNET18, saved([1, 2]))]), "holds no state dict"),
        (zipped([("vgg_cifar10_target.pt", b"")]), "not a name of the published checkpoints"),
        (zipped([("README.txt", b"")]), "holds no checkpoints"),
        (b"no zip", "models.zip: not a readable ZIP"),
        (None, "models.zip: not a readable ZIP"),
    ],
    ids=["code", "no weights", "a list", "another name", "no checkpoint", "no ZIP", "missing"],
)
def test_archive_with_something_else_is_refused_in_one_line_without_running_it(
    archive: bytes | None,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    if archive is not None:
        Path("models.zip").write_bytes(archive)
    with pytest.raises(SystemExit) as stopped:
        cli.main(["import-checkpoints", "models.zip"])
    said = capsys.readouterr().err
    assert stopped.value.code == 2 and told in said and said.count("\n") == 1
    assert not Path("evil").exists() and not Path("models").exists()


@pytest.mark.parametrize(
    ("name", "configuration", "changed"),
    [
        (OF_RESNET18, "cifar10_resnet18", {}),
        ("efficient_net_cifar10_L2_0.0003_shadow.pt", "cifar10_efficientnet_b0", L2),
        ("resnet50_stanford_dogs_LS_0.1_target.pt", "stanford_dogs_resnet50", SMOOTHED),
    ],
)
def test_name_of_a_published_file_says_how_it_was_trained(
    name: str, configuration: str, changed: dict[str, float]
) -> None:
    expected = paper_params(configuration).train.model_dump(exclude={"source"})
    assert parse_name(name).params == {f"train.{k}": v for k, v in expected.items()} | changed


def test_models_have_the_published_names_of_modules() -> None:
    def names(arch: str) -> set[str]:
        model: Classifier = ARCHITECTURES[arch](3, 32, 10)
        return {name.rsplit(".", 1)[0] for name in model.state_dict()}

    assert {"layer2.0.shortcut.0", "layer2.0.shortcut.1", "linear"} <= names("resnet18")
    assert {"layers.1.se.se1", "layers.15.bn3", "linear"} <= names("efficientnet_b0")
    assert names("salem_cnn") == {"model.0", "model.3", "model.7", "out"}
    assert {"layer1.0.downsample.0", "layer4.2.conv3", "fc"} <= names("resnet50")


# Tables


def test_published_tables_are_complete_and_their_figures_where_they_belong() -> None:
    tables = published_results()
    counts = tables.groupby("configuration")["set"].nunique() * 3
    assert tables.groupby("configuration").size().to_dict() == counts.to_dict()
    assert len(tables) == 15 * 11 * 3 + 5 * 9 * 3
    assert tables.select_dtypes("number").to_numpy().sum() == pytest.approx(4272.4335, abs=1e-6)
    rows = tables.set_index(["configuration", "set", "attack"])[list(METRICS)]
    smoothed = rows.loc["cifar10_resnet18_label_smoothing"]
    for row, figures in {
        ("stl10", "threshold"): (0.8518, 0.9448, 0.1644, 0.9928, 0.9927),
        ("stl10", "salem"): (0.8287, 0.9944, 0.2056, 0.9927, 0.9920),
        ("stl10", "entropy"): (0.8513, 0.9456, 0.1652, 0.9928, 0.9927),
        ("fake", "threshold"): (0.7585, 0.9448, 0.3008, 0.9928, 0.9929),
        ("fake", "salem"): (0.7244, 0.9944, 0.3784, 0.9927, 0.9922),
        ("scaled", "entropy"): (0.5028, 0.9456, 0.9352, 0.9928, 0.9998),
    }.items():
        assert tuple(smoothed.loc[row]) == figures
    # As many images of each set of CIFAR-10 as members; rates have four digits.
    cifar10 = tables[tables["configuration"].str.startswith("cifar10")]
    expected = cifar10["recall"] / (cifar10["recall"] + cifar10["fpr"])
    assert cifar10["precision"].to_numpy() == pytest.approx(expected.to_numpy(), abs=6e-5)


def test_comparison_has_run_paper_and_their_difference() -> None:
    published = published_results().query("configuration == 'cifar10_salem_cnn'")
    run_table = published.melt(["attack", "set"], list(METRICS), "metric", "value")
    run_table.loc[run_table["metric"] == "fpr", "value"] += 0.125
    run_table = run_table[run_table["set"] != "svhn"]
    table = compare(run_table, "cifar10_salem_cnn").set_index(["set", "attack", "metric"])
    assert len(table) == 11 * 3 * len(METRICS)
    row = table.loc[("stl10", "salem", "fpr")]
    assert row["run"] - row["paper"] == row["difference"] == pytest.approx(0.125)
    assert table.loc[("stl10", "salem", "recall")]["difference"] == 0
    assert pd.isna(table.loc[("svhn", "salem", "fpr")]["run"])
    shown = comparison.as_tables(table.reset_index(), "simple")
    assert all(title in shown for title in METRICS.values()) and "+0.125" in shown and "–" in shown


def test_every_published_table_belongs_to_a_configuration() -> None:
    published = set(published_results()["configuration"])
    for name in NAMES:
        if name in published:
            assert comparison.configuration_of(paper_params(name)) == name
        else:
            assert name.endswith("_temperature")
            with pytest.raises(UserError, match=r"published no table for .*temperature=fit"):
                comparison.configuration_of(paper_params(name))
    assert published < set(NAMES)


def test_default_run_has_no_table_in_the_paper(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as stopped:
        cli.main(["compare-paper"])
    said = capsys.readouterr().err
    assert stopped.value.code == 2 and said.count("\n") == 1
    assert "no table for dataset.name=fashion_mnist, train.arch=salem_cnn" in said


def test_run_that_is_missing_or_has_other_parameters_is_not_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(configured(ROOT / "params.yaml", "cifar10_salem_cnn"))
    params = paper_params("cifar10_salem_cnn")
    (tmp_path / "metrics").mkdir()
    with pytest.raises(UserError, match="not found; run `dvc repro`"):
        comparison.compare_paper(params, "simple", None)
    rows = [f"threshold,original,{metric},0.5,,,20\n" for metric in METRICS]
    paths.RESULTS.write_text(f"{','.join(COLUMNS)}\n{''.join(rows)}")
    noted = {"cmd": "attack", "outs": [{"path": str(paths.RESULTS)}]}
    declared = {"cmd": "attack", "params": ["train"], "outs": [str(paths.RESULTS)]}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"attack": declared}}))

    def note(**train: object) -> None:
        stage = noted | {"params": {"params.yaml": {"train": params.train.model_dump() | train}}}
        (tmp_path / "dvc.lock").write_text(yaml.safe_dump({"stages": {"attack": stage}}))

    with pytest.raises(UserError, match=r"older .*dvc\.lock does not name it"):
        comparison.compare_paper(params, "simple", None)
    note()
    assert "0.500" in comparison.compare_paper(params, "simple", None)
    note(lr=0.5)
    with pytest.raises(UserError, match=r"train\.lr was 0\.5 and is 0\.001; .* run `dvc repro`"):
        comparison.compare_paper(params, "simple", None)


def test_deviations_from_the_paper_are_told() -> None:
    params = paper_params("cifar10_salem_cnn")
    params = params.model_copy(update={"train": params.train.model_copy(update={"epochs": 3})})
    told = comparison.deviations(params, "cifar10_salem_cnn")
    assert told == ["train.epochs 3 instead of 100"]


def test_breeds_and_means_are_those_that_torchvision_knows() -> None:
    from trustmia.torchvision_compat import declare_missing_operators

    declare_missing_operators()
    from torchvision.models import ResNet50_Weights

    weights = ResNet50_Weights.IMAGENET1K_V1
    known = {name.lower().replace(" ", "_") for name in weights.meta["categories"]}
    breeds = [name.lower() for name in DATASETS["stanford_dogs"].classes]
    assert len(breeds) == len(set(breeds)) == 120
    unknown = [name for name in breeds if name not in known]
    assert len(unknown) < 12, unknown
    assert list(DATASETS["stanford_dogs"].mean) == weights.transforms().mean
    assert list(DATASETS["afhq"].std) == weights.transforms().std
