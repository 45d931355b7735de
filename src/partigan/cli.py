"""The command line: a thin skin over functions that are importable from `partigan` too."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser, Namespace

from partigan import __version__
from partigan.arguments import add_options, configured, files, named, without_trainer
from partigan.blame import own_code, said
from partigan.cluster import on_cluster
from partigan.errors import PartiganError, printable

Run = Callable[[Namespace], object]
Command = Callable[[ArgumentParser, list[str]], Run]


def main(arguments: list[str] | None = None) -> None:
    """Run a command; an error that the user can mend is one line on standard error and exit status 2."""
    arguments = [_underscored(argument) for argument in (sys.argv[1:] if arguments is None else arguments)]
    debug = "--debug" in arguments
    os.environ["MPLBACKEND"] = "agg"  # which reports draw with; a notebook's need not be installed here
    try:
        _dispatch([argument for argument in arguments if argument != "--debug"])
    except KeyboardInterrupt:
        again = "" if "evaluate" in arguments[:1] else "; what is finished is kept: resume with --resume"
        _fail(f"interrupted{again}", 130)
    except BrokenPipeError:  # who read the output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except PartiganError as error:
        if debug:
            raise
        _fail(str(error), 2)
    except Exception as error:
        if debug:
            raise
        if own_code(error):
            _fail(f"your code fails: {said(error)}; --debug shows where", 2)
        _fail(f"unexpected {type(error).__name__}: {error}; --debug shows where, please report it", 1)


def _underscored(argument: str) -> str:
    """``--pt-window`` is ``--pt_window``; values are left alone."""
    name, equals, value = argument.partition("=")
    return "--" + name[2:].replace("-", "_") + equals + value if name.startswith("--") else argument


def _fail(message: str, status: int) -> None:
    print(f"partigan: {printable(message)}", file=sys.stderr)
    sys.exit(status)


def _dispatch(arguments: list[str]) -> None:
    arguments = list(arguments)
    top = _parser("Adversarial fast simulation in particle physics: simulate, train, evaluate, generate.")
    top.add_argument("--version", action="version", version=f"partigan {__version__}")
    top.add_argument("--debug", action="store_true", help="show the traceback of an error")
    run, chosen = _add(top, _COMMANDS, arguments)
    try:
        options = top.parse_args(arguments or ["--help"])
    except ArgumentError as error:
        from partigan.parsing import readable

        raise readable(error, chosen) from error
    while isinstance(options.get("command"), str):
        options = options[options.command]
    if run is not None:
        with on_cluster(options.pop("cluster", None)), _as_parts(options.pop("parts", False)):
            run(options)


def _as_parts(wanted: bool) -> AbstractContextManager[None]:
    """`in_parts`, which is imported where it is asked for."""
    if not wanted:
        return nullcontext()
    from partigan.simulate.chunks import in_parts

    return in_parts()


def _add(parser: ArgumentParser, commands: _Commands, arguments: list[str]) -> tuple[Run | None, ArgumentParser]:
    """Add subcommands; only the one that is called gets its options, so that nothing else is imported.

    A command is a function of its parser and of the arguments that follow, from which it may take some out.
    """
    run, chosen = None, parser
    subcommands = parser.add_subcommands(dest="command")
    for name, (description, command) in commands.items():
        child = _parser(description)
        subcommands.add_subcommand(name, child, help=description)
        if arguments[:1] == [name]:
            following = arguments[1:]
            if isinstance(command, dict):
                run, chosen = _add(child, command, following)
            else:
                run, chosen = command(child, following), child
            arguments[1:] = following
    return run, chosen


def _parser(description: str) -> ArgumentParser:
    return ArgumentParser(exit_on_error=False, allow_abbrev=False, description=description)


def _simulate_jets(parser: ArgumentParser, _: list[str]) -> Run:
    from partigan.simulate.jets import simulate_jets

    add_options(parser, simulate_jets, "set")
    parser.add_argument(
        "--set",
        action="extend",
        nargs="+",
        default=[],
        metavar="SETTING",
        help='Pythia settings: "Pythia:setting = value"',
    )
    return lambda options: simulate_jets(**vars(options))


def _plain(module: str, name: str, **positional: str) -> Command:
    """The command of a function whose options are its arguments; positional ones come with their help."""

    def command(parser: ArgumentParser, _: list[str]) -> Run:
        function = getattr(import_module(f"partigan.{module}"), name)
        for argument, text in positional.items():
            parser.add_argument(argument, type=Path, help=text)
        add_options(parser, function, *positional)
        return lambda options: function(**vars(options))

    return command


def _train(parser: ArgumentParser, arguments: list[str]) -> Run:
    from partigan.commands.train import train

    start = _value(arguments, "--from")
    overrides = configured(parser, train, arguments, required=start is None)
    text = "fine-tune the networks of this run, with its normalisation; without --config, with its configuration"
    parser.add_argument("--from", metavar="RUN", help=text)
    parser.add_argument("--data", type=Path, required=True, metavar="FILE", help="file of training samples")
    others = _other_samples(parser, arguments, overrides)
    for name in others:
        text = f"file of the sample {name!r} that this configuration trains on, too"
        parser.add_argument(f"--{name}", type=Path, required=True, metavar="FILE", help=text)

    def run(options: Namespace) -> None:
        own = without_trainer(options)
        given = {name: own.pop(name) for name in ("data", *others)}
        train(start=own.pop("from"), **own, data=given, overrides=overrides)

    return run


def _value(arguments: list[str], option: str) -> str | None:
    """The value of an option, as ``--option value`` or ``--option=value``; None where it is not given."""
    words = [text for word in arguments for text in word.partition("=")[::2] if text]
    return words[words.index(option) + 1] if option in words[:-1] else None


def _other_samples(parser: ArgumentParser, arguments: list[str], overrides: dict[str, str]) -> list[str]:
    """Names of a configuration's samples beside ``data``; it is built only where options are left that may be such."""
    known = {action.dest for action in parser._actions} - {"help"}
    names = {word.removeprefix("--").partition("=")[0] for word in arguments if word.startswith("--")}
    config, start = _value(arguments, "--config"), _value(arguments, "--from")
    if names <= known or (config is None and start is None):
        return []
    from partigan.commands.train import sample_names

    return sorted(sample_names(config, overrides, "--trust" in arguments, start) - {"data"} - known)


def _fit_classifier(parser: ArgumentParser, arguments: list[str]) -> Run:
    from partigan.commands.fit_classifier import fit_classifier

    overrides = configured(parser, fit_classifier, arguments, required=False)
    text = "files of real samples, CLASS=FILE for each class, or one FILE with classes"
    parser.add_argument("--data", nargs="+", required=True, metavar="FILE", help=text)
    return lambda options: fit_classifier(
        **{**without_trainer(options), "data": files(options.data), "overrides": overrides}
    )


def _refine(parser: ArgumentParser, _: list[str]) -> Run:
    from partigan.commands.refine import refine

    parser.add_argument("run", type=Path, help="run directory of a refiner or translator")
    add_options(parser, refine, "run", "given", "backward")
    parser.add_argument("--in", type=Path, required=True, metavar="FILE", help="file of samples to change")
    parser.add_argument("--backward", action="store_true", help="the other way, where the run has one")

    def run(options: Namespace) -> None:
        own = vars(options)
        refine(given=own.pop("in"), **own)

    return run


def _evaluate(parser: ArgumentParser, _: list[str]) -> Run:
    from partigan.commands.evaluate import evaluate
    from partigan.evaluation.suite import DEFAULT, SUITE

    add_options(parser, evaluate, "metrics", "real", "fake")
    parser.add_argument("--real", type=Path, required=True, help="file of real samples")
    parser.add_argument("--fake", type=Path, help="file of generated samples; without one, --run makes some")
    known = f"all, protocol, names of the protocol's metrics, {', '.join(SUITE)}"
    parser.add_argument("--metrics", nargs="+", default=list(DEFAULT), metavar="NAME", help=known)
    return lambda options: evaluate(**vars(options))


def _compare(parser: ArgumentParser, _: list[str]) -> Run:
    from partigan.commands.compare import compare

    parser.add_argument("reports", nargs="+", type=Path, help="folders made by 'partigan evaluate'")
    add_options(parser, compare, "reports")
    return lambda options: compare(**vars(options))


def _benchmark_jets(parser: ArgumentParser, _: list[str]) -> Run:
    from partigan.commands.benchmark import benchmark_jets
    from partigan.evaluation.terminal import say

    add_options(parser, benchmark_jets, "presets", "classes", "data", "runs", "fpnd")
    parser.add_argument("--presets", nargs="*", default=[], help="systems to train")
    parser.add_argument("--classes", nargs="+", default=["g", "q", "t"], help="classes of jets")
    parser.add_argument("--data", nargs="*", default=[], metavar="CLASS=FILE", help="files of real jets")
    parser.add_argument(
        "--runs", nargs="*", default=[], metavar="CLASS:NAME=RUN", help="finished runs to evaluate, too"
    )
    parser.add_argument("--fpnd", action="store_true", help="FPND against the published statistics of JetNet, too")

    def run(options: Namespace) -> None:
        runs: dict[str, dict[str, Path]] = {}
        for name, path in named(options.runs, "--runs", "g:mpgan=runs/mp_g").items():
            flavour, _, model = name.partition(":")
            runs.setdefault(flavour, {})[model or path.name] = path
        given = {**vars(options), "data": named(options.data, "--data", "g=g.h5"), "runs": runs}
        table = benchmark_jets(**given)
        say(*table.read_text(encoding="utf-8").splitlines())

    return run


def _list(parser: ArgumentParser, _: list[str]) -> Run:
    from partigan.commands.presets import list_presets

    return lambda options: list_presets()


_Commands = dict[str, tuple[str, Any]]
_COMMANDS: _Commands = {
    "simulate": (
        "make training data with real generators",
        {
            "jets": ("jets with Pythia 8 and FastJet, in the JetNet layout", _simulate_jets),
            "pxd": (
                "background hitmaps of the pixel vertex detector of Belle II",
                _plain("simulate.pxd", "simulate_pxd"),
            ),
            "pxd-pairs": (
                "pairs of images of that detector before and after a change, for translations",
                _plain("simulate.pxd_pairs", "simulate_pxd_pairs"),
            ),
            "shower-pairs": ("coarse and fine showers", _plain("simulate.shower_pairs", "simulate_shower_pairs")),
            "traces": (
                "time traces of water-Cherenkov stations, of a simulation or of data",
                _plain("simulate.traces", "simulate_traces"),
            ),
            "airshower": (
                "maps of air showers on an array of stations",
                _plain("simulate.airshower", "simulate_airshower"),
            ),
            "calorimeter": ("showers in calorimeters", _plain("simulate.calorimeter", "simulate_calorimeter")),
            "cherenkov": ("particle identification, as tables", _plain("simulate.cherenkov", "simulate_cherenkov")),
            "toy": ("a toy distribution, as a table", _plain("simulate.toys", "simulate_toy")),
            "digits": ("scikit-learn's handwritten digits, as images", _plain("simulate.digits", "simulate_digits")),
        },
    ),
    "train": ("train a system of the literature, or one of your own", _train),
    "fit-classifier": (
        "train a classifier of real samples, with which 'evaluate' takes FID, KID, inception score and FPND",
        _fit_classifier,
    ),
    "generate": (
        "generate samples with a trained run",
        _plain("commands.generate", "generate", run="run directory, or a run that comes with partigan: pxd-fast"),
    ),
    "refine": ("change samples with a trained refiner or translator", _refine),
    "evaluate": ("compare a generated sample with a real one", _evaluate),
    "compare": ("put several reports of 'evaluate' side by side", _compare),
    "benchmark": (
        "train and compare several systems on the same data",
        {"jets": ("jets, with the tables of MPGAN and MDMA", _benchmark_jets)},
    ),
    "import-weights": (
        "turn weights that authors published into a run directory",
        {
            "mpgan": (
                "generators of MPGAN and its baselines, arXiv:2106.11535",
                _plain(
                    "models.importing.mpgan",
                    "import_weights",
                    weights="the authors' G_best_epoch.pt",
                    arguments="their args.txt",
                ),
            )
        },
    ),
    "import-table": ("a table of columns of CSV, Parquet or ROOT files", _plain("commands.tables", "import_table")),
    "export-table": ("a table as CSV, Parquet or ROOT", _plain("commands.tables", "export_table", table="HDF5 file")),
    "export": (
        "a trained generator as C, ONNX, or for basf2",
        _plain("commands.export", "export", run="run directory"),
    ),
    "profile": ("measure how fast a run generates here", _plain("commands.profile", "profile", run="run directory")),
    "demo": ("small jobs", {"toys": ("every objective on a toy, in one figure", _plain("commands.demo", "demo_toys"))}),
    "smooth-weights": ("weights with less noise", _plain("commands.weights", "smooth_weights", table="HDF5 file")),
    "list": ("the presets, with paper, kind of data, parameters and status", _list),
}
