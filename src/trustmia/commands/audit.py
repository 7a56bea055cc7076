"""`trustmia audit`: attacks on what anybody's models say, by two doors into one house."""

import argparse
import contextlib
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import ValidationError, create_model

from trustmia import files
from trustmia.attacks import ATTACKS
from trustmia.attacks.base import Need, Refused
from trustmia.attacks.outcome import AttackRun
from trustmia.attacks.run import run_attacks
from trustmia.commands._audit_notes import notes_of_scores, notes_of_signals
from trustmia.errors import UserError
from trustmia.image_sets import HELD_OUT, MEMBERS
from trustmia.measures import views
from trustmia.measures.roc import draw_rocs, roc_curves, roc_table
from trustmia.measures.table import measure
from trustmia.settings import Section, described, explain
from trustmia.signals.container import Signals, read_score_files
from trustmia.signals.many_models import ManyModels, read_signals
from trustmia.yaml_files import parse_yaml

# Of more images than this, resampling takes minutes, and intervals are narrower than the
# differences between attacks that anybody would act on.
MOST_ROWS = 100_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = (
        "Attacks on prediction scores (--shadow and --target), or attacks that compare one model\n"
        "with others (--signals)."
    )
    parser.epilog = "settings of attacks, as attack.… in params.yaml:\n" + "\n".join(_settings())
    many = "(NPZ, or a folder, also of the published LiRA code or of Privacy Meter)"
    for option, metavar, what in (
        ("--shadow", "FILE", "scores of a model whose membership is known (NPZ, CSV or Parquet)"),
        ("--target", "FILE", "scores of the model under audit, with a column `set`"),
        ("--signals", "PATH", f"logits or scores of many models {many}"),
    ):
        parser.add_argument(option, type=Path, metavar=metavar, help=what)
    parser.add_argument(
        "--target-index",
        type=int,
        metavar="I",
        help="which of the models of --signals is under audit; the others are its reference "
        "models (default: 0)",
    )
    parser.add_argument(
        "--out", type=_folder, required=True, metavar="DIR", help="where results go"
    )
    parser.add_argument(
        "--attacks",
        metavar="NAME,…",
        help=f"attacks to run (default: {','.join(_possible(False))}; with --signals "
        f"{','.join(_possible(True))})",
    )
    parser.add_argument(
        "-S",
        "--set-param",
        action="append",
        default=[],
        metavar="NAME.KEY=VALUE",
        help="a setting of an attack, e.g. salem.k=5; repeatable",
    )
    parser.add_argument("--seed", type=int, default=42, help="(default: %(default)s)")
    parser.add_argument(
        "--resamples",
        type=int,
        default=1000,
        metavar="N",
        help="bootstrap resamples for the intervals; 0 for none (default: %(default)s)",
    )


def _folder(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("got nothing; allowed: a folder, or a new name")
    return Path(text)


def _possible(with_signals: bool) -> list[str]:
    """Return the attacks that a door allows."""
    return [n for n, a in ATTACKS.items() if a.always_needs(Need.SHADOW) != with_signals]


def _doors() -> str:
    scores, signals = (", ".join(_possible(door)) for door in (False, True))
    return f"{scores} with --shadow and --target, {signals} with --signals"


def _settings() -> Iterator[str]:
    for name, attack in ATTACKS.items():
        for key, (what, allowed, default) in described(attack.settings).items():
            text = f"{name}.{key}: {what} ({allowed}; default: {default})"
            yield textwrap.fill(text, 79, initial_indent="  ", subsequent_indent=" " * 6)


@dataclass(frozen=True)
class Order:
    """What is asked of an audit.

    Attributes:
        settings: Of each attack that is to run.
        out: Folder for the results, which need not exist.
        resamples: Resamples of the bootstrap; 0 for no intervals.
        seed: Seed of all random choices.
    """

    settings: Mapping[str, Section]
    out: Path
    resamples: int
    seed: int


def run(options: argparse.Namespace) -> None:
    """Print what the attacks reach."""
    pair = [options.shadow, options.target]
    if (options.signals is None) != all(pair) or (options.signals is not None and any(pair)):
        raise UserError("audit: give --shadow and --target, or --signals alone")
    if options.signals is None and options.target_index is not None:
        raise UserError("audit: --target-index means nothing without --signals; allowed: with it")
    names = _possible(options.signals is not None)
    if options.attacks is not None:
        names = [name.strip() for name in options.attacks.split(",") if name.strip()]
    _check(names, options)
    settings = read_settings(options.set_param, names)
    order = Order(settings, options.out, options.resamples, options.seed)
    if options.signals is None:
        print(audit_scores(options.shadow, options.target, order))
    else:
        print(audit_signals(options.signals, options.target_index or 0, order))


def _check(names: Sequence[str], options: argparse.Namespace) -> None:
    """Refuse options that no audit can work with."""
    for name in names:
        if name not in ATTACKS:
            raise UserError(f"--attacks: {name!r} is unknown; allowed: {', '.join(ATTACKS)}")
    if not names or len(set(names)) != len(names):
        problem = "none is named" if not names else "one is named twice"
        raise UserError(f"--attacks: {problem}; allowed: {', '.join(ATTACKS)}, once each")
    if not 0 <= options.seed < 2**63:
        raise UserError(f"--seed: got {options.seed}; allowed: 0 to 2**63 - 1")
    if not 0 <= options.resamples <= 10**6:
        raise UserError(f"--resamples: got {options.resamples}; allowed: 0 to 1000000")
    for place in (options.out, *options.out.parents):
        if place.exists() and not place.is_dir():
            raise UserError(f"--out: {place} is a file; allowed: a folder, or a new name")


def read_settings(given: Sequence[str], names: Sequence[str]) -> dict[str, Section]:
    """Return the settings of attacks: those that are given, or else their defaults.

    Args:
        given: `NAME.KEY=VALUE` each, the values in YAML.
        names: The attacks that are to run.

    Raises:
        UserError: One of them is no setting of these attacks, or out of range.
    """
    values: dict[str, dict[str, Any]] = {}
    for text in given:
        key, sign, value = text.partition("=")
        attack, _, setting = key.strip().removeprefix("attack.").partition(".")
        if not sign or not setting or not attack:
            raise UserError(f"-S: got {text!r}; allowed: NAME.KEY=VALUE, e.g. salem.k=5")
        if attack not in names:
            problem = "is not to run" if attack in ATTACKS else "is no attack"
            raise UserError(f"-S {key}: {attack} {problem}; {_settable(names)}")
        try:
            values.setdefault(attack, {})[setting] = parse_yaml(value)
        except ValueError as error:
            reason = str(error).replace(" in the file,", " at")
            raise UserError(f"-S {key}: got {value[:40]!r}, which is no YAML: {reason}") from error
    sections: dict[str, Any] = {
        name: (ATTACKS[name].settings, ATTACKS[name].settings()) for name in names
    }
    model = create_model("Settings", __base__=Section, **sections)
    try:
        settings = model.model_validate(values)
    except ValidationError as error:
        raise UserError(f"-S {explain(error.errors(), model)}") from error
    return dict(settings)


def _settable(names: Sequence[str]) -> str:
    having = [name for name in names if ATTACKS[name].settings.model_fields]
    if not having:
        return f"allowed: none, as {', '.join(names)} takes no settings"
    return f"allowed: settings of {', '.join(having)}"


def audit_scores(shadow: Path, target: Path, order: Order) -> str:
    """Run attacks on the score files of a shadow and of a target, and write the results.

    There are no intervals where the target was shown more than `MOST_ROWS` images.

    Returns:
        The result table, how the files were read, and where the results are.

    Raises:
        UserError: A setting or a file is wrong; nothing was written.
    """
    signals = read_score_files(shadow, target)
    assert signals.target is not None
    outcome = _run(signals, order)
    few = len(signals.target.member) <= MOST_ROWS
    finer = signals.target.finer is not None
    sets = signals.target.nonmember_sets() if finer else ()
    results = measure(outcome, order.resamples if few else 0, order.seed, against=sets)
    content: dict[str, Any] = {"shadow": str(shadow), "target": str(target), "notes": outcome.notes}
    if finer:
        content["ranking"] = views.rankings(results)
    nested = views.nested(results)
    with _folder_of_results(order.out) as fresh:
        files.write_json(fresh / "metrics.json", {**content, **nested})
        files.write_table(fresh / "attack_results.csv", views.paper_table(results), "%.6f")
        for attack, rocs in roc_curves(outcome).items():
            files.write_table(fresh / f"roc_{attack}.csv", roc_table(rocs), "%.7f")
            draw_rocs(fresh / f"roc_{attack}.png", f"{outcome.forms[attack].title} Attack", rocs)
    notes = notes_of_scores(signals, outcome, results, (shadow, target))
    if order.resamples and not few:
        notes.append(f"No intervals: the target has more than {MOST_ROWS:,} images.")
    notes.append(f"Read: shadow {shadow}, target {target}")
    notes.append(f"Written to {order.out}: attack_results.csv, metrics.json, roc_*.csv, roc_*.png")
    return "\n\n".join([views.decision_tables(results, "simple"), *notes])


def audit_signals(path: Path, target: int, order: Order) -> str:
    """Run attacks against one of many models, with the others as reference models.

    `path` holds signals in a form of `read_signals`; `target` is the index of the target model.

    Returns:
        A table for people, and where the files are.

    Raises:
        UserError: A setting or the input is wrong; nothing was written.
    """
    models = read_signals(path)
    if len(models.member) < 2:
        raise UserError("one model is no audit: reference models are needed beside the target")
    if not 0 <= target < len(models.member):
        last = len(models.member) - 1
        raise UserError(f"--target-index: got {target}; allowed: 0 to {last}")
    outcome = _run(Signals(models=models, target_index=target), order)
    results = measure(outcome, order.resamples, order.seed)
    with _folder_of_results(order.out) as fresh:
        content = _metrics(models, target, outcome) | {"attacks": views.ranking_entries(results)}
        files.write_json(fresh / "metrics.json", content)
        as_rows(outcome).to_parquet(fresh / "scores.parquet", index=False)
    audited = (
        f"Audited: {models.models[target]}, model {target} of 0 to {len(models.models) - 1} in "
        f"{models.source}"
    )
    tables = [f"{audited}\n{views.ranking_table(results, 'simple')}"]
    if models.sets:
        tables.append(views.rates_table(results, "simple"))
    notes = notes_of_signals(models, outcome, results)
    tuned = getattr(order.settings.get("rmia"), "a", None) == "tune"
    if tuned and (a := _rmia_a(outcome)) is not None:
        notes.append(f"RMIA's a, tuned on a reference model: {a}.")
    notes.append(f"Written to {order.out}: metrics.json, scores.parquet")
    return "\n\n".join([*tables, *notes])


def _run(signals: Signals, order: Order) -> AttackRun:
    try:
        return run_attacks(signals, list(order.settings), order.settings, order.seed)
    except Refused as error:
        if error.key != "methods":
            raise UserError(f"-S {error}") from error
        raise UserError(f"--attacks: {error.reason}; allowed: {_doors()}") from error


@contextlib.contextmanager
def _folder_of_results(out: Path) -> Iterator[Path]:
    """Yield a folder whose files get to `out` together, or not at all."""
    try:
        with files.all_or_nothing(out) as fresh:
            yield fresh
    except OSError as error:
        raise UserError(f"--out: cannot write to {out}: {error.strerror}") from error


def _metrics(models: ManyModels, target: int, outcome: AttackRun) -> dict[str, Any]:
    """Return what `metrics.json` says of the models and of how they were compared."""
    comparison = outcome.comparison
    assert comparison is not None
    member = models.member[target, models.audited]
    return {
        "signals": models.source,
        "target": models.models[target],
        "target_index": target,
        "num_models": len(models.member),
        "num_members": int(member.sum()),
        "num_nonmembers": int((~member).sum()),
        "num_without_spread": comparison.audited.without_spread(),
        "num_rounded": models.rounding.ends if models.rounding else 0,
        "models_left_out": comparison.left_out,
        "models_per_side": comparison.per_side and dict(zip(("in", "out"), comparison.per_side)),
        "rmia_a": _rmia_a(outcome),
    }


def _rmia_a(outcome: AttackRun) -> float | None:
    """Return the a that RMIA offline ran with; None if it did not run."""
    form = outcome.forms.get("rmia_offline")
    return form.learned["rmia_a"] if form else None


def as_rows(outcome: AttackRun) -> pd.DataFrame:
    """Return one row per image and form that scores it: `image`, `attack`, `score`, `member`."""
    parts = []
    for name, form in outcome.forms.items():
        rows = dict(form.groups)
        members = rows.pop(MEMBERS)
        audited = np.sort(np.concatenate([members, rows.pop(HELD_OUT)]))
        image = np.concatenate([audited, *rows.values()])
        member = np.isin(image, members)
        columns = {"image": image, "attack": name, "score": form.scores[image], "member": member}
        parts.append(pd.DataFrame(columns))
    scored = pd.concat(parts, ignore_index=True).dropna(subset="score", ignore_index=True)
    return scored.astype({"attack": "category"})
