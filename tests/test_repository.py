"""The rules of the house that no linter knows (see CONTRIBUTING.md)."""

import ast
import re
import shutil
import subprocess
import tokenize
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.manual import COMMANDS, documented_options, parser_of, parser_options
from tests.helpers.source_tree import (
    ROOT,
    files,
    is_scenario,
    modules,
    only_declares,
    project,
    python_files,
    relative,
    tree,
)

LONG, TOO_LONG = 400, 500
"""Lines: above the first, split the module by concept; the second fails."""

WITHOUT_TEST_MODULE = {
    "babel_ctl/_native/build_reader.py": "build recipe; its product is tested as babel_ctl.client",
    "re6stnet/_native/build_prober.py": "build recipe; its product is tested as re6stnet.adapters.prober",
    "re6stnet/_native/build_gains.py": "build recipe; its product is tested as re6stnet.engine.gains",
    "netns-lab/netns_lab/_native/build_paths.py": "build recipe; its product is the simulator, tested",
    "netns-lab/netns_lab/_native/build_switch.py": "build recipe; its product is the switch, tested",
}
"""Also: scenarios, and modules that only declare (dataclasses, errors, ``Protocol``s, tables)."""
NAMES_WITHOUT_CONCEPT = {"utils", "util", "helpers", "helper", "common", "misc", "lib", "tools"}
TODO = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b(?!\(#\d+\))")
ELSEWHERE = re.compile(r"/work/|/root/|/home/\w|/tmp/brief|co-authored-by", re.IGNORECASE)
"""Places and signatures of whoever works on the project; the tree speaks of the project alone."""


def offenders(found: Iterator[str]) -> None:
    """Fail with every offender, one a line."""
    listed = list(found)
    assert not listed, "\n" + "\n".join(listed)


@pytest.mark.filterwarnings("default:.*split it by concept")
def test_modules_are_short() -> None:
    def too_long() -> Iterator[str]:
        for path in files():
            if path.suffix not in {".py", ".c", ".h"}:
                continue
            lines = len(path.read_text().splitlines())
            if lines > TOO_LONG:
                yield f"{relative(path)}: {lines} lines, more than {TOO_LONG}"
            elif lines > LONG:
                warnings.warn(f"{relative(path)}: {lines} lines; split it by concept", stacklevel=1)

    offenders(too_long())


def test_every_module_opens_with_one_sentence() -> None:
    def without() -> Iterator[str]:
        for path in python_files():
            paragraph = (ast.get_docstring(tree(path)) or "").partition("\n\n")[0]
            if not re.search(r"[.:?](\s|$)", paragraph):
                yield f"{relative(path)}: no docstring that opens with a sentence"

    offenders(without())


def test_every_module_has_its_test_module() -> None:
    def without() -> Iterator[str]:
        for path, test in modules():
            excepted = relative(path) in WITHOUT_TEST_MODULE or only_declares(path) or is_scenario(path)
            if not excepted and not test.exists():
                yield f"{relative(path)}: {relative(test)} is missing"

    offenders(without())


def test_the_exceptions_are_still_needed() -> None:
    tests = {relative(path): test for path, test in modules()}
    for name in WITHOUT_TEST_MODULE:
        assert name in tests, f"{name} does not exist"
        assert not tests[name].exists(), f"{name} has a test module: remove the exception"


def test_no_name_says_nothing() -> None:
    offenders(relative(path) for path, _ in modules() if path.stem in NAMES_WITHOUT_CONCEPT)


def test_test_folders_are_no_packages() -> None:
    offenders(relative(path) for path in (ROOT / "tests").rglob("__init__.py"))


def test_what_is_to_be_done_names_an_issue() -> None:
    def unnamed() -> Iterator[str]:
        for path in files():
            if path == Path(__file__) or path.name in {"CONTRIBUTING.md", "LICENSE"}:
                continue
            for number, line in enumerate(path.read_text().splitlines(), 1):
                if TODO.search(line):
                    yield f"{relative(path)}:{number}: {line.strip()}"

    offenders(unnamed())


def test_the_tree_speaks_of_the_project_alone() -> None:
    def found() -> Iterator[str]:
        for path in files():
            if path == Path(__file__):
                continue
            for number, line in enumerate(path.read_text().splitlines(), 1):
                if ELSEWHERE.search(line):
                    yield f"{relative(path)}:{number}: {line.strip()[:100]}"

    offenders(found())


def test_every_silenced_check_says_which_and_why() -> None:
    silenced = re.compile(r"# (noqa|type: ignore)\b(.*)")
    reasoned = re.compile(r"(: [A-Z]+\d+(, ?[A-Z]+\d+)*|\[[a-z, -]+\])\s+(#|-|—) ?\S.{5,}")

    def unreasoned() -> Iterator[str]:
        for path in python_files():
            with path.open("rb") as source:
                for token in tokenize.tokenize(source.readline):
                    if token.type != tokenize.COMMENT:
                        continue
                    match = silenced.search(token.string)
                    if match and not reasoned.fullmatch(match[2]):
                        yield f"{relative(path)}:{token.start[0]}: {token.string}"

    offenders(unreasoned())


def test_every_ruff_exception_says_why() -> None:
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    start = lines.index("[tool.ruff.lint.per-file-ignores]") + 1
    entries = [line for line in lines[start:] if line.startswith('"')][: len(_per_file_ignores())]
    offenders(line for line in entries if not re.search(r"\]\s+# \S.{5,}", line))


def _per_file_ignores() -> dict[str, list[str]]:
    found: dict[str, list[str]] = project()["tool"]["ruff"]["lint"]["per-file-ignores"]
    return found


def test_every_decoder_of_untrusted_bytes_is_fuzzed() -> None:
    fuzzed = "".join(path.read_text() for path in (ROOT / "tests" / "fuzz").glob("test_*.py"))

    def forgotten() -> Iterator[str]:
        for path, _ in modules():
            for node in ast.walk(tree(path)):
                name = node.name if isinstance(node, ast.FunctionDef) else ""
                if name.endswith("_untrusted") and not re.search(rf"\b{name}\b", fuzzed):
                    yield f"{relative(path)}: {name} is not in tests/fuzz"

    offenders(forgotten())


def test_the_version_is_the_newest_entry_of_changes() -> None:
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGES.md").read_text(), re.MULTILINE)
    assert newest
    assert newest[1] == project()["project"]["version"]


def test_every_dependency_is_justified_once() -> None:
    page = (ROOT / "docs" / "decisions" / "0002-dependencies.md").read_text()
    justified = re.findall(r"^\| `([\w-]+)` \|", page, re.MULTILINE)
    metadata = project()["project"]
    wanted = [*metadata["dependencies"], *metadata["optional-dependencies"]["dev"]]
    names = [re.split("[<>=~! ]", requirement)[0] for requirement in wanted]
    assert sorted(justified) == sorted(names)


def test_every_link_of_the_pages_leads_somewhere() -> None:
    def dead() -> Iterator[str]:
        for path in files():
            if path.suffix != ".md":
                continue
            for target in re.findall(r"\]\(([^)#\s]+)", path.read_text()):
                if "://" not in target and not (path.parent / target).exists():
                    yield f"{relative(path)}: {target}"

    offenders(dead())


def test_the_boxes_of_the_picture_are_folders() -> None:
    picture = (ROOT / "docs" / "architecture.svg").read_text()
    boxes = re.findall(r'<text class="folder"[^>]*>([^<]+)/</text>', picture)
    assert set(boxes) >= {"re6st_core", "babel_ctl", "caucase_ca", "registry", "re6stnet", "netns-lab"}
    offenders(box for box in boxes if not (ROOT / box).is_dir())


def test_every_command_has_a_page() -> None:
    assert set(COMMANDS) == set(project()["project"]["scripts"])


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_the_page_and_the_command_have_the_same_options(command: str) -> None:
    entry_point = project()["project"]["scripts"][command]
    options = parser_options(parser_of(entry_point))
    pages = [ROOT / "man" / name for name in COMMANDS[command]]
    documented = set().union(*(documented_options(page.read_text()) for page in pages))
    assert documented == options


@pytest.mark.skipif(not shutil.which("man"), reason="needs man-db")
@pytest.mark.parametrize("page", sorted((ROOT / "man").glob("*.[0-9]")), ids=lambda page: str(page.name))
def test_the_page_formats_without_a_warning(page: Path) -> None:
    done = subprocess.run(
        ["man", "--warnings=all", "--local-file", page],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert done.stderr == ""
    assert "DESCRIPTION" in re.sub(".\b", "", done.stdout)
