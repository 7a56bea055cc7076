"""What `load_params` says of parameters that are wrong."""

import ast
import re
import sys
from collections.abc import Iterator
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helpers import ROOT, run
from trustmia.attacks import ATTACKS
from trustmia.errors import UserError
from trustmia.params import Params, load_params, validated

COMMITTED = ROOT / "params.yaml"
ABSENT = object()


def with_values(changes: dict[str, object]) -> dict[str, Any]:
    """Return the committed parameters, some of them changed by their full keys, or absent."""
    content: dict[str, Any] = yaml.safe_load(COMMITTED.read_text(encoding="utf-8"))
    for key, value in changes.items():
        *sections, name = key.split(".")
        place = reduce(getitem, sections, content)
        place[name] = value
        if value is ABSENT:
            del place[name]
    return content


def with_value(key: str, value: object) -> str:
    return yaml.safe_dump(with_values({key: value}))


def load_text(folder: Path, text: str | bytes) -> Params:
    path = folder / "params.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_params(path)


def message(folder: Path, text: str | bytes) -> str:
    with pytest.raises(UserError) as caught:
        load_text(folder, text)
    return str(caught.value)


def test_committed_parameters_are_valid() -> None:
    assert load_params(COMMITTED).model_dump() == with_values({})


def leaves(params: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every single parameter by its full key."""
    for key, value in params.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


LEAVES = dict(leaves(with_values({})))
# Ray counts in ten-thousandths.
FLOATS = [
    *(k for k, v in LEAVES.items() if isinstance(v, float) and "per_model" not in k),
    "calibration.temperature",
]


@pytest.mark.parametrize("written", ["1e-05", "1e-5", "1.0e-05", "0.00001", "1E-5", "+1.e-5"])
def test_every_small_number_is_one_however_it_is_written(tmp_path: Path, written: str) -> None:
    text = COMMITTED.read_text(encoding="utf-8")
    for key in FLOATS:
        name = key.rpartition(".")[2]
        text = re.sub(rf"^( *{name}): [^ #]+", rf"\1: {written}", text, flags=re.MULTILINE)
    params = dict(leaves(load_text(tmp_path, text).model_dump()))
    assert {key: params[key] for key in FLOATS} == dict.fromkeys(FLOATS, 1e-5)


@pytest.mark.parametrize(
    ("written", "read"), [("on", "'on'"), ("1:30", "'1:30'"), ("!!python/name:os.system", "YAML")]
)
def test_what_is_no_number_for_dvc_is_none_here(tmp_path: Path, written: str, read: str) -> None:
    text = COMMITTED.read_text(encoding="utf-8")
    changed = re.sub(r"^( *batch_size): 64 ", rf"\1: {written} ", text, flags=re.MULTILINE)
    assert read in message(tmp_path, changed)


def test_every_key_has_a_comment_on_its_line() -> None:
    lines = COMMITTED.read_text(encoding="utf-8").splitlines()
    keys = [line for line in lines if re.match(r"\s*\w+: *[^ #]", line)]
    assert len(keys) == len(LEAVES)
    assert [line for line in keys if not re.search(r" # \w+", line)] == []


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("train.epoch", 3, "unknown key; allowed: epochs, .*, source, arch, initial_weights"),
        ("colour", 1, "unknown key; allowed: seed, threads, dataset"),
        ("generator.judge_epochs", 8, "unknown key; .*; CHANGELOG.md says which keys have moved"),
        ("train.lr", ABSENT, "missing"),
        ("train", ABSENT, "missing"),
        ("seed", ABSENT, "missing"),
        ("train.epochs", "ten", "got 'ten'; allowed: .*whole number"),
        ("train.epochs", 1.5, "got 1.5; allowed: .*whole number"),
        ("train.epochs", True, "got true; allowed: .*whole number"),
        ("train.lr", "small", "got 'small'; allowed: .*number"),
        ("train.arch", 3, "got 3; allowed: .*salem_cnn"),
        ("attack.methods", "salem", "got 'salem'; allowed: .*list"),
        ("train", 3, "got 3; allowed: "),
        ("seed", -1, "got -1; allowed: 0 to below 4294967296"),
        ("seed", 2**32, "got 4294967296; allowed: 0 to below 4294967296"),
        ("split.train_size", 0, "got 0; allowed: 1 to 1000000000"),
        ("train.lr", 0, "got 0; allowed: above 0 to 1"),
        ("train.lr", 2, "got 2; allowed: above 0 to 1"),
        ("train.label_smoothing", 1, "got 1; allowed: 0 to below 1"),
        ("generator.ema_decay", 1, "got 1; allowed: 0 to below 1"),
        ("train.lr", float("nan"), "got nan; allowed: a finite number"),
        ("train.weight_decay", float("inf"), "got inf; allowed: a finite number"),
        ("dataset.name", "mnist", "got 'mnist'; allowed: .*fashion_mnist"),
        ("dataset.size", 4, "got 4; allowed: 8 to 1024"),
        ("dataset.fit", "pad", "got 'pad'; allowed: 'stretch' or 'crop'"),
        ("split.method", "random", "got 'random'; allowed: 'stratified' or 'published'"),
        ("train.augmentation", "flip", "got 'flip'; allowed: .*none, rotate_crop_flip"),
        ("train.initial_weights", "../w.pth", "got '../w.pth'; allowed: .*without folders"),
        ("generator.source", "stylegan", "got 'stylegan'; allowed: .*'stylegan2_ada'"),
        ("generator.stylegan2_ada_sha256", "abc", "got 'abc'; allowed: .*64 hexadecimal digits"),
        ("generate.truncation_psi", 1.5, "got 1.5; allowed: 0 to 1"),
        ("image_sets.max_images", 0, "got 0; allowed: 1 to 1000000000"),
        ("train.arch", "vgg", "got 'vgg'; allowed: .*salem_cnn, resnet18, efficientnet_b0"),
        ("train.source", "here", "got 'here'; allowed: 'pretrained' or 'scratch'"),
        ("train.precision", "fp16", "got 'fp16'; allowed: 'auto', 'fp32' or 'bf16'"),
        ("calibration.method", "LLLA", "got 'LLLA'; allowed: .*none, temperature, llla"),
        ("attack.methods", [], r"got \[\]; allowed: .*at least one name"),
        ("attack.methods", ["salem", "salem"], r"got \['salem', 'salem'\]; allowed: .*twice"),
        ("calibration.temperature", "fitt", "got 'fitt'; allowed: 'fit' or .*number"),
        ("calibration.llla.link", "MC", "got 'MC'; allowed: 'probit' or 'mc'"),
        ("calibration.llla.samples", 0, "got 0; allowed: 1 to 100000"),
        ("calibration.llla.samples", None, "got null; allowed: a whole number"),
        ("calibration.llla.prior", "fit", "got 'fit'; allowed: 'nll' or 'paper'"),
        ("calibration.llla.grid", 9, "unknown key; allowed: link, samples, prior"),
        ("calibration.temperature", -1, "got -1; allowed: 'fit' or 1e-06 to 1000000"),
        ("calibration.temperature", float("nan"), "got nan; allowed: 'fit' or a finite number"),
        ("references.count", 3, "got 3; allowed: a multiple of 2"),
        ("references.cpus_per_model", 1e-5, "got 1e-05; allowed: four decimals, as Ray counts"),
        ("references.gpus_per_model", 0.33333, "got 0.33333; allowed: four decimals, .*"),
        ("references.executor", "dask", "got 'dask'; allowed: 'local' or 'ray'"),
        ("attack.lira.variance", "own", "got 'own'; allowed: 'per_example', 'global', 'auto' or "),
        ("attack.rmia.a", 1.5, "got 1.5; allowed: 'tune' or 0 to 1"),
        ("attack.rmia.b", 1, "unknown key; allowed: a, gamma"),
        ("attack.salem.k", 0, "got 0; allowed: 1 to 1000"),
        ("attack.salem.k", ABSENT, "missing"),
        ("attack.threshold", {}, "unknown key; allowed: methods, resamples, salem, lira, rmia"),
    ],
)
def test_wrong_value_is_named_with_what_is_allowed(
    key: str, value: object, allowed: str, tmp_path: Path
) -> None:
    pattern = rf"{re.escape(str(tmp_path))}/params.yaml: {re.escape(key)}: {allowed}.*"
    assert re.fullmatch(pattern, message(tmp_path, with_value(key, value)))


@pytest.mark.parametrize("value", [-(10**12), 10**12])
def test_both_ends_of_a_range_are_told(value: int) -> None:
    for key, own in LEAVES.items():
        if type(own) in (int, float):
            with pytest.raises(UserError, match=rf"^p: {key}: got {value}; allowed: .*\d to .*\d$"):
                validated(with_values({key: value}), "p")


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    said = message(tmp_path, yaml.safe_dump(with_values({"train.epochs": 0, "attack.salem.k": 0})))
    assert "train.epochs: got 0" in said and "attack.salem.k: got 0" in said


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"attack.methods": ["threshold", "lyra"]},
            r"attack\.methods\.1: got 'lyra'; allowed: .*threshold, entropy, salem, lira",
        ),
        (
            {"image_sets.nonmember_sets": ["original", "orignal"]},
            r"image_sets\.nonmember_sets\.1: got 'orignal'; allowed: .*original, permuted",
        ),
        (
            {"predict.views": ["plain", "turn"]},
            r"predict\.views\.1: got 'turn'; allowed: .*plain, flip, shift_left",
        ),
        (
            {"dataset.name": "svhn", "image_sets.nonmember_sets": ["original", "svhn"]},
            r"image_sets\.nonmember_sets: 'svhn' has members among its images",
        ),
        (
            {"dataset.name": "afhq", "image_sets.nonmember_sets": ["afhq_cats"]},
            r"image_sets\.nonmember_sets: 'afhq_cats' has members among its images",
        ),
        (
            {"split.method": "published"},
            r"split\.method: got 'published' for fashion_mnist; allowed for cifar10, stanford_dogs",
        ),
        (
            {"generator.source": "stylegan2_ada"},
            r"generator\.stylegan2_ada_repo: got null; needed where generator\.source is styl",
        ),
        (
            {"generator.source": "stylegan2_ada", "generator.stylegan2_ada_repo": "clone"},
            r"generator\.stylegan2_ada_pickle: got null; needed where",
        ),
        (
            {"references.count": 0, "attack.methods": ["salem", "loss", "lira"]},
            r"attack\.methods: 'lira' compares the target with reference models, but "
            r"references\.count is 0; allowed: threshold, entropy, salem, loss, or a "
            r"references\.count of at least 2",
        ),
        (
            {"references.count": 0, "attack.rmia.a": "tune"},
            "compares the target with reference models, but",
        ),
        (
            {"references.count": 2, "attack.rmia.a": "tune"},
            r"attack\.rmia: these settings take at least 4 ref",
        ),
        (
            {"references.count": 2, "attack.lira.variance": "per_example"},
            r"attack\.lira: these settings take at least 4",
        ),
        (
            {"attack.methods": ["lira", "loss"]},
            r"attack\.methods: holds none of threshold, entropy, salem; allowed: at least one",
        ),
        (
            {"image_sets.nonmember_sets": ["fake"]},
            r"image_sets\.nonmember_sets: lacks original, the held-out images; add it",
        ),
    ],
)
def test_names_and_contradictions_are_told_with_what_is_allowed(
    changes: dict[str, object], problem: str
) -> None:
    with pytest.raises(UserError, match=problem):
        validated(with_values(changes), "params.yaml")


@pytest.mark.parametrize(
    "setting", [{"attack.rmia.a": "tune"}, {"attack.lira.variance": "per_example"}]
)
def test_settings_are_taken_where_there_are_enough_models(setting: dict[str, object]) -> None:
    validated(with_values({"references.count": 4} | setting), "params.yaml")


@pytest.mark.parametrize("temperature", ["fit", 2, 0.5])
def test_temperature_is_fit_or_a_positive_number(temperature: object, tmp_path: Path) -> None:
    params = load_text(tmp_path, with_value("calibration.temperature", temperature))
    assert params.calibration.temperature == temperature


def test_attacks_have_their_settings_from_the_parameters() -> None:
    settings = load_params(COMMITTED).attack.settings()
    assert list(settings) == list(ATTACKS)
    for name, attack in ATTACKS.items():
        assert isinstance(settings[name], attack.settings)
    # All keys are there, so that none is the command line's default.
    assert settings["salem"].model_fields_set == {"k", "lr", "batch_size", "max_epochs"}


HEAVY = ("torch", "sklearn", "scipy", "pandas", "pyarrow", "matplotlib")
LIGHT = [
    "import trustmia.params; trustmia.params.load_params()",
    "import trustmia.cli; trustmia.cli.main(['--help'])",
    "import trustmia.cli; trustmia.cli.main(['results', '--help'])",
    "from trustmia.attacks import ATTACKS; list(ATTACKS.values())",
    "from trustmia.datasets import DATASETS; list(DATASETS.values())",
    "from trustmia.stages import prepare_dataset, prepare_image_sets, split",
    "from trustmia.stages import train_generator, train_judge",
]
# These describe what models said, in tables.
TABLES = ("pandas", "pyarrow", "scipy")
WITHOUT_MODELS = [
    "from trustmia.stages import attack, describe_scores, gallery, report",
    "from trustmia.commands import audit, compare, export_models, study",
]


@pytest.mark.parametrize("code", [*LIGHT, *WITHOUT_MODELS])
def test_what_computes_little_loads_no_library_that_takes_time(code: str) -> None:
    check = f"sys.stderr.write(str([n for n in {HEAVY} if n in sys.modules]))"
    lines = ["import sys", "try:", f"  {code}", "finally:", f"  {check}"]
    loaded = run(ROOT, sys.executable, "-c", "\n".join(lines)).stderr
    assert set(ast.literal_eval(loaded)) <= set(TABLES if code in WITHOUT_MODELS else ())


def test_attack_without_a_section_has_its_defaults(tmp_path: Path) -> None:
    params = load_text(tmp_path, with_value("attack.salem", ABSENT))
    settings = params.attack.settings()["salem"]
    assert settings == ATTACKS["salem"].settings() and not settings.model_fields_set


def test_missing_file_is_named_with_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.yaml: not found; run from the root"):
        load_params(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("seed: [1", "not valid YAML: .*line 1"),
        ("seed: 1\ntrain:\n\tlr: 1", "not valid YAML: .*line 3"),
        ("seed: 1\nseed: 7\n", '.*duplicate key "seed"'),
        (b"\xff\xfe", "not valid YAML: "),
        ("", "holds no parameters; `git restore "),
        ("# nothing\n", "holds no parameters; `git restore "),
        ("- seed", "holds no parameters; `git restore "),
    ],
)
def test_file_without_parameters_is_named(
    text: str | bytes, complaint: str, tmp_path: Path
) -> None:
    said = message(tmp_path, text)
    assert re.match(rf"{re.escape(str(tmp_path))}/params.yaml: {complaint}", said)
    assert "\n" not in said
