"""Nobody's code runs without trust: every attempt here tries to leave a file behind."""

from __future__ import annotations

import inspect
import pickle
import pkgutil
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import h5py
import pytest
import torch
import yaml
from torch import nn

from attempts import SLOTS, SOURCE, TEXTS, WORDS, attempts, put, spec
from partigan import PartiganError
from partigan.config import build, read, resolve
from partigan.evaluation.own import own_metrics
from partigan.kinds import find, kind_of
from partigan.models.importing.mpgan import import_weights
from partigan.trust import OPTIMISERS, ROLES, class_named


@pytest.fixture
def mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file that all attempts try to make; `evil` can be imported."""
    mark = tmp_path / "mark"
    (tmp_path / "evil.py").write_text(SOURCE.format(mark=str(mark)))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield mark
    for name in [name for name in sys.modules if name.split(".")[0] == "evil"]:
        del sys.modules[name]


def ends(call: Callable[[], Any]) -> str | None:
    """The message of the `PartiganError` that a call ends in; None where it ends well."""
    try:
        call()
    except PartiganError as error:
        return str(error)
    return None


FEW = ("transform", "system.generator", "system.objective", "system.generator_optimizer", "system.networks.x")


@pytest.mark.parametrize("imported", [False, True])
def test_no_value_in_no_place_runs_code(tmp_path: Path, mark: Path, imported: bool) -> None:
    """Also where somebody's module is imported already, so that the parser knows its classes by name."""
    if imported:
        import_module("evil")
    mark.unlink(missing_ok=True)
    content = resolve(read("toys"))
    for name, value in attempts(tmp_path, mark).items():
        if imported != name.startswith("a name of"):
            continue
        for slot in FEW if imported else SLOTS:
            tried = put(content, slot, value)
            ways = [lambda tried=tried: build(tried)]
            ways += [lambda tried=tried: build(resolve(read(tried)))] * (slot in FEW and not imported)
            for way in ways:
                said = ends(way)
                assert not mark.exists(), f"{name} at {slot} ran"
                assert ("evil" in sys.modules) == imported, f"{name} at {slot} was imported"
                harmless = name in WORDS and slot in TEXTS
                assert said is not None or harmless, f"{name} at {slot} was accepted"
                assert said is None or "\n" not in said, f"{name} at {slot}: {said}"


@pytest.mark.parametrize("option", ["system.generator.latent", "system.generator.x.y", "system.terms.a.term.x"])
def test_options_import_nothing(mark: Path, option: str) -> None:
    """A class is not imported to learn the names of its arguments."""
    for network in ("evil.Evil", {"evil.Evil": {}}, spec("evil.Evil")):
        config = {"base": "toys", "system": {"generator": network, "terms": {"a": {"term": network}}}}
        assert ends(lambda config=config: resolve(read(config, {option: "3"}))) is not None
        assert ends(lambda network=network: resolve(read("toys", {option: yaml.safe_dump(network)}))) is not None
    assert not mark.exists()
    assert "evil" not in sys.modules


@pytest.mark.parametrize(
    "text",
    [
        "system: !!python/object/apply:evil.evil []",
        "system: !!python/name:evil.evil",
        "system: !!python/module:evil",
        "!!python/object/new:evil.Evil {}",
        "base: evil.yaml",
        "base: [evil.Evil]",
        "base: {class_path: evil.Evil}",
        "kind: evil.KIND",
        "kind: [evil.KIND]",
        "about: {title: {class_path: evil.Evil}}\nbase: toys\nsystem: {generator: evil.Evil}",
    ],
)
def test_no_file_of_options_runs_code(tmp_path: Path, mark: Path, text: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)

    def use() -> None:
        content = read(str(tmp_path / "mine.yaml"))
        find(content["kind"])
        build(resolve(content))

    assert ends(use) is not None
    assert not mark.exists()
    assert "evil" not in sys.modules


def test_kinds_and_metrics_by_import_path_need_trust(tmp_path: Path, mark: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.attrs["kind"] = "evil.KIND"
    paths = ("evil.KIND", "evil:KIND", "evil.evil", "partigan.training.session.subprocess.run", "os.system", "evil")
    for path in (*paths, "partigan.kinds.jets.JetFormat", ["evil.KIND"], {"evil.KIND": 1}, None, 3):
        assert ends(lambda path=path: find(path)) is not None
    assert ends(lambda: kind_of(tmp_path / "x.h5")) is not None
    for path in ("evil.evil", "os.system", "partigan.evaluation.own.resolve_name"):
        assert ends(lambda path=path: own_metrics([path], trust=False)) is not None
    assert not mark.exists()
    assert "evil" not in sys.modules


class Touching:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_weights_of_others_are_not_unpickled(tmp_path: Path, mark: Path) -> None:
    arguments = {"model": "mpgan", "jets": "g", "num_hits": 30, "coords": "polarrel", "norm": 1, "sd": 0.2}
    arguments |= {"leaky_relu_alpha": 0.2, "fully_connected": True, "sum": True, "hidden_node_size": 4}
    arguments |= {"latent_node_size": 4, "fe": [4], "fn": [4], "mp_iters_gen": 2, "node_feat_size": 3}
    (tmp_path / "args.txt").write_text(str(arguments))
    torch.save({"a": Touching(mark)}, tmp_path / "zip.pt")
    torch.save({"a": Touching(mark)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    (tmp_path / "raw.pt").write_bytes(pickle.dumps(Touching(mark)))
    torch.jit.script(nn.Linear(1, 1)).save(str(tmp_path / "jit.pt"))
    for name in ("zip.pt", "old.pt", "raw.pt", "jit.pt"):
        assert ends(lambda name=name: import_weights(tmp_path / name, tmp_path / "args.txt", tmp_path / "out"))
    torch.save({}, tmp_path / "good.pt")
    for text in ("__import__('evil').evil()", "[c for c in ().__class__.__base__.__subclasses__()]", "(" * 5000, "{}"):
        (tmp_path / "args.txt").write_text(text)
        assert ends(lambda: import_weights(tmp_path / "good.pt", tmp_path / "args.txt", tmp_path / "out"))
    assert not mark.exists()
    assert "evil" not in sys.modules


def modules() -> list[Any]:
    """The modules of partigan that are imported here, all those with a role, and torch's."""
    for home in ROLES:
        package = import_module(home)
        for found in pkgutil.walk_packages(package.__path__, f"{home}."):
            import_module(found.name)
    ours = [module for name, module in sorted(sys.modules.items()) if name.split(".")[0] == "partigan"]
    return [*ours, nn, torch.optim]


def reachable(known: list[Any]) -> Iterator[str]:
    """Every dotted path from a module, through what it imports and its classes, two public levels deep."""
    seen = set()
    for module in known:
        for name, found in vars(module).items():
            path = f"{module.__name__}.{name}"
            yield path
            if (inspect.ismodule(found) or inspect.isclass(found)) and id(found) not in seen:
                seen.add(id(found))
                yield from (f"{path}.{inner}" for inner in vars(found) if not inner.startswith("_"))


def test_nothing_that_can_be_reached_is_a_class_but_those_with_a_role() -> None:
    bases = tuple(base for bases in ROLES.values() for base in bases)
    known = modules()
    before, found = {*sys.modules}, set()
    for path in reachable(known):
        try:
            made = class_named(path)
        except PartiganError:
            continue
        assert inspect.isclass(made), path
        assert not inspect.isabstract(made), path
        ours = f"{made.__module__}.{made.__qualname__}" == path and issubclass(made, bases)
        assert ours or (issubclass(made, torch.optim.Optimizer) and path.removeprefix("torch.optim.") in OPTIMISERS)
        found.add(path)
    assert all(name.startswith("partigan.") for name in {*sys.modules} - before)
    assert len(found) > 80


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("partigan.nets.tables.TableCritic", True),
        ("torch.optim.Adam", True),
        ("torch.optim.Optimizer", False),
        ("torch.optim.adam.Adam", False),
        ("torch.nn.Linear", False),
        ("partigan.nets.contracts.Generator", False),  # abstract
        ("partigan.nets.images.residual.ResidualStack", False),  # takes functions
        ("partigan.nets.clouds.mdma.Generator", False),  # defined elsewhere
        ("partigan.nets.clouds.mean_field.MeanFieldBlock", False),  # no role
        ("partigan.systems.system.Phase", False),
        ("partigan.training.session.Session", False),
        ("partigan.trust.class_named", False),
        ("tests.helpers.ToyCritic", False),
        ("helpers.ToyCritic", False),
        ("TableCritic", False),
        ("", False),
    ],
)
def test_a_class_may_be_named_by_what_it_is_and_not_by_its_path(path: str, named: bool) -> None:
    assert (ends(lambda: class_named(path)) is None) == named


@pytest.mark.parametrize("path", ["partigan.nets.clouds.mdma.Renamed", "partigan.nets.renamed.Critic"])
def test_a_run_of_another_version_is_said_to_need_its_training_again(path: str) -> None:
    for trust in (False, True):
        with pytest.raises(PartiganError, match=rf"{path}.*train a run of another version of partigan again"):
            class_named(path, trust)
