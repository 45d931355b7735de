"""The rules of the house, held against the code: arrows of docs/architecture.md, sizes, private names."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "partigan"
FILES = sorted(SOURCE.rglob("*.py"))
ELSEWHERE = sorted([*(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")])
LAYERS = re.search(
    r"## Arrows\n.*?```text\n(.*?)```", (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"), re.DOTALL
)
# Functions whose arguments are options of a user: commands, and constructors that a configuration names.
COMMANDS = ("commands", "simulate", "models/importing")


def module_of(path: Path) -> str:
    """Dotted name of a file of partigan."""
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path, everywhere: bool = True) -> set[str]:
    """Modules of partigan that a file imports; without ``everywhere`` only when it is imported itself."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.dump(block.test)
        for node in ast.walk(block)
    }
    nodes = ast.walk(tree) if everywhere else iter(tree.body)
    known = {module_of(file) for file in FILES}
    found = set()
    for node in nodes:
        if id(node) in typing:
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "partigan":
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if full in known else str(node.module))
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] == "partigan"}
    return found


def layers() -> dict[str, int]:
    """Height of each package and module, as docs/architecture.md draws them."""
    assert LAYERS is not None
    return {name: height for height, line in enumerate(LAYERS[1].splitlines()) for name in line.split()}


def room_of(module: str) -> str:
    """The package, or the module at the top, that a module belongs to."""
    return module.split(".")[1] if "." in module else "__init__"


def test_arrows_go_one_way() -> None:
    """No file imports from a room above its own; rooms of one layer do not know each other."""
    height = layers()
    rooms = {room_of(module_of(path)) for path in FILES} - {"__init__"}
    assert rooms == {*height}
    wrong = []
    for path in FILES:
        here = room_of(module_of(path))
        for module in imports(path):
            there = room_of(module)
            if "__init__" in (here, there) or here == there:
                continue
            if height[there] >= height[here]:
                wrong.append(f"{module_of(path)} imports {module}")
    assert not wrong, "\n".join(wrong)


def test_there_is_no_cycle_of_imports() -> None:
    graph = {module_of(path): imports(path, everywhere=False) for path in FILES}
    done: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " -> ".join((*way, module))
        if module not in done:
            for other in graph.get(module, set()) - {"partigan", module}:
                visit(other, (*way, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def test_what_uses_a_run_does_not_import_what_trains_one() -> None:
    """Lightning and all that it brings take seconds to import."""
    graph = {module_of(path): imports(path, everywhere=False) for path in FILES}
    for command in ("evaluate", "generate", "refine"):
        reached, new = set[str](), {f"partigan.commands.{command}"}
        while new:
            reached |= new
            new = set[str]().union(*(graph.get(module, set()) for module in new)) - reached
        assert not {module for module in reached if module.startswith("partigan.training.")} - {
            "partigan.training",
            "partigan.training.log",
        }


@pytest.mark.parametrize("path", [*FILES, *ELSEWHERE], ids=lambda path: str(path.relative_to(ROOT)))
def test_no_private_name_of_another_module_is_used(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    modules: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("partigan"):
            private = [alias.name for alias in node.names if alias.name.startswith("_") and alias.name != "__version__"]
            assert not private, f"{path}: {private} of {node.module}"
            modules |= {alias.asname or alias.name for alias in node.names if alias.name.islower()}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            assert not re.match("_[a-z]", node.attr), f"{path}:{node.lineno}: {node.value.id}.{node.attr}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_files_and_functions_are_of_a_size_to_be_read(path: Path) -> None:
    """No file above 400 lines, no function with more than seven arguments but commands and constructors."""
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    command = str(path.relative_to(SOURCE)).startswith(COMMANDS)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef) and node.name != "__init__" and not (command and node.name[0] != "_"):
            names = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
            assert len([name for name in names if name not in ("self", "cls")]) <= 7, f"{path}: {node.name}"


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("*.py")), ids=lambda path: path.name)
def test_tests_do_not_import_each_other(path: Path) -> None:
    names = {file.stem for file in (ROOT / "tests").rglob("test_*.py")}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            assert node.module.split(".")[0] not in names | {"conftest"}
        elif isinstance(node, ast.Import):
            assert not {alias.name.split(".")[0] for alias in node.names} & (names | {"conftest"})
