"""The command `trustmia`."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from trustmia import __version__
from trustmia import program as entry
from trustmia.program import OneLineParser


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and run the command."""

    def command() -> None:
        options = parser().parse_args(arguments)
        options.run(options)

    entry.run("trustmia", command)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    result = OneLineParser(
        prog="trustmia",
        description="Can a membership inference attack be trusted? "
        "The experiment itself runs with `dvc repro`.",
    )
    result.add_argument("--version", action="version", version=__version__)
    commands = result.add_subparsers(required=True, metavar="COMMAND")
    _add_audit(commands)
    _add_fetch(commands)
    _add_results(commands)
    _add_export(commands)
    _add_import(commands)
    _add_compare_paper(commands)
    _add_study(commands)
    _add_compare(commands)
    _add_report(commands)
    return result


Commands: TypeAlias = "argparse._SubParsersAction[OneLineParser]"


def _add_audit(commands: Commands) -> None:
    command = commands.add_parser(
        "audit",
        help="run attacks on what any classifiers say",
        description="Attacks on prediction scores (--shadow and --target), or attacks that "
        "compare one model with others (--signals).",
    )
    command.add_argument(
        "--shadow",
        type=Path,
        metavar="FILE",
        help="scores of a model whose membership is known (NPZ, CSV or Parquet)",
    )
    command.add_argument(
        "--target",
        type=Path,
        metavar="FILE",
        help="scores of the model under audit, with a column `set`",
    )
    command.add_argument(
        "--signals",
        type=Path,
        metavar="PATH",
        help="logits or scores of many models (NPZ, or a folder, also of the published LiRA "
        "code or of Privacy Meter)",
    )
    command.add_argument(
        "--out", type=_folder, required=True, metavar="DIR", help="where results go"
    )
    command.add_argument(
        "--attacks",
        metavar="NAME,…",
        help="attacks to run (default: threshold,entropy,salem; with --signals "
        "lira,rmia,loss,difficulty)",
    )
    command.add_argument(
        "--salem-k",
        type=int,
        metavar="K",
        help="largest scores that the Salem attack sees (default: 3, or 2 of two classes; not with "
        "--signals)",
    )
    command.add_argument("--seed", type=int, default=42, help="(default: %(default)s)")
    command.add_argument(
        "--resamples",
        type=int,
        default=1000,
        metavar="N",
        help="bootstrap resamples for the intervals; 0 for none (default: %(default)s)",
    )
    signals = command.add_argument_group("with --signals")
    signals.add_argument(
        "--target-index",
        type=int,
        metavar="I",
        help="which of the models is under audit; the others are its reference models (default: 0)",
    )
    signals.add_argument(
        "--lira-variance",
        choices=("per_example", "global", "auto", "both"),
        help="variance of LiRA's Gaussians; auto: global below 64 models (default: both)",
    )
    signals.add_argument(
        "--rmia-a",
        type=_number_or_tune,
        metavar="A",
        help="a of RMIA, or `tune`: chosen on a reference model (default: 0.3)",
    )
    signals.add_argument(
        "--rmia-gamma",
        type=float,
        metavar="G",
        help="γ of RMIA (default: 1)",
    )
    command.set_defaults(run=_audit)


def _audit(options: argparse.Namespace) -> None:
    from trustmia.errors import UserError

    pair = [options.shadow, options.target]
    if (options.signals is None) != all(pair) or (options.signals is not None and any(pair)):
        raise UserError("audit: give --shadow and --target, or --signals alone")
    _refuse_options_of_the_other(options)
    default = "threshold,entropy,salem" if options.signals is None else "lira,rmia,loss,difficulty"
    attacks = default if options.attacks is None else options.attacks
    names = [name.strip() for name in attacks.split(",") if name.strip()]
    if options.signals is None:
        _audit_scores(options, names)
    else:
        _audit_signals(options, names)


# Options of `audit` that belong to one of its two forms, and what they are if not given.
OF_SCORES = {"salem_k": None}
OF_SIGNALS = {"target_index": 0, "lira_variance": "both", "rmia_a": 0.3, "rmia_gamma": 1.0}


def _refuse_options_of_the_other(options: argparse.Namespace) -> None:
    from trustmia.errors import UserError

    with_signals = options.signals is not None
    for name in OF_SCORES if with_signals else OF_SIGNALS:
        if getattr(options, name) is not None:
            here, there = ("with", "without") if with_signals else ("without", "with")
            flag = f"--{name.replace('_', '-')}"
            raise UserError(f"audit: {flag} means nothing {here} --signals; allowed: {there} it")
    for name, default in {**OF_SCORES, **OF_SIGNALS}.items():
        if getattr(options, name) is None:
            setattr(options, name, default)


def _folder(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("got nothing; allowed: a folder, or a new name")
    return Path(text)


def _audit_scores(options: argparse.Namespace, names: list[str]) -> None:
    from trustmia.commands.audit_scores import audit

    shadow, target, out = options.shadow, options.target, options.out
    seed, resamples = options.seed, options.resamples
    print(audit(shadow, target, out, names, options.salem_k, seed, resamples))


def _audit_signals(options: argparse.Namespace, names: list[str]) -> None:
    from trustmia.attacks.reference import ReferenceSettings
    from trustmia.commands.audit_signals import audit_signals

    tune = options.rmia_a == "tune"
    a = ReferenceSettings.rmia_a if tune else options.rmia_a
    settings = ReferenceSettings(options.lira_variance, a, options.rmia_gamma)
    target, out = options.target_index, options.out
    print(
        audit_signals(
            options.signals, target, names, out, settings, options.resamples, options.seed, tune
        )
    )


def _number_or_tune(text: str) -> float | str:
    if text == "tune":
        return text
    try:
        return float(text)
    except ValueError as error:
        message = f"got {text!r}; allowed: a number from 0 to 1, or tune"
        raise argparse.ArgumentTypeError(message) from error


def _add_fetch(commands: Commands) -> None:
    command = commands.add_parser(
        "fetch", help="get data sets and weights from their publishers and verify them"
    )
    command.add_argument("names", nargs="*", metavar="NAME", help="e.g. cifar10 stl10")
    command.add_argument("--all", action="store_true", help="all that params.yaml needs")
    command.add_argument(
        "--mirror", metavar="URL", help="where files have their published names, e.g. a server"
    )
    command.add_argument(
        "--archive",
        type=Path,
        action="append",
        default=[],
        metavar="PATH",
        help="file already downloaded, or a folder of them; may be repeated",
    )
    command.set_defaults(run=_fetch)


def _fetch(options: argparse.Namespace) -> None:
    from trustmia import paths
    from trustmia.commands.fetch import NAMES, fetch, needed
    from trustmia.datasets.fetching import FetchRequest
    from trustmia.errors import UserError
    from trustmia.params import load_params

    if bool(options.names) == options.all:
        raise UserError(f"fetch: give --all, or names: {', '.join(NAMES)}")
    names = needed(load_params()) if options.all else options.names
    fetch(names, FetchRequest(paths.DOWNLOADS, options.mirror, tuple(options.archive)))


def _add_results(commands: Commands) -> None:
    command = commands.add_parser("results", help="print the result table of the last run")
    command.add_argument(
        "--format",
        choices=("simple", "github"),
        default="simple",
        help="table style (default: %(default)s)",
    )
    command.add_argument(
        "--update",
        type=Path,
        metavar="FILE",
        help="write the tables into this Markdown file, between its markers",
    )
    command.set_defaults(run=_results)


def _results(options: argparse.Namespace) -> None:
    from trustmia.report import readme

    if options.update:
        readme.update(options.update)
    else:
        print(readme.result_table(options.format))


def _add_export(commands: Commands) -> None:
    command = commands.add_parser(
        "export-models", help="keep the last run's models as pretrained checkpoints in models/"
    )
    command.add_argument("name", help="name of the classifier pair, e.g. standard")
    command.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> None:
    from trustmia.commands.export_models import export_models

    for place in export_models(options.name):
        print(place)


def _add_import(commands: Commands) -> None:
    command = commands.add_parser(
        "import-checkpoints", help="turn the paper's published checkpoints into this project's"
    )
    command.add_argument("archive", type=Path, metavar="ZIP", help="e.g. pretrained_models.zip")
    command.set_defaults(run=_import)


def _import(options: argparse.Namespace) -> None:
    from trustmia import paths
    from trustmia.paper.checkpoints import import_checkpoints

    for place in import_checkpoints(options.archive, paths.PRETRAINED_CLASSIFIERS):
        print(place)
    print("train.source=pretrained uses them. To version them: `dvc add models`, `dvc push`")


def _add_compare_paper(commands: Commands) -> None:
    command = commands.add_parser(
        "compare-paper", help="set the last run beside the paper's published table"
    )
    command.add_argument(
        "--format",
        choices=("simple", "github"),
        default="simple",
        help="table style (default: %(default)s)",
    )
    command.add_argument("--out", type=Path, metavar="FILE", help="also write it as CSV")
    command.set_defaults(run=_compare_paper)


def _compare_paper(options: argparse.Namespace) -> None:
    from trustmia.paper.comparison import compare_paper
    from trustmia.params import load_params

    print(compare_paper(load_params(), options.format, options.out))


def _add_study(commands: Commands) -> None:
    command = commands.add_parser(
        "study",
        help="run variants of the experiment with several seeds",
        description="DVC experiments VARIANT-sSEED through DVC's queue; what ran before on this "
        "commit is not run again.",
    )
    command.add_argument(
        "--config",
        type=Path,
        default=Path("studies/default.yaml"),
        metavar="FILE",
        help="variants, seeds and stages (default: %(default)s)",
    )
    command.add_argument(
        "--jobs",
        type=int,
        default=1,
        metavar="N",
        help="experiments at the same time (default: %(default)s)",
    )
    command.add_argument(
        "--out",
        type=Path,
        default=Path("study"),
        metavar="DIR",
        help="where the tables go (default: %(default)s)",
    )
    command.set_defaults(run=_study)


def _study(options: argparse.Namespace) -> None:
    from trustmia.commands.study import study

    def say(message: str) -> None:
        print(message, flush=True)

    study(options.config, options.jobs, options.out, say)


def _add_compare(commands: Commands) -> None:
    command = commands.add_parser(
        "compare",
        help="set experiments side by side",
        description="Mean ± 95% interval (Student's t) over the seeds of experiments that differ "
        "in their seed alone.",
    )
    command.add_argument(
        "--experiments",
        metavar="NAME,…",
        help="experiments, or variants with all their seeds (default: all)",
    )
    command.add_argument(
        "--all", action="store_true", help="of all commits rather than the current one"
    )
    command.add_argument(
        "--sort", metavar="METRIC", help="e.g. ece, salem.precision or salem.fpr.fake; rising"
    )
    command.add_argument("--descending", action="store_true", help="falling instead")
    command.add_argument("--csv", type=Path, metavar="FILE", help="also write it, in long form")
    command.add_argument("--markdown", type=Path, metavar="FILE", help="also write its tables")
    command.set_defaults(run=_compare)


def _compare(options: argparse.Namespace) -> None:
    from trustmia.commands.compare import Sorting, compare

    names = options.experiments
    wanted = None if names is None else [n.strip() for n in names.split(",") if n.strip()]
    sorting = Sorting(options.sort, options.descending)
    print(compare(wanted, options.all, sorting, options.csv, options.markdown))


def _add_report(commands: Commands) -> None:
    command = commands.add_parser("report", help="say where the report is, or open it")
    command.add_argument("--open", action="store_true", help="open it in a browser")
    command.add_argument("--out", type=Path, metavar="FILE", help="also copy it to this file")
    command.set_defaults(run=_report)


def _report(options: argparse.Namespace) -> None:
    from trustmia.commands.report import find_report

    print(find_report(options.open, options.out))


if __name__ == "__main__":
    main()
