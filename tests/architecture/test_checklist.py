"""`docs/checklist.md` says which test proves which requirement; each of them exists."""

import ast
import re

ROW = re.compile(r"^\|\s*`?((?:Apple )?[A-Z]\d{1,3}[a-z]?)`?\s*\|(.*)$", re.MULTILINE)
REFERENCE = re.compile(r"([\w./-]+\.py)::([\w:]+)")
#: A requirement that is not met yet says so, with what is missing.
OPEN = re.compile(r"\|\s*open:\s*\w{3,}")


def functions_of(source):
    """Names of test functions, those in classes with the class in front."""
    tree = ast.parse(source)
    functions = ast.FunctionDef | ast.AsyncFunctionDef
    for node in tree.body:
        if isinstance(node, functions):
            yield node.name
        elif isinstance(node, ast.ClassDef):
            yield from (
                f"{node.name}::{each.name}" for each in node.body if isinstance(each, functions)
            )


def checklist_faults(repository):
    path = repository.root / "docs" / "checklist.md"
    if not path.exists():
        return []
    faults, seen = [], set()
    for requirement, rest in ROW.findall(path.read_text()):
        if requirement in seen:
            faults.append(f"{requirement}: listed twice")
        seen.add(requirement)
        references = REFERENCE.findall(rest)
        if not references and not OPEN.search(f"|{rest}"):
            faults.append(f"{requirement}: names no test")
        for file, test in references:
            source = repository.root / file
            if not source.is_file():
                faults.append(f"{requirement}: no file {file}")
            elif test not in set(functions_of(source.read_text())):
                faults.append(f"{requirement}: no test {test} in {file}")
    return faults


def test_every_requirement_of_the_checklist_names_a_test_that_exists(repository):
    assert checklist_faults(repository) == []


def test_an_empty_checklist_has_no_faults(planted):
    assert checklist_faults(planted({"README.md": ""})) == []
    text = "# Checklist\n\n| id | what | proved by |\n|---|---|---|\n"
    assert checklist_faults(planted({"docs/checklist.md": text})) == []


def test_dangling_missing_and_repeated_entries_are_found(planted):
    rows = [
        "| A1 | remaining | `tests/test_a.py::test_it_holds`, tests/test_a.py::TestB::test_too |",
        "| A2 | x | tests/test_a.py::test_it_does_not |",
        "| A3 | x | tests/test_gone.py::test_it_holds |",
        "| A4 | x | later |",
        "| A1 | again | tests/test_a.py::test_it_holds[case] |",
        "| A5 | x | open: the second device |",
        "| `J6` | x | |",
    ]
    files = {
        "docs/checklist.md": "\n".join(["| id | what | proved by |", "|---|---|---|", *rows]),
        "tests/test_a.py": (
            "async def test_it_holds(): ...\nclass TestB:\n    def test_too(self): ...\n"
        ),
    }
    assert checklist_faults(planted(files)) == [
        "A2: no test test_it_does_not in tests/test_a.py",
        "A3: no file tests/test_gone.py",
        "A4: names no test",
        "A1: listed twice",
        "J6: names no test",
    ]
