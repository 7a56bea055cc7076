"""What `load_params` says of parameters that are wrong."""

import ast
import copy
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helpers import ROOT, run
from trustmia.attacks import ATTACKS
from trustmia.errors import UserError
from trustmia.params import Params, load_params

COMMITTED = ROOT / "params.yaml"
ABSENT = object()


def with_value(key: str, value: object) -> str:
    content: dict[str, Any] = copy.deepcopy(yaml.safe_load(COMMITTED.read_text(encoding="utf-8")))
    *sections, name = key.split(".")
    place = content
    for section in sections:
        place = place[section]
    place[name] = value
    if value is ABSENT:
        del place[name]
    return yaml.safe_dump(content)


def load_text(folder: Path, text: str | bytes) -> Params:
    path = folder / "params.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_params(path)


def message(folder: Path, text: str | bytes) -> str:
    with pytest.raises(UserError) as caught:
        load_text(folder, text)
    return str(caught.value)


def test_committed_parameters_are_valid() -> None:
    params = load_params(COMMITTED)
    assert params.model_dump() == yaml.safe_load(COMMITTED.read_text(encoding="utf-8"))


def float_keys(params: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in params.items():
        if isinstance(value, dict):
            yield from float_keys(value, f"{prefix}{key}.")
        elif isinstance(value, float):
            yield f"{prefix}{key}"


# Ray counts in ten-thousandths.
FLOATS = [
    *(k for k in float_keys(load_params(COMMITTED).model_dump()) if "per_model" not in k),
    "calibration.temperature",
]


@pytest.mark.parametrize("written", ["1e-05", "1e-5", "1.0e-05", "0.00001", "1E-5", "+1.e-5"])
def test_every_small_number_is_one_however_it_is_written(tmp_path: Path, written: str) -> None:
    text = COMMITTED.read_text(encoding="utf-8")
    for key in FLOATS:
        name = key.rpartition(".")[2]
        text = re.sub(rf"^( *{name}): [^ #]+", rf"\1: {written}", text, flags=re.MULTILINE)
    params = load_text(tmp_path, text).model_dump()
    for key in FLOATS:
        value: Any = params
        for part in key.split("."):
            value = value[part]
        assert value == 1e-5, key


@pytest.mark.parametrize(
    ("written", "read"), [("on", "'on'"), ("1:30", "'1:30'"), ("!!python/name:os.system", "YAML")]
)
def test_what_is_no_number_for_dvc_is_none_here(tmp_path: Path, written: str, read: str) -> None:
    text = COMMITTED.read_text(encoding="utf-8")
    changed = re.sub(r"^( *batch_size): 64 ", rf"\1: {written} ", text, flags=re.MULTILINE)
    assert read in message(tmp_path, changed)


def test_a_key_that_is_there_twice_is_told(tmp_path: Path) -> None:
    text = COMMITTED.read_text(encoding="utf-8")
    assert 'duplicate key "seed"' in message(tmp_path, f"{text}seed: 7\n")


def leaves(params: dict[str, Any]) -> int:
    return sum(leaves(v) if isinstance(v, dict) else 1 for v in params.values())


def test_every_key_has_a_comment_on_its_line() -> None:
    keys = [
        line
        for line in COMMITTED.read_text(encoding="utf-8").splitlines()
        if re.match(r"\s*\w+: *[^ #]", line)
    ]
    assert len(keys) == leaves(load_params(COMMITTED).model_dump())
    assert [line for line in keys if not re.search(r" # \w+", line)] == []


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("train.epoch", 3, "unknown key; allowed: epochs, .*, source, arch, initial_weights"),
        ("colour", 1, "unknown key; allowed: seed, threads, dataset"),
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
        ("seed", -1, "got -1; allowed: greater than or equal to 0"),
        ("seed", 2**32, "got 4294967296; allowed: less than 4294967296"),
        ("split.train_size", 0, "got 0; allowed: greater than or equal to 1"),
        ("train.lr", 0, "got 0; allowed: greater than 0"),
        ("train.lr", 2, "got 2; allowed: less than or equal to 1"),
        ("train.label_smoothing", 1, "got 1; allowed: less than 1"),
        ("generator.ema_decay", 1, "got 1; allowed: less than 1"),
        ("train.lr", float("nan"), "got nan; allowed: a finite number"),
        ("train.weight_decay", float("inf"), "got inf; allowed: a finite number"),
        ("dataset.name", "mnist", "got 'mnist'; allowed: .*fashion_mnist"),
        ("dataset.size", 4, "got 4; allowed: greater than or equal to 8"),
        ("dataset.fit", "pad", "got 'pad'; allowed: 'stretch' or 'crop'"),
        ("split.method", "random", "got 'random'; allowed: 'stratified' or 'published'"),
        ("train.augmentation", "flip", "got 'flip'; allowed: .*none, rotate_crop_flip"),
        ("train.initial_weights", "../w.pth", "got '../w.pth'; allowed: .*without folders"),
        ("generator.source", "stylegan", "got 'stylegan'; allowed: .*'stylegan2_ada'"),
        ("generator.stylegan2_ada_sha256", "abc", "got 'abc'; allowed: .*64 hexadecimal digits"),
        ("generate.truncation_psi", 1.5, "got 1.5; allowed: less than or equal to 1"),
        ("image_sets.max_images", 0, "got 0; allowed: greater than or equal to 1"),
        ("train.arch", "vgg", "got 'vgg'; allowed: .*salem_cnn, resnet18, efficientnet_b0"),
        ("train.source", "here", "got 'here'; allowed: 'pretrained' or 'scratch'"),
        ("train.precision", "fp16", "got 'fp16'; allowed: 'auto', 'fp32' or 'bf16'"),
        ("calibration.method", "LLLA", "got 'LLLA'; allowed: .*none, temperature, llla"),
        ("attack.methods", [], r"got \[\]; allowed: .*at least one name"),
        ("attack.methods", ["salem", "salem"], r"got \['salem', 'salem'\]; allowed: .*twice"),
        ("calibration.temperature", "fitt", "got 'fitt'; allowed: 'fit' or .*number"),
        ("calibration.llla.link", "MC", "got 'MC'; allowed: 'probit' or 'mc'"),
        ("calibration.llla.samples", 0, "got 0; allowed: greater than or equal to 1"),
        ("calibration.llla.samples", None, "got null; allowed: a whole number"),
        ("calibration.llla.prior", "fit", "got 'fit'; allowed: 'nll' or 'paper'"),
        ("calibration.llla.grid", 9, "unknown key; allowed: link, samples, prior"),
        ("calibration.temperature", -1, "got -1; allowed: 'fit' or .*0.000001"),
        ("calibration.temperature", float("nan"), "got nan; allowed: 'fit' or a finite number"),
        ("references.count", 3, "got 3; allowed: a multiple of 2"),
        ("references.cpus_per_model", 1e-5, "got 1e-05; allowed: four decimals, as Ray counts"),
        ("references.gpus_per_model", 0.33333, "got 0.33333; allowed: four decimals, .*"),
        ("references.executor", "dask", "got 'dask'; allowed: 'local' or 'ray'"),
        (
            "attack.lira.variance",
            "own",
            "got 'own'; allowed: 'per_example', 'global', 'auto' or 'bo",
        ),
        ("attack.rmia.a", 1.5, "got 1.5; allowed: 'tune' or less than or equal to 1"),
        ("attack.rmia.b", 1, "unknown key; allowed: a, gamma"),
        ("attack.salem.k", 0, "got 0; allowed: greater than or equal to 1"),
        ("attack.salem.k", ABSENT, "missing"),
        ("attack.threshold", {}, "unknown key; allowed: methods, resamples, salem, lira, rmia"),
    ],
)
def test_wrong_value_is_named_with_what_is_allowed(
    key: str, value: object, allowed: str, tmp_path: Path
) -> None:
    pattern = rf"{re.escape(str(tmp_path))}/params.yaml: {re.escape(key)}: {allowed}.*"
    assert re.fullmatch(pattern, message(tmp_path, with_value(key, value)))


@pytest.mark.parametrize(
    ("key", "names", "wrong", "allowed"),
    [
        ("attack.methods", ["threshold", "lyra"], "lyra", "threshold, entropy, salem, lira"),
        ("image_sets.nonmember_sets", ["original", "orignal"], "orignal", "original, permuted"),
        ("predict.views", ["plain", "turn"], "turn", "plain, flip, shift_left"),
    ],
)
def test_unknown_name_in_a_list_is_named_with_its_place(
    key: str, names: list[str], wrong: str, allowed: str, tmp_path: Path
) -> None:
    said = message(tmp_path, with_value(key, names))
    assert re.search(rf": {key}\.1: got '{wrong}'; allowed: .*{allowed}", said)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    text = with_value("train.epochs", 0).replace("    k: 3", "    k: 0")
    said = message(tmp_path, text)
    assert "train.epochs: got 0" in said
    assert "attack.salem.k: got 0" in said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"dataset.name": "svhn", "image_sets.nonmember_sets": ["original", "svhn"]},
            "image_sets.nonmember_sets: 'svhn' has members among its images",
        ),
        (
            {"dataset.name": "afhq", "image_sets.nonmember_sets": ["afhq_cats"]},
            "image_sets.nonmember_sets: 'afhq_cats' has members among its images",
        ),
        (
            {"split.method": "published"},
            "split.method: got 'published' for fashion_mnist; allowed for cifar10, stanford_dogs",
        ),
        (
            {"generator.source": "stylegan2_ada"},
            "generator.stylegan2_ada_repo: got null; needed where generator.source is styl",
        ),
        (
            {"generator.source": "stylegan2_ada", "generator.stylegan2_ada_repo": "clone"},
            "generator.stylegan2_ada_pickle: got null; needed where",
        ),
        (
            {"references.count": 0, "attack.methods": ["salem", "loss", "lira"]},
            "attack.methods: 'lira' compares the target with reference models, but "
            "references.count is 0; allowed: threshold, entropy, salem, loss, or a "
            "references.count of at least 2",
        ),
        (
            {"attack.methods": ["lira", "loss"]},
            "attack.methods: holds none of threshold, entropy, salem; allowed: at least one",
        ),
        (
            {"image_sets.nonmember_sets": ["fake"]},
            "image_sets.nonmember_sets: lacks original, the held-out images; add it",
        ),
    ],
)
def test_parameters_that_contradict_each_other_are_named(
    changes: dict[str, object], said: str, tmp_path: Path
) -> None:
    content = yaml.safe_load(COMMITTED.read_text(encoding="utf-8"))
    for key, value in changes.items():
        section, name = key.split(".")
        content[section][name] = value
    assert said in message(tmp_path, yaml.safe_dump(content))


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


def loaded_by(code: str) -> str:
    """Return which libraries that take time to import some code loads, as a list."""
    check = f"sys.stderr.write(str([n for n in {HEAVY} if n in sys.modules]))"
    lines = ["import sys", "try:", f"  {code}", "finally:", f"  {check}"]
    return run(ROOT, sys.executable, "-c", "\n".join(lines)).stderr


@pytest.mark.parametrize("code", LIGHT)
def test_what_computes_little_loads_no_library_that_takes_time(code: str) -> None:
    assert loaded_by(code) == "[]"


@pytest.mark.parametrize("code", WITHOUT_MODELS)
def test_what_only_reads_scores_starts_without_pytorch_and_scikit_learn(code: str) -> None:
    assert not set(ast.literal_eval(loaded_by(code))) - set(TABLES)


def test_attack_without_a_section_has_its_defaults(tmp_path: Path) -> None:
    params = load_text(tmp_path, with_value("attack.salem", ABSENT))
    settings = params.attack.settings()["salem"]
    assert settings == ATTACKS["salem"].settings() and not settings.model_fields_set


@pytest.mark.parametrize(
    ("count", "before", "after", "complaint"),
    [
        (2, "a: 0.3", "a: tune", "attack.rmia: these settings take at least 4 ref"),
        (
            2,
            "variance: auto",
            "variance: per_example",
            "attack.lira: these settings take at least 4",
        ),
        (0, "a: 0.3", "a: tune", "compares the target with reference models, but"),
    ],
)
def test_settings_that_take_more_models_stop_at_once(
    count: int, before: str, after: str, complaint: str, tmp_path: Path
) -> None:
    text = with_value("references.count", count)
    assert before in text
    assert complaint in message(tmp_path, text.replace(before, after))
    load_text(tmp_path, with_value("references.count", 4).replace(before, after))


def test_missing_file_is_named_with_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.yaml: not found; run from the root"):
        load_params(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("seed: [1", "not valid YAML: .*line 1"),
        ("seed: 1\ntrain:\n\tlr: 1", "not valid YAML: .*line 3"),
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
