"""The example files are what their README says, and the day's outcome is the same every way."""

from __future__ import annotations

import csv
import importlib.util
import itertools
import json
import random
import shutil
import sys
import unicodedata
from collections import Counter, defaultdict
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image

HERE = Path(__file__).parent.parent
SIZES = {"icon": (38, 38), "logo": (160, 50), "strip": (375, 144)}


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def day() -> list[dict[str, Any]]:
    text = (HERE / "day-of-trade.ndjson").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def holders(name: str) -> list[dict[str, str]]:
    with (HERE / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("directory", ["images", "bookshop/images"])
@pytest.mark.parametrize("name", ["icon", "logo", "strip"])
@pytest.mark.parametrize(("suffix", "scale"), [("", 1), ("@2x", 2), ("@3x", 3)])
def test_every_image_has_its_size_and_stays_small(
    directory: str, name: str, suffix: str, scale: int
) -> None:
    path = HERE / directory / f"{name}{suffix}.png"
    with Image.open(path) as image:
        width, height = SIZES[name]
        assert (image.format, image.size) == ("PNG", (width * scale, height * scale))
    assert path.stat().st_size < 120_000


def test_the_committed_day_is_what_the_script_makes(tmp_path: Path) -> None:
    load("make_day_of_trade").write(tmp_path / "day.ndjson")
    made = (tmp_path / "day.ndjson").read_bytes()
    assert made == (HERE / "day-of-trade.ndjson").read_bytes()


def test_the_day_holds_what_it_promises() -> None:
    counts = load("reconcile").reconcile(HERE).counts
    assert counts["lines"] >= 600
    assert counts["lines_upstream"] >= 115
    assert counts["lines_raw"] >= 12
    assert counts["duplicates"] == 20
    assert counts["conflicts"] == 3
    assert counts["refused_overspending"] == 10
    assert counts["commands_before_their_pass"] == 5
    assert counts["commands_without_a_pass"] == 3
    assert counts["applied_adjust"] >= 1
    assert counts["upstream_outdated"] >= 5
    assert counts["upstream_duplicates"] >= 5
    times = [line["at"] for line in day()]
    assert sum(later < earlier for earlier, later in itertools.pairwise(times)) >= 10


def test_balances_do_not_depend_on_how_the_lines_of_different_passes_interleave(
    tmp_path: Path,
) -> None:
    """Only the order inside one key and the highest version matter, as in a real stream."""
    reconcile = load("reconcile").reconcile
    for name in ("holders.csv", "holders-upstream.csv"):
        shutil.copy(HERE / name, tmp_path / name)
    by_key: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in day():
        by_key[line.get("idempotency_key", "")].append(line)
    expected = reconcile(HERE)
    for seed in range(5):
        rng = random.Random(seed)
        lines = day()
        rng.shuffle(lines)
        # Equal keys keep their order; everything else comes as it likes.
        waiting = {key: iter(group) for key, group in by_key.items() if key}
        shuffled = [
            next(waiting[line["idempotency_key"]]) if "idempotency_key" in line else line
            for line in lines
        ]
        text = "".join(json.dumps(line) + "\n" for line in shuffled)
        (tmp_path / "day-of-trade.ndjson").write_text(text, encoding="utf-8")
        again = reconcile(tmp_path)
        assert again.balances == expected.balances
        assert again.counts["refused_overspending"] == 10


def test_keys_and_references_name_one_business_fact_each() -> None:
    references: dict[str, set[str]] = defaultdict(set)
    for line in day():
        if line["kind"] == "command":
            references[line["reference"]].add(line["idempotency_key"])
    assert {len(keys) for keys in references.values()} == {1}


def test_a_pass_is_reached_by_one_way_only_so_that_its_order_holds() -> None:
    ways: dict[str, set[str]] = defaultdict(set)
    for line in day():
        if line["kind"] == "command":
            ways[line["external_id"]].add(line["via"])
    assert {len(way) for way in ways.values()} == {1}
    assert Counter(next(iter(way)) for way in ways.values())["kafka"] >= 20


def test_holders_have_names_of_the_real_world() -> None:
    people = holders("holders.csv")
    names = [person["full_name"] for person in people]
    scripts = {unicodedata.name(char).split()[0] for name in names for char in name}
    assert len(people) == len(set(names)) == 200
    assert {
        "LATIN", "GREEK", "CYRILLIC", "ARABIC", "HEBREW", "CJK", "HIRAGANA", "HANGUL", "THAI",
        "DEVANAGARI",
    } <= scripts  # fmt: skip
    assert any("'" in name for name in names)
    assert any("-" in name for name in names)
    assert max(map(len, names)) > 60
    assert min(map(len, names)) == 1
    assert all(person["email"].endswith("@example.org") for person in people)
    assert len({person["email"] for person in people}) == 200


def test_both_workspaces_use_the_same_external_ids() -> None:
    cafe = {person["external_id"] for person in holders("holders.csv")}
    bookshop = {person["external_id"] for person in holders("holders-upstream.csv")}
    assert len(bookshop) == 40
    assert bookshop < cafe
