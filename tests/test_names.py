"""House rules on names, sizes and docs; each check began as something said twice."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("roundsman", "flows", "tasks", "blocks", "deployments", "bench", "tests")
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 400
PARAMETERS_MAX = 5
VAGUE = re.compile(r"(Manager|Helper|Service|Util|Utils|Base|Data|Info)$")


def _files() -> list[Path]:
    return [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def _functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# One test a rule and not one a file: each names what breaks it, and a thousand tests cost time.


def _product() -> list[Path]:
    return [path for path in _files() if "tests" not in path.parts]


def test_files_and_functions_stay_small() -> None:
    for path in _files():
        lines = len(path.read_text().splitlines())
        assert lines <= FILE_LINES_MAX, f"{_name(path)} has {lines} lines"
        for f in _functions(path):
            lines = (f.end_lineno or 0) - f.lineno
            assert lines <= FUNCTION_LINES_MAX, f"{_name(path)}: {f.name} has {lines} lines"


def test_more_than_five_parameters_are_a_record() -> None:
    def parameters(f: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
        names = [a.arg for a in [*f.args.posonlyargs, *f.args.args, *f.args.kwonlyargs]]
        return len([name for name in names if name not in ("self", "cls")])

    for path in _product():
        if "roundsman/cli/" in _name(path):
            continue  # a command's options are its interface
        many = [f.name for f in _functions(path) if parameters(f) > PARAMETERS_MAX]
        assert not many, f"{_name(path)}: {many}"


def test_modules_open_with_a_sentence_and_classes_have_names_that_say_something() -> None:
    for path in _product():
        tree = _tree(path)
        opens = not tree.body or ast.get_docstring(tree)
        assert opens, f"{_name(path)}: open with one sentence: which question does it settle?"
        classes = [n.name for n in ast.walk(tree) if isinstance(n, ast.ClassDef)]
        vague = [name for name in classes if VAGUE.search(name)]
        assert not vague, f"{_name(path)}: {vague}"


def test_only_the_envelope_catches_everything() -> None:
    # threads.py hands what it caught to the future, as the standard library's pool does.
    allowed = ("roundsman/agent.py", "roundsman/threads.py")
    for path in _product():
        caught = [
            node.lineno
            for node in ast.walk(_tree(path))
            if isinstance(node, ast.ExceptHandler)
            and (node.type is None or ast.unparse(node.type) in ("Exception", "BaseException"))
            and not (isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None)
        ]
        assert not caught or _name(path) in allowed, f"{_name(path)}, lines {caught}"


def test_an_agent_has_one_spelling_everywhere() -> None:
    cards = json.loads((ROOT / "roundsman/agents.json").read_text())
    for card in cards:
        module, function = card["entrypoint"].split(":")
        assert card["name"] == function == module.rsplit(".", 1)[-1]
        assert re.fullmatch(r"[a-z][a-z0-9_]*", card["name"])
        assert (ROOT / (module.replace(".", "/") + ".py")).exists()


def test_the_lock_file_names_versions_and_no_addresses() -> None:
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert re.fullmatch(r"[a-z0-9.\-]+==[\w.+!]+( ; .+)?", line), line


def test_every_target_of_the_makefile_says_what_it_does() -> None:
    text = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^\.PHONY: (.+)$", text, re.M)[0].split())
    assert targets == set(re.findall(r"^([a-z]+):.*## ", text, re.M))


@pytest.mark.parametrize("kind", ["settings", "errors", "commands", "agents"])
def test_the_reference_is_what_the_code_says(kind: str) -> None:
    from docs import reference

    page = ROOT / "docs/reference" / f"{kind}.md"
    assert page.read_text() == reference.PAGES[kind](), "run `make docs`"


def test_links_inside_the_docs_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for target in re.findall(r"\]\((?!https?://|#|mailto:)([^)#\s]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{_name(page)} links to {target}"
