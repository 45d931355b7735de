"""Python code that stands alone: the definitions that some classes need, of all modules, as one module.

The code is that of the classes themselves, so it stays true when they change. Definitions are followed by the names
that they use; of a class, methods stay whose names occur somewhere in what is kept. Annotations are left out. Two
definitions of one name get different ones.
"""

from __future__ import annotations

import ast
import builtins
import copy
import inspect
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from partigan.errors import PartiganError

BROUGHT = {*sys.stdlib_module_names, "torch", "numpy"}
"""Packages that the code may import."""
CALLED = {"forward"}  # by torch
Key = tuple[str, str]
"""Module and name of a definition."""


@dataclass(frozen=True)
class Bundle:
    """Code that stands alone.

    Attributes:
        code: of a module, without a docstring.
        names: of the definitions in it.
    """

    code: str
    names: dict[Key, str]

    def name(self, thing: Any) -> str:
        """What a class or function is called in the code."""
        return self.names[thing.__module__, thing.__qualname__]


def bundle(things: Sequence[Any], called: Sequence[str] = ()) -> Bundle:
    """The code of classes and functions with all that they need but Python, torch and numpy.

    Args:
        things: classes and functions at the top of their modules.
        called: names of methods that are called from outside.

    Raises:
        PartiganError: one needs another package, or imports a module as a whole.
    """
    house = _House({thing.__module__.split(".")[0] for thing in things} | {"partigan"})
    kept = _Kept(words={*called})
    new = {house.home((thing.__module__, thing.__qualname__)) for thing in things}
    while new:
        kept.keys |= new
        found: set[Key] = set()
        for key in kept.keys:
            if (statement := house.statement(key)) is not None:
                uses = _Uses(_slim(statement, kept.words))
                _refuse_foreign(uses.imported, key[0])
                kept.words |= uses.words
                found |= {house.home((key[0], name.id)) for name in uses.names if house.knows(key[0], name.id)}
        new = found - kept.keys
        if not new and kept.grown():  # more words: more methods
            new = {*kept.keys}
    names = _named(kept.keys)
    imports = sorted(_import(key, names[key]) for key in kept.keys if house.statement(key) is None)
    lines = ["\n".join(["from __future__ import annotations\n", *imports])]
    done: set[int] = set()
    for module in house.order(sorted({module for module, _ in kept.keys})):
        for name, statement in house.definitions(module).items():
            if (module, name) in kept.keys and id(statement) not in done:
                done.add(id(statement))
                lines.append(_written(statement, module, kept.words, house, names))
    return Bundle("\n\n\n".join(lines) + "\n", names)


@dataclass
class _Kept:
    """Definitions that are needed, and all words that name a method somewhere in them."""

    keys: set[Key] = field(default_factory=set)
    words: set[str] = field(default_factory=set)
    seen: int = 0

    def grown(self) -> bool:
        """Whether there are more words than when this was last asked."""
        before, self.seen = self.seen, len(self.words)
        return self.seen > before


class _House:
    """Modules whose code is taken; all others are imported.

    Args:
        packages: to which they belong.
    """

    def __init__(self, packages: set[str]) -> None:
        self.packages = packages
        self._trees: dict[str, ast.Module] = {}
        self._definitions: dict[str, dict[str, ast.stmt]] = {}
        self._imports: dict[str, dict[str, Key]] = {}

    def _read(self, module: str) -> None:
        if module in self._trees:
            return
        self._trees[module] = tree = ast.parse(inspect.getsource(import_module(module)))
        definitions: dict[str, ast.stmt] = {}
        imports: dict[str, Key] = {}
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                definitions[node.name] = node
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                definitions |= {
                    name.id: node for each in targets for name in ast.walk(each) if isinstance(name, ast.Name)
                }
            elif isinstance(node, ast.Import):
                imports |= {each.asname or each.name: (each.name, "") for each in node.names}
            elif isinstance(node, ast.ImportFrom):
                imports |= {each.asname or each.name: (str(node.module), each.name) for each in node.names}
        self._definitions[module], self._imports[module] = definitions, imports

    def definitions(self, module: str) -> dict[str, ast.stmt]:
        """What a module defines, in its order; nothing of modules that are imported."""
        if module.split(".")[0] not in self.packages:
            return {}
        self._read(module)
        return self._definitions[module]

    def statement(self, key: Key) -> ast.stmt | None:
        """The definition; None of what is imported."""
        return self.definitions(key[0]).get(key[1])

    def knows(self, module: str, name: str) -> bool:
        """Whether a module defines or imports a name."""
        return name in self.definitions(module) or name in self._imports[module]

    def home(self, key: Key) -> Key:
        """Where a name is defined that a module has, or how it is imported.

        Raises:
            PartiganError: it is of a package that may not be needed, or a module of the house.
        """
        module, name = key
        if name in self.definitions(module):
            return key
        place = self._imports[module][name]
        if place[0].split(".")[0] not in self.packages:
            _refuse_foreign({place[0]}, module)
            return place
        if not place[1] or not (place[1] in self.definitions(place[0]) or place[1] in self._imports[place[0]]):
            raise PartiganError(f"{module} imports {name} as a module")
        return self.home(place)

    def order(self, modules: Sequence[str]) -> list[str]:
        """Modules with those before them that they import, directly or by others."""
        found: list[str] = []
        seen: set[str] = set()

        def visit(module: str) -> None:
            if module in seen or module.split(".")[0] not in self.packages:
                return
            seen.add(module)
            self._read(module)
            for other, _ in self._imports[module].values():
                visit(other)
            found.append(module)

        for module in modules:
            visit(module)
        return [module for module in found if module in modules]


def _refuse_foreign(imported: set[str], module: str) -> None:
    """Raise for what is not brought."""
    if foreign := sorted({name.split(".")[0] for name in imported} - BROUGHT):
        raise PartiganError(f"{module} needs {foreign[0]}")


class _Uses(ast.NodeVisitor):
    """What a statement uses of its module.

    Args:
        statement: at the top of a module, without annotations.

    Attributes:
        names: nodes that stand for names of the module.
        words: attributes, and texts that may name one.
        imported: modules that it imports itself.
    """

    def __init__(self, statement: ast.stmt) -> None:
        self.names: list[ast.Name] = []
        self.words: set[str] = set()
        self.imported: set[str] = set()
        self._scopes: list[tuple[bool, set[str]]] = []  # of a class, and names bound in it
        self.visit(statement)

    def visit_Name(self, node: ast.Name) -> None:
        """A name of a function, of a class, or of the module."""
        scopes = [bound for number, (of_class, bound) in enumerate(self._scopes[::-1]) if number == 0 or not of_class]
        if not any(node.id in bound for bound in scopes):
            self.names.append(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """An attribute."""
        self.words.add(node.attr)
        self.visit(node.value)

    def visit_Constant(self, node: ast.Constant) -> None:
        """A text may be the name of an attribute."""
        if isinstance(node.value, str) and node.value.isidentifier():
            self.words.add(node.value)

    def visit_Import(self, node: ast.Import) -> None:
        """An import inside a function."""
        self.imported |= {each.name for each in node.names}

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """The same of names."""
        self.imported.add(str(node.module))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """A function."""
        self._function(node, [*node.decorator_list, *_defaults(node.args)], node.body)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        """A function without a name."""
        self._function(node, _defaults(node.args), [node.body])

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """A class."""
        for each in (*node.decorator_list, *node.bases, *node.keywords):
            self.visit(each)
        self._inside(True, _bound(node.body), node.body)

    def visit_ListComp(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> None:
        """Names of a comprehension are its own."""
        first, *others = node.generators
        self.visit(first.iter)
        bound = {name.id for part in node.generators for name in ast.walk(part.target) if isinstance(name, ast.Name)}
        values = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        self._inside(False, bound, [first.target, *first.ifs, *others, *values])

    visit_SetComp = visit_GeneratorExp = visit_DictComp = visit_ListComp  # noqa: N815

    def _function(self, node: ast.FunctionDef | ast.Lambda, before: Sequence[ast.AST], body: Sequence[ast.AST]) -> None:
        for each in before:
            self.visit(each)
        arguments = {each.arg for each in ast.walk(node.args) if isinstance(each, ast.arg)}
        self._inside(False, arguments | _bound(body), body)

    def _inside(self, of_class: bool, bound: set[str], body: Sequence[ast.AST]) -> None:
        self._scopes.append((of_class, bound))
        for each in body:
            self.visit(each)
        self._scopes.pop()


def _defaults(arguments: ast.arguments) -> list[ast.expr]:
    return [*arguments.defaults, *(each for each in arguments.kw_defaults if each is not None)]


def _bound(body: Sequence[ast.AST]) -> set[str]:
    """Names that are given a value in a function or class, not in others inside it."""
    found: set[str] = set()
    nodes = [*body]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(each.asname or each.name).split(".")[0] for each in node.names}
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        if isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            nodes += [each for each in ast.walk(node) if isinstance(each, ast.NamedExpr)]
        elif not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda):
            nodes += ast.iter_child_nodes(node)
    return found


def _slim(statement: ast.stmt, words: set[str]) -> ast.stmt:
    """A copy without annotations; of a class, without what is never named."""
    found = copy.deepcopy(statement)
    if isinstance(found, ast.ClassDef):
        found.body = [each for each in found.body if _wanted(each, words)] or [ast.Pass()]
    return ast.fix_missing_locations(_Plain().visit(found))  # type: ignore[no-any-return]


def _wanted(member: ast.stmt, words: set[str]) -> bool:
    """Whether a member of a class may be used."""
    if isinstance(member, ast.FunctionDef):
        names = [member.name]
    elif isinstance(member, ast.Assign):
        names = [each.id for each in member.targets if isinstance(each, ast.Name)]
    elif isinstance(member, ast.AnnAssign) and _of_class(member) and isinstance(member.target, ast.Name):
        names = [member.target.id]
    else:
        return True
    return any(name in words | CALLED or name.startswith("__") for name in names)


def _of_class(node: ast.AnnAssign) -> bool:
    return ast.unparse(node.annotation).startswith("ClassVar")


class _Plain(ast.NodeTransformer):
    """Takes annotations out, but those that make the fields of a class."""

    _depth = 0

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        """Fields keep that they are fields."""
        body: list[ast.stmt] = []
        for each in node.body:
            if isinstance(each, ast.AnnAssign) and not _of_class(each):
                each.annotation = ast.Name("object", ast.Load())
                body.append(each)
            else:
                made = self.visit(each)
                body += [] if made is None else [made]
        node.body = body or [ast.Pass()]
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        """A plain assignment, or nothing."""
        if node.value is None:
            return ast.Pass()
        return ast.Assign([node.target], node.value)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """A function without types."""
        node.returns = None
        for each in ast.walk(node.args):
            if isinstance(each, ast.arg):
                each.annotation = None
        self.generic_visit(node)
        return node


def _named(keys: set[Key]) -> dict[Key, str]:
    """A name for each definition that no other has."""
    found: dict[Key, str] = {}
    taken = {*dir(builtins)} - {name for _, name in keys}
    for module, name in sorted(keys):
        wanted = name or module
        given = wanted if wanted not in taken else f"{wanted}_{module.replace('.', '_')}"
        taken.add(given)
        found[module, name] = given
    return found


def _import(key: Key, name: str) -> str:
    module, wanted = key
    if wanted:
        return f"from {module} import {wanted}" + f" as {name}" * (name != wanted)
    return f"import {module}" + f" as {name}" * (name != module)


def _written(statement: ast.stmt, module: str, words: set[str], house: _House, names: dict[Key, str]) -> str:
    """A definition with the names that it and others have in the code."""
    found = _slim(statement, words)
    for node in _Uses(found).names:
        if house.knows(module, node.id):
            node.id = names[house.home((module, node.id))]
    if isinstance(found, ast.FunctionDef | ast.ClassDef):
        found.name = names[module, found.name]
    return ast.unparse(found)
