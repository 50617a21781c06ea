"""What was measured, as tables for people and one line of JSON."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace

from rich.console import Console
from rich.table import Table

from bench.ledger_loads import HOT, UNIFORM, ZIPF, Cell, Measured
from bench.ledger_pgbench import FLOOR, ONE_BY_ONE

STORAGE, HTTP, KAFKA, NAIVE, HORDAK = "storage", "http", "kafka", "naive", "django-hordak"
MANY, FLOOR_CLIENTS = 384, 64


@dataclass(slots=True)
class Figures:
    """Facts of the machine and the run, all that was measured, and what the verifier found."""

    facts: dict[str, object]
    #: Of every run; `medians` gives one per cell.
    measured: list[Measured] = field(default_factory=list)
    #: Ways that were left out, with the reason.
    left_out: dict[str, str] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    soak: list[dict[str, float]] = field(default_factory=list)

    def medians(self) -> list[Measured]:
        return [
            _median([each for each in self.measured if each.cell == cell])
            for cell in dict.fromkeys(each.cell for each in self.measured)
        ]


def _median(same: Sequence[Measured]) -> Measured:
    cpu = [each.cpu_ms for each in same if each.cpu_ms is not None]
    unsent = [each.unsent for each in same if each.unsent is not None]
    return replace(
        same[0],
        per_s=statistics.median(each.per_s for each in same),
        p50_ms=statistics.median(each.p50_ms for each in same),
        p99_ms=statistics.median(each.p99_ms for each in same),
        commands=sum(each.commands for each in same),
        answered=sum(each.answered for each in same),
        cpu_ms=statistics.median(cpu) if cpu else None,
        unsent=max(unsent) if unsent else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """`value` is None where a figure that it needs is missing."""

    name: str
    value: float | None
    wanted: float
    at_most: bool = False

    @property
    def is_met(self) -> bool | None:
        if self.value is None:
            return None
        return self.value < self.wanted if self.at_most else self.value >= self.wanted


def aims_of(medians: Sequence[Measured]) -> list[Aim]:
    by_cell = {each.cell: each for each in medians}

    def rate(way: str, skew: str = UNIFORM, clients: int = MANY) -> float | None:
        found = by_cell.get(Cell(way=way, skew=skew, clients=clients))
        return None if found is None else found.per_s

    def p99(skew: str) -> float | None:
        found = by_cell.get(Cell(way=HTTP, skew=skew, clients=MANY))
        return None if found is None else found.p99_ms

    floor = rate(FLOOR, clients=FLOOR_CLIENTS)
    http_hot, storage_hot = rate(HTTP, HOT), rate(STORAGE, HOT)
    return [
        Aim(
            name="storage / pgbench one by one, 384",
            value=_ratio(rate(STORAGE), rate(ONE_BY_ONE)),
            wanted=2.5,
        ),
        Aim(
            name="storage, 384 / pgbench one by one, 64",
            value=_ratio(rate(STORAGE), rate(ONE_BY_ONE, clients=64)),
            wanted=2.5,
        ),
        Aim(name="storage / naive, 384", value=_ratio(rate(STORAGE), rate(NAIVE)), wanted=5.0),
        Aim(name="HTTP / pgbench floor, 384", value=_ratio(rate(HTTP), floor), wanted=0.4),
        Aim(name="HTTP p99 ms, 384, uniform", value=p99(UNIFORM), wanted=150.0, at_most=True),
        Aim(name="HTTP p99 ms, 384, Zipf", value=p99(ZIPF), wanted=150.0, at_most=True),
        Aim(
            name="storage: hot / uniform, 384",
            value=_ratio(storage_hot, rate(STORAGE)),
            wanted=0.5,
        ),
        Aim(name="HTTP: hot / uniform, 384", value=_ratio(http_hot, rate(HTTP)), wanted=0.5),
    ]


def _ratio(above: float | None, below: float | None) -> float | None:
    return None if above is None or not below else round(above / below, 3)


def print_figures(console: Console, figures: Figures) -> None:
    medians = figures.medians()
    console.print(", ".join(f"{name}: {value}" for name, value in figures.facts.items()))
    console.print(_rates(medians, figures.left_out))
    console.print(_aims(aims_of(medians)))
    if figures.soak:
        console.print(_soak(figures.soak))
    console.print(
        "verifier: nothing found"
        if not figures.findings
        else "verifier: " + "; ".join(figures.findings[:20])
    )
    line = {
        "facts": figures.facts,
        "figures": [asdict(each) for each in medians],
        "spread_per_s": _spreads(figures.measured),
        "aims": [asdict(each) | {"is_met": each.is_met} for each in aims_of(medians)],
        "left_out": figures.left_out,
        "soak": figures.soak,
        "findings": figures.findings,
    }
    print(json.dumps(line))


def _spreads(measured: Sequence[Measured]) -> dict[str, list[float]]:
    """Lowest and highest rate of the runs of each cell: how far to trust the median."""
    spreads: dict[str, list[float]] = {}
    for each in measured:
        name = f"{each.way} {each.skew} {each.clients}"
        low, high = spreads.get(name, [each.per_s, each.per_s])
        spreads[name] = [min(low, each.per_s), max(high, each.per_s)]
    return spreads


def _rates(medians: Sequence[Measured], left_out: dict[str, str]) -> Table:
    floor = _share(medians, FLOOR, lambda cell: cell.clients == FLOOR_CLIENTS)
    single = _share(medians, ONE_BY_ONE, lambda cell: cell.clients == MANY)
    naive = _share(medians, NAIVE, lambda cell: cell.clients == MANY)
    table = Table(title="Commands per second, closed loop", title_justify="left")
    for name in ("way", "accounts"):
        table.add_column(name)
    numbers = ("clients", "per s", "p50 ms", "p99 ms", "CPU ms")
    for name in (*numbers, "÷ floor", "÷ 1 by 1", "÷ naive"):
        table.add_column(name, justify="right")
    before = ""
    for each in medians:
        if each.way != before:
            table.add_section()
        table.add_row(
            each.way if each.way != before else "",
            each.skew,
            f"{each.clients:,}",
            f"{each.per_s:,.0f}",
            f"{each.p50_ms:.1f}",
            f"{each.p99_ms:.1f}",
            "" if each.cpu_ms is None else f"{each.cpu_ms:.2f}",
            floor(each),
            single(each),
            naive(each),
        )
        before = each.way
    for way, reason in left_out.items():
        table.add_section()
        table.add_row(way, reason)
    return table


def _share(
    medians: Sequence[Measured], way: str, fits: Callable[[Cell], bool]
) -> Callable[[Measured], str]:
    """Of the uniform rate of another way, as text; empty when that was not measured."""
    found = [
        each.per_s
        for each in medians
        if each.way == way and each.skew == UNIFORM and fits(each.cell)
    ]
    return lambda each: f"{each.per_s / found[0]:.2f}" if found else ""


def _aims(aims: Sequence[Aim]) -> Table:
    table = Table(title="Aims", title_justify="left")
    table.add_column("what")
    for name in ("measured", "aim", ""):
        table.add_column(name, justify="right")
    for aim in aims:
        verdict = {True: "met", False: "missed", None: "not measured"}[aim.is_met]
        sign = "<" if aim.at_most else "≥"
        value = "" if aim.value is None else f"{aim.value:.2f}"
        table.add_row(aim.name, value, f"{sign} {aim.wanted:g}", verdict)
    return table


def _soak(slices: Sequence[dict[str, float]]) -> Table:
    table = Table(title="Soak over HTTP, 64 clients", title_justify="left")
    for name in ("commands", "per s", "p99 ms", "resident MB", "events unsent"):
        table.add_column(name, justify="right")
    for each in slices:
        table.add_row(
            f"{each['answered']:,.0f}",
            f"{each['per_s']:,.0f}",
            f"{each['p99_ms']:.1f}",
            f"{each['resident_mb']:.1f}",
            f"{each['unsent']:,.0f}",
        )
    return table
