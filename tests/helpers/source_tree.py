"""The files of this repository, for the tests of its own rules."""

import ast
import os
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = {
    "re6st_core": ROOT / "re6st_core",
    "babel_ctl": ROOT / "babel_ctl",
    "caucase_ca": ROOT / "caucase_ca",
    "registry": ROOT / "registry",
    "re6stnet": ROOT / "re6stnet",
    "orchestration": ROOT / "orchestration",
    "netns_lab": ROOT / "netns-lab" / "netns_lab",
}
_NOT_OURS = re.compile(r"\..*|build|dist|__pycache__|.*\.egg-info")
_GENERATED = {"_gains.c", "_paths.c", "_prober.c", "_reader.c", "_switch.c"}
_TEXT = {".py", ".c", ".h", ".md", ".toml", ".sh", ".svg", ".1", ".5", ".8", ".conf", ".service", ".sql", ""}


@cache
def files() -> tuple[Path, ...]:
    """Every text file that somebody wrote; nothing that a command made."""
    found = []
    for folder, names, leaves in os.walk(ROOT):
        names[:] = [name for name in names if not _NOT_OURS.fullmatch(name) or name == ".ci"]
        found += [Path(folder, leaf) for leaf in leaves if leaf not in _GENERATED]
    return tuple(sorted(path for path in found if path.suffix in _TEXT and not path.name.startswith(".")))


def python_files() -> list[Path]:
    """Every Python file, tests and benchmarks included."""
    return [path for path in files() if path.suffix == ".py"]


def modules() -> Iterator[tuple[Path, Path]]:
    """Each module of our packages, and where its tests belong."""
    for package, folder in PACKAGES.items():
        for path in python_files():
            if path.is_relative_to(folder) and path.name != "__init__.py":
                inside = path.relative_to(folder)
                yield path, ROOT / "tests" / package / inside.parent / f"test_{path.name}"


def relative(path: Path) -> str:
    """Path as a person would write it."""
    return path.relative_to(ROOT).as_posix()


@cache
def project() -> dict[str, Any]:
    """The content of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@cache
def tree(path: Path) -> ast.Module:
    """The parsed module."""
    return ast.parse(path.read_text(), str(path))


def only_declares(path: Path) -> bool:
    """Whether a module has nothing to test: no function but constructors and the ``...`` of Protocols."""
    functions = [
        node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return all(node.name == "__init__" or all(map(_is_constant, node.body)) for node in functions)


def is_scenario(path: Path) -> bool:
    """Whether a module is a story of the lab: a test itself, held to the form of all by one test module."""
    return path.parent.name == "scenarios" and any(
        isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "SCENARIO"
        for node in tree(path).body
    )


def _is_constant(statement: ast.stmt) -> bool:
    """A docstring, or ``...``."""
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
