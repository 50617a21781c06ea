"""Makes `day-of-trade.ndjson`: one busy Thursday at the café and its neighbour, the bookshop.

The same seed gives the same file, byte for byte. README.md explains the lines. The day is built
so that its outcome does not depend on how lines of different passes interleave: what a holder
spends is covered by the opening balance, and what is overspent could never be covered.
"""

from __future__ import annotations

import base64
import csv
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SEED = 20260514
OPENING = datetime(2026, 5, 14, 5, 0, tzinfo=UTC)  # 7 o'clock in Hamburg
HOURS = 12

Line = dict[str, Any]

MERCHANT = "Fährhaus Kaffee"
TILLS = (
    ("Landungsbrücken, Pier 3", "till-1"),
    ("Landungsbrücken, Pier 3", "till-2"),
    ("Speicherstadt", "till-3"),
    ("Altona", "till-4"),
)
#: Share of the day's visits by the hour, from seven in the morning.
TRAFFIC = (9, 14, 11, 7, 6, 10, 12, 8, 7, 7, 5, 4)
#: Points that a visit earns: one for every ten cents.
EARNED = (28, 32, 35, 38, 42, 45, 62, 74, 88, 119, 145, 230)
#: What points buy: espresso, filter coffee, coffee and cake, a bag of beans.
REWARDS = (100, 150, 250, 400)

EARNS, REDEEMS, REFUNDS = 384, 96, 6
DUPLICATES, CONFLICTS, OVERSPENT = 20, 3, 10
LATE, EARLY, ENROLMENTS, NEVER = 12, 5, 6, 3
UPSTREAM_CHANGES, UPSTREAM_REDEEMED = 108, 14
UPSTREAM_DUPLICATES, UPSTREAM_LATE, UPSTREAM_GAPS = 10, 8, 9


@dataclass
class Holder:
    external_id: str
    opening_balance: int
    #: What may still be spent so that the order of lines does not matter.
    spendable: int


class Day:
    """Collects lines; `at` decides their place, and late ones are moved afterwards."""

    def __init__(self) -> None:
        self.random = random.Random(SEED)
        self.lines: list[Line] = []
        self._receipts = 0

    def moment(self) -> datetime:
        hour = self.random.choices(range(HOURS), TRAFFIC)[0]
        return OPENING + timedelta(hours=hour, seconds=self.random.randrange(3600))

    def command(self, action: str, external_id: str, amount: int, at: datetime) -> Line:
        location, terminal = self.random.choice(TILLS)
        self._receipts += 1
        receipt = f"{terminal[-1]}-{10_000 + self._receipts}"
        line = {
            "at": stamp(at),
            "kind": "command",
            "via": "kafka" if int(external_id[-4:]) % 4 == 0 else "http",
            "action": action,
            "external_id": external_id,
            "amount": amount,
            "idempotency_key": f"{terminal}:{receipt}",
            "reference": f"receipt {receipt}",
            "merchant_name": MERCHANT,
            "location": location,
            "terminal": terminal,
        }
        self.lines.append(line)
        return line


def make_lines() -> list[Line]:
    """The whole day in the order in which it is to be played."""
    day = Day()
    holders = read_holders(HERE / "holders.csv")
    regulars = day.random.sample(holders, 150)
    _trade(day, regulars)
    _overspend(day, holders)
    _refund(day)
    _enrol(day)
    _miss(day)
    day.lines.sort(key=lambda line: line["at"])
    _repeat(day)
    upstream = _upstream(random.Random(SEED + 1))
    raw = list(_raw(random.Random(SEED + 2)))
    lines = _interleave(day.lines, upstream + raw)
    return _delay_some(lines, day.random)


def read_holders(path: Path) -> list[Holder]:
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Holder(row["external_id"], int(row["opening_balance"]), int(row["opening_balance"]))
            for row in csv.DictReader(file)
        ]


def stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _trade(day: Day, regulars: list[Holder]) -> None:
    for _ in range(EARNS):
        holder = day.random.choice(regulars)
        day.command("earn", holder.external_id, day.random.choice(EARNED), day.moment())
    made = 0
    while made < REDEEMS:
        holder = day.random.choice(regulars)
        reward = day.random.choice(REWARDS)
        if holder.spendable >= reward:
            holder.spendable -= reward
            day.command("redeem", holder.external_id, reward, day.moment())
            made += 1


def _overspend(day: Day, holders: list[Holder]) -> None:
    """More than anybody could have earned on one day, within the program's limit of 5,000."""
    for holder in day.random.sample(holders, OVERSPENT):
        day.command("redeem", holder.external_id, day.random.randrange(4_200, 5_000), day.moment())


def _refund(day: Day) -> None:
    """Rewards that were given back: the points return by an adjustment, minutes later."""
    redeemed = [
        line for line in day.lines if line["action"] == "redeem" and line["amount"] in REWARDS
    ]
    for line in day.random.sample(redeemed, REFUNDS):
        at = _when(line) + timedelta(minutes=day.random.randrange(3, 20))
        refund = day.command("adjust", line["external_id"], line["amount"], at)
        refund["reason"] = "refund"
        refund["reference"] = f"refund of {line['reference']}"


def _enrol(day: Day) -> None:
    """People who join at the counter; some tills are quicker than the enrolment."""
    people = (
        ("Wiebke Jürgensen", "de"), ("Đorđe Petrović", "sr"), ("Amélie D'Hondt", "fr"),
        ("오세훈", "ko"), ("Nikolaos Ξένος", "el"), ("Oyá Báàjídé", "yo"),
    )  # fmt: skip
    for number, (name, locale) in enumerate(people[:ENROLMENTS], start=201):
        external_id = f"M-{number:04d}"
        at = OPENING + timedelta(hours=1, minutes=90 * (number - 201) + 7)
        day.lines.append(
            {
                "at": stamp(at),
                "kind": "enrol",
                "external_id": external_id,
                "full_name": name,
                "email": f"m-{number:04d}@example.org",
                "locale": locale,
                "birthday": f"19{62 + 5 * (number - 201)}-0{number - 200}-17",
                "opening_balance": 50,
            }
        )
        day.command("earn", external_id, 42, at + timedelta(minutes=31))
        if number - 201 < EARLY:
            day.command("earn", external_id, 35, at - timedelta(seconds=4 + number % 3))


def _miss(day: Day) -> None:
    """Cards that nobody ever issued."""
    for number in range(9001, 9001 + NEVER):
        day.command("earn", f"M-{number}", 30, day.moment())


def _repeat(day: Day) -> None:
    """Tills that send again what they are not sure of, and three that reuse a key wrongly."""
    plain = [line for line in day.lines if line["kind"] == "command"]
    overspent = [line for line in plain if line["action"] == "redeem" and line["amount"] > 4_000]
    known = [line for line in plain if int(line["external_id"][-4:]) <= 200]
    chosen = day.random.sample(known, DUPLICATES + CONFLICTS - 2) + overspent[:2]
    for place, line in enumerate(chosen):
        again = dict(line)
        if place < CONFLICTS:
            again["amount"] += 1
        position = day.lines.index(line) + day.random.randrange(3, 40)
        day.lines.insert(min(position, len(day.lines)), again)


def _upstream(rng: random.Random) -> list[Line]:
    """The bookshop's system: its own versions, with gaps, repeats and stragglers."""
    holders = read_holders(HERE / "holders-upstream.csv")
    state = {one.external_id: (0, one.opening_balance) for one in holders}
    lines: list[Line] = []
    gaps = set(rng.sample(range(UPSTREAM_CHANGES), UPSTREAM_GAPS))
    redeemed = UPSTREAM_REDEEMED
    for number in range(UPSTREAM_CHANGES):
        external_id = rng.choice(sorted(state))
        version, balance = state[external_id]
        version += 2 if number in gaps else 1  # a version that never reached us
        change = rng.choice((25, 45, 60, 95, 120, -500))
        if change < 0 and balance + change < 0:
            change = 75
        balance += change
        state[external_id] = (version, balance)
        at = OPENING + timedelta(seconds=number * HOURS * 3600 // UPSTREAM_CHANGES + 60)
        receipt = f"LB-{5_000 + number}"
        line = {
            "at": stamp(at),
            "kind": "upstream",
            "type": "pass.balance_changed",
            "external_id": external_id,
            "version": version,
            "balance": balance,
            "reference": receipt,
        }
        lines.append(line)
        if change < 0 and redeemed > 0:
            redeemed -= 1
            spent = {"type": "pass.redeemed", "amount": -change, "remaining": balance}
            lines.append({k: v for k, v in line.items() if k != "balance"} | spent)
    return _disturb(lines, rng)


def _disturb(lines: list[Line], rng: random.Random) -> list[Line]:
    """Send some lines twice, and some only after a newer one of the same pass."""
    balances = [line for line in lines if line["type"] == "pass.balance_changed"]
    for line in rng.sample(balances, UPSTREAM_DUPLICATES):
        lines.insert(lines.index(line) + rng.randrange(1, 12), dict(line))
    delayed = 0
    for line in rng.sample(balances, len(balances)):
        if delayed == UPSTREAM_LATE:
            break
        newer = [
            place
            for place, other in enumerate(lines)
            if other["external_id"] == line["external_id"] and other["version"] > line["version"]
        ]
        if newer and lines.count(line) == 1:
            place = newer[0]
            lines.remove(line)
            lines.insert(place, line)  # one place further, as its own old place is gone
            delayed += 1
    return lines


def _raw(rng: random.Random) -> Iterator[Line]:
    """What no system should send: exact bytes for a topic, and what is wrong with them."""
    good = {
        "workspace_id": "@@cafe@@",
        "external_id": "M-0012",
        "idempotency_key": "raw",
        "amount_minor": 40,
    }
    inbound = {
        "workspace_id": "@@bookshop@@",
        "external_id": "M-0007",
        "version": 900,
        "occurred_at": "2026-05-14T09:00:00Z",
        "new_balance_minor": 1,
    }
    cases: list[tuple[str, str, str, dict[str, Any] | str | bytes]] = [
        ("invalid_json", "ledger.commands", "ledger.earn", '{"external_id": "M-0012", "amount_mi'),
        ("not_utf8", "ledger.commands", "ledger.earn", b'{"external_id": "\xff\xfe"}'),
        ("missing_field", "ledger.commands", "ledger.redeem", _without(good, "amount_minor")),
        ("wrong_type", "ledger.commands", "ledger.earn", good | {"amount_minor": "40"}),
        ("fraction", "ledger.commands", "ledger.earn", good | {"amount_minor": 40.5}),
        ("not_positive", "ledger.commands", "ledger.earn", good | {"amount_minor": -40}),
        ("over_long", "ledger.commands", "ledger.earn", good | {"merchant_name": "K" * 5_000}),
        ("over_long", "ledger.commands", "ledger.earn", good | {"external_id": "M" * 300}),
        ("unknown_type", "ledger.commands", "ledger.gift", good),
        ("missing_field", "pass.inbound", "pass.balance_changed", _without(inbound, "version")),
        ("wrong_type", "pass.inbound", "pass.balance_changed", inbound | {"version": "900"}),
        ("over_long", "pass.inbound", "pass.balance_changed", inbound | {"reference": "R" * 999}),
        ("foreign_workspace", "ledger.commands", "ledger.earn",
         good | {"workspace_id": "@@bookshop@@", "external_id": "M-0150"}),
        ("foreign_workspace", "pass.inbound", "pass.balance_changed",
         _without(inbound, "workspace_id") | {"business_id": "no-such-shop"}),
        ("balance_kept_here", "pass.inbound", "pass.balance_changed",
         inbound | {"workspace_id": "@@cafe@@", "external_id": "M-0150"}),
    ]  # fmt: skip
    for number, (fault, topic, event_type, body) in enumerate(cases, start=1):
        at = OPENING + timedelta(minutes=40 * number, seconds=rng.randrange(60))
        line: Line = {
            "at": stamp(at),
            "kind": "raw",
            "fault": fault,
            "topic": topic,
            "type": event_type,
            "key": f"raw-{number:02d}",
        }
        if isinstance(body, bytes):
            line["body_base64"] = base64.b64encode(body).decode()
        elif isinstance(body, str):
            line["body"] = body
        else:
            own = {"idempotency_key": f"raw-{number:02d}"} if "idempotency_key" in body else {}
            line["body"] = json.dumps(body | own, ensure_ascii=False)
        yield line


def _interleave(first: list[Line], second: list[Line]) -> list[Line]:
    """Merge two lists by time without changing the order inside either."""
    merged: list[Line] = []
    others = sorted(second, key=lambda line: line["kind"] == "raw")
    streams = [first, [line for line in others if line["kind"] == "upstream"],
               [line for line in others if line["kind"] == "raw"]]  # fmt: skip
    places = [0] * len(streams)
    while True:
        waiting = [
            (streams[n][places[n]]["at"], n)
            for n in range(len(streams))
            if places[n] < len(streams[n])
        ]
        if not waiting:
            return merged
        _, chosen = min(waiting)
        merged.append(streams[chosen][places[chosen]])
        places[chosen] += 1


def _delay_some(lines: list[Line], rng: random.Random) -> list[Line]:
    """A till that was offline sends some purchases half an hour and more after their time."""
    keys: dict[str, int] = {}
    for line in lines:
        keys[line.get("idempotency_key", "")] = keys.get(line.get("idempotency_key", ""), 0) + 1
    candidates = [
        line
        for line in lines[: len(lines) * 3 // 4]
        if line.get("action") == "earn"
        and keys[line["idempotency_key"]] == 1
        and int(line["external_id"][-4:]) <= 200
    ]
    for line in rng.sample(candidates, LATE):
        place = lines.index(line)
        lines.remove(line)
        lines.insert(place + rng.randrange(30, 90), line)
    return lines


def _when(line: Line) -> datetime:
    return datetime.fromisoformat(line["at"])


def _without(body: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key != name}


def write(path: Path) -> int:
    lines = make_lines()
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    path.write_text(text, encoding="utf-8")
    return len(lines)


if __name__ == "__main__":
    print(f"{write(HERE / 'day-of-trade.ndjson')} lines")
