"""Which files of the package a module loads, read from its source without running it.

Each rule of the workflow has these files as inputs, so that an edit reruns the steps that import
the edited module, and no others.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

_DEFINITION = re.compile(rb"^(?:@|def |class )", re.MULTILINE)


def import_closure(module: str, root: Path) -> list[Path]:
    """Files below ``root`` that importing ``module`` loads, in or out of functions, sorted.

    Imports for the type checker alone do not count. An import by a computed name is not seen.

    Args:
        module: dotted name, such as ``icl_contrastive.steps.data``.
        root: the folder that holds the module's top-level package.

    Raises:
        FileNotFoundError: there is no such module.
    """
    if _file(module, root) is None:
        raise FileNotFoundError(f"no module {module} in {root}")
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(_direct_imports(name, root))
    return sorted(path for name in found if (path := _file(name, root)))


@cache
def _file(module: str, root: Path) -> Path | None:
    base = root.joinpath(*module.split("."))
    candidates = (base / "__init__.py", base.with_name(f"{base.name}.py"))
    return next((path for path in candidates if path.is_file()), None)


@cache
def _direct_imports(module: str, root: Path) -> list[str]:
    """Modules below ``root`` that the module's own source names, its parent packages included."""
    path = _file(module, root)
    if path is None:
        return []
    parents = [module.rsplit(".", i)[0] for i in range(1, module.count(".") + 1)]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    named = _imported_names(_parse(path.read_bytes()), package)
    return [name for name in {*parents, *named} if _file(name, root)]


def _parse(source: bytes) -> ast.Module:
    """A module up to the first definition below its last import: parsing is what takes time."""
    rest = _DEFINITION.search(source, source.rfind(b"import"))
    try:
        return ast.parse(source[: rest and rest.start()])
    except SyntaxError:  # that was no definition, but a line of a string
        return ast.parse(source)


def _imported_names(node: ast.AST, package: str) -> Iterator[str]:
    """Every dotted name that may be a module; ``from a import b`` names both a and a.b."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            above = package.rsplit(".", node.level - 1)[0]
            base = f"{above}.{base}" if base else above
        yield base
        yield from (f"{base}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
        for branch in node.orelse:
            yield from _imported_names(branch, package)
    elif not isinstance(node, ast.expr):  # no expression holds an import, and most nodes are one
        for child in ast.iter_child_nodes(node):
            yield from _imported_names(child, package)
