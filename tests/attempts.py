"""Attempts to run code through a configuration."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

SOURCE = """
from pathlib import Path
from partigan.nets.tables import TableGenerator, TableCritic
from partigan.objectives.losses import Hinge
import torch
MARK = Path({mark!r})
MARK.touch()
class Evil(TableGenerator):
    def __init__(self, *args, **kwargs):
        MARK.touch()
        super().__init__()
class EvilLoss(Hinge):
    def __init__(self):
        MARK.touch()
class EvilAdam(torch.optim.Adam):
    def __init__(self, *args, **kwargs):
        MARK.touch()
def evil(*args, **kwargs):
    MARK.touch()
    return TableGenerator()
KIND = INSTANCE = Evil()
"""

SLOTS = [
    *("transform", "system", "system.generator", "system.critic", "system.objective", "system.generator_optimizer"),
    *("system.terms", "system.terms.a", "system.terms.a.term", "system.terms.a.annealing", "system.schedule"),
    *("system.networks", "system.networks.x", "system.phases", "system.phases.p.loss", "system.phases.p.optimizer"),
    *("system.phases.p.updates", "system.generator.latent", "system.generator.activation", "system.generator.more"),
    *("system.generator_optimizer.lr", "system.generator_optimizer.params", "trainer", "trainer.strategy"),
    *("trainer.accelerator", "trainer.rules", "trainer.rules.metric", "trainer.devices"),
]

WORDS = ("file", "relative file")
TEXTS = ("trainer.strategy", "trainer.accelerator", "trainer.rules.metric")  # take any word


def spec(path: str, /, **arguments: Any) -> dict[str, Any]:
    return {"class_path": path, "init_args": arguments}


def attempts(folder: Path, mark: Path) -> dict[str, Any]:
    """What could stand in the place of a value, by a name for messages."""
    touch = ["touch", str(mark)]
    evil = spec("evil.Evil")
    (folder / "plain").write_text(yaml.safe_dump(evil))
    (folder / "more.yaml").write_text(yaml.safe_dump(evil))
    inner = spec("torch.nn.ParameterDict", parameters={"a": evil})
    return {
        "path": "evil.Evil",
        "loss": "evil.EvilLoss",
        "optimiser": "evil.EvilAdam",
        "function": "evil.evil",
        "instance": "evil.INSTANCE",
        "mapping": evil,
        "function as a class": spec("evil.evil"),
        "instance as a class": spec("evil.INSTANCE"),
        "short": {"evil.Evil": {}},
        "colon": "evil:Evil",
        "in a list": [evil],
        "text of a mapping": "{class_path: evil.Evil}",
        "text of JSON": '{"class_path": "evil.Evil", "init_args": {}}',
        "text in a text": "'{class_path: evil.Evil}'",
        "text of a block": "class_path: evil.Evil\n",
        "text of a list": "[evil.Evil]",
        "tag": "!!python/object/apply:evil.evil []",
        "file": str(folder / "plain"),
        "relative file": "plain",
        "named file": "more.yaml",
        "at file": "@more.yaml",
        "reads a file": {"__path__": "more.yaml", "class_path": "evil.Evil"},
        "popen": spec("subprocess.Popen", args=touch),
        "system": spec("os.system", command=" ".join(touch)),
        "through an import": spec("partigan.training.session.subprocess.Popen", args=touch),
        "through an import, run": spec("partigan.training.session.subprocess.run", args=touch),
        "through torch": spec("torch.nn.modules.module.functools.partial", func="evil.evil"),
        "through torch.optim": spec("torch.optim.optimizer.functools.partial", func="evil.evil"),
        "through sys": spec("partigan.cli.sys.modules.subprocess.Popen", args=touch),
        "through a class": spec("partigan.nets.tables.TableGenerator.forward"),
        "through a base": spec("partigan.nets.tables.TableGenerator.__base__"),
        "two dots": spec("partigan..evil.Evil"),
        "a dot at the end": spec("evil.Evil."),
        "a space": spec("evil.Evil "),
        "a line": spec("partigan.nets.tables\n.TableGenerator"),
        "another name": spec("partigan.models.model.Generator"),
        "resolve_name": spec("partigan.commands.evaluate.resolve_name", name="evil:evil"),
        "import_module": spec("partigan.cli.import_module", name="evil"),
        "our function": spec("partigan.trust.class_named", path="evil.Evil", trust=True),
        "our command": spec("partigan.commands.train.train", config="toys", data="x", trust=True),
        "our loader": spec("partigan.models.model.load", path="x", trust=True),
        "a session": spec("partigan.training.session.Session", run="x", content={}),
        "a parser": spec("jsonargparse.ArgumentParser", default_config_files=["more.yaml"]),
        "import_object": spec("jsonargparse._util.import_object", name="evil.Evil"),
        "any argument": inner,
        "a container": spec("torch.nn.ModuleDict", modules={"a": evil}),
        "a sequence": spec("torch.nn.Sequential", args=[evil]),
        "in our arguments": spec("partigan.nets.tables.TableGenerator", latent=evil),
        "in our network": spec("partigan.nets.clouds.turning.TurningGenerator", generator=evil),
        "in our network's text": spec("partigan.nets.clouds.turning.TurningGenerator", generator=str(evil)),
        "in our container": spec("partigan.systems.system.SumOfLosses", losses={"a": evil}),
        "in our system": spec("partigan.systems.system.System", networks={"a": evil}, phases={}),
        "other arguments": {"class_path": "partigan.nets.tables.TableGenerator", "dict_kwargs": {"x": evil}},
        "more entries": {**spec("partigan.nets.tables.TableGenerator"), "config": "more.yaml"},
        "a class in torch.optim": spec("torch.optim.Optimizer", params=[], defaults={}),
        "a schedule of torch": spec("torch.optim.lr_scheduler.LambdaLR", optimizer=evil, lr_lambda="evil.evil"),
        "torch.hub": spec("torch.hub.load", repo_or_dir=str(folder), model="evil", source="local"),
        "torch.load": spec("torch.load", f=str(folder / "x.pt"), weights_only=False),
        "torch.jit": spec("torch.jit.load", f=str(folder / "x.pt")),
        "cpp": spec("torch.utils.cpp_extension.load", name="evil", sources=[]),
        "eval": spec("builtins.eval", source="__import__('evil')"),
        "a name of the parser": "Evil",
        "a name of the parser in a mapping": {"class_path": "Evil"},
        "a name of a loss": "EvilLoss",
        "a name of an optimiser": "EvilAdam",
        "an optimiser by its short name": {"class_path": "EvilAdam"},
        "arguments only": {"init_args": {"class_path": "evil.Evil"}},
        "a key": {"evil.Evil": None},
        "a key of text": {"{class_path: evil.Evil}": 1},
        "a path that is no text": {"class_path": ["evil.Evil"]},
        "a path in a path": {"class_path": evil},
        "bytes": b"evil.Evil",
        "an object": Path("evil.Evil"),
        "a link": {"class_path": "${oc.env:HOME}", "init_args": "${system.generator}"},
        "jsonnet": "local f = import 'more.yaml'; f",
    }


def put(content: dict[str, Any], slot: str, value: Any) -> dict[str, Any]:
    """A resolved configuration with one value replaced."""
    content = copy.deepcopy(content)
    *parents, last = slot.split(".")
    place: Any = content
    for name in parents:
        place = place.setdefault("init_args", {}) if "class_path" in place else place
        if not isinstance(place.get(name), dict):
            place[name] = {}
        place = place[name]
    (place.setdefault("init_args", {}) if "class_path" in place else place)[last] = value
    return content
