"""What the package's modules import, read from their code."""

import ast
import functools
import sys

from tests.helpers import ROOT

SRC = ROOT / "src"


def _dotted(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


# Path from the root of the repository of each module.
MODULES = {
    _dotted(path.relative_to(SRC).as_posix()): path.relative_to(ROOT).as_posix()
    for path in sorted((SRC / "trustmia").rglob("*.py"))
}


def room(module: str) -> str:
    """Return the folder of the package that a module lies in; of those in none, their name."""
    return module.split(".")[1] if "." in module else module


def _imported(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        inner = {f"{node.module}.{alias.name}" for alias in node.names}
        return inner & set(MODULES) or {str(node.module)}
    return set()


@functools.cache
def nodes(module: str) -> list[ast.AST]:
    return list(ast.walk(ast.parse((ROOT / MODULES[module]).read_text(encoding="utf-8"))))


@functools.cache
def imports(module: str) -> frozenset[str]:
    """Return the package's modules that a module names in its imports, also inside functions."""
    names = set().union(*map(_imported, nodes(module)))
    return frozenset(names & set(MODULES) - {module})


@functools.cache
def foreign(module: str) -> frozenset[str]:
    """Return what a module imports that is neither the package's nor Python's own."""
    names = set().union(*map(_imported, nodes(module)))
    return frozenset({n.partition(".")[0] for n in names} - sys.stdlib_module_names - {"trustmia"})


@functools.cache
def addresses(module: str) -> frozenset[str]:
    """Return the modules that a registry's entries lie in (see `trustmia.registry`)."""
    texts = (n.value for n in nodes(module) if isinstance(n, ast.Constant))
    return frozenset(
        text.partition(":")[0]
        for text in texts
        if isinstance(text, str) and text.partition(":")[0] in MODULES and ":" in text
    )
