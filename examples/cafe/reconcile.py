"""What the day must come to, summed independently of Passferry and of the script that made it.

Reads the holders and `day-of-trade.ndjson`, applies the rules of README.md, and prints the
expected final balance of every pass and the expected counts as JSON.
"""

from __future__ import annotations

import csv
import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

CAFE = "cafe"
BOOKSHOP = "bookshop"


@dataclass
class Expected:
    """`balances` by workspace and external id; `counts` of lines by what becomes of them."""

    balances: dict[str, dict[str, int]]
    counts: dict[str, int]
    #: External ids of the café whose balance moves during the day.
    moved: list[str] = field(default_factory=list)


class _Till:
    """The café's points as a pencil-and-paper ledger."""

    def __init__(self, opening: dict[str, int]) -> None:
        self.balances = dict(opening)
        self.moved: set[str] = set()
        self.counts: Counter[str] = Counter()
        self._answers: dict[str, tuple[str, str, int]] = {}
        self._waiting: dict[str, list[dict[str, Any]]] = {}

    def enrol(self, external_id: str, opening: int) -> None:
        self.balances[external_id] = opening
        self.counts["enrolments"] += 1
        for line in self._waiting.pop(external_id, []):
            self.counts["commands_before_their_pass"] += 1
            self.command(line)

    def command(self, line: dict[str, Any]) -> None:
        external_id, amount = line["external_id"], line["amount"]
        if external_id not in self.balances:
            self._waiting.setdefault(external_id, []).append(line)
            return
        said = (line["action"], external_id, amount)
        earlier = self._answers.get(line["idempotency_key"])
        if earlier is not None:
            self.counts["duplicates" if earlier == said else "conflicts"] += 1
            return
        self._answers[line["idempotency_key"]] = said
        change = -amount if line["action"] == "redeem" else amount
        if self.balances[external_id] + change < 0:
            self.counts["refused_overspending"] += 1
            return
        self.balances[external_id] += change
        self.moved.add(external_id)
        self.counts[f"applied_{line['action']}"] += 1

    def close(self) -> None:
        """Whoever still waits was never issued a pass."""
        self.counts["commands_without_a_pass"] = sum(map(len, self._waiting.values()))


class _Shop:
    """The bookshop's balances: per kind of event the highest version wins."""

    def __init__(self, opening: dict[str, int]) -> None:
        self.balances = dict(opening)
        self.counts: Counter[str] = Counter()
        self._versions: dict[tuple[str, str], int] = {}

    def event(self, line: dict[str, Any]) -> None:
        external_id, version = line["external_id"], line["version"]
        key = (line["type"], external_id)
        newest = self._versions.get(key, 0)
        if version == newest:
            self.counts["upstream_duplicates"] += 1
        elif version < newest:
            self.counts["upstream_outdated"] += 1
        else:
            self._versions[key] = version
            self.counts[f"upstream_{line['type'].removeprefix('pass.')}"] += 1
            if line["type"] == "pass.balance_changed":
                self.balances[external_id] = line["balance"]


def reconcile(directory: Path) -> Expected:
    """Sum up the day whose files are in `directory`."""
    till = _Till(_openings(directory / "holders.csv"))
    shop = _Shop(_openings(directory / "holders-upstream.csv"))
    counts: Counter[str] = Counter()
    for line in _lines(directory / "day-of-trade.ndjson"):
        counts["lines"] += 1
        counts[f"lines_{line['kind']}"] += 1
        if line["kind"] == "command":
            till.command(line)
        elif line["kind"] == "enrol":
            till.enrol(line["external_id"], line["opening_balance"])
        elif line["kind"] == "upstream":
            shop.event(line)
        else:
            counts[f"raw_{line['fault']}"] += 1
    till.close()
    counts.update(till.counts)
    counts.update(shop.counts)
    counts["applied"] = sum(counts[f"applied_{one}"] for one in ("earn", "redeem", "adjust"))
    return Expected(
        balances={CAFE: till.balances, BOOKSHOP: shop.balances},
        counts=dict(sorted(counts.items())),
        moved=sorted(till.moved),
    )


def _openings(path: Path) -> dict[str, int]:
    with path.open(newline="", encoding="utf-8") as file:
        return {row["external_id"]: int(row["opening_balance"]) for row in csv.DictReader(file)}


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for text in file:
            line: dict[str, Any] = json.loads(text)
            yield line


if __name__ == "__main__":
    expected = reconcile(Path(__file__).parent)
    if "--counts" in sys.argv:
        print(json.dumps(expected.counts, indent=2))
    else:
        print(json.dumps(asdict(expected), indent=2, ensure_ascii=False))
