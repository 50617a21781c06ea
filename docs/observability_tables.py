"""The tables of docs/observability.md that are read from the code: metrics and log events."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import Histogram
from prometheus_client.metrics import MetricWrapperBase

from passferry_contracts.registry import SERVICES

ROOT = Path(__file__).parents[1]
PAGE = Path(__file__).parent / "observability.md"
LEVELS = ("debug", "info", "warning", "error", "exception")
#: Where a name ends so, its values are of this unit.
UNITS = (
    ("_timestamp_seconds", "Unix time in seconds"),
    ("_seconds", "seconds"),
    ("_days_left", "days"),
    ("_batch_passes", "passes"),
    ("_commands", "commands"),
    ("_records", "records"),
    ("_slots", "slots"),
    ("_info", "always 1"),
)


@dataclass(frozen=True, slots=True)
class MetricRow:
    name: str
    kind: str
    labels: tuple[str, ...]
    unit: str
    help: str

    @property
    def series(self) -> tuple[str, ...]:
        """The names under which samples are scraped."""
        if self.kind == "histogram":
            return tuple(f"{self.name}{end}" for end in ("_bucket", "_sum", "_count"))
        return (self.name,)


@dataclass(frozen=True, slots=True)
class LogRow:
    level: str
    event: str
    fields: tuple[str, ...]
    source: str


def package_of(part: str) -> str:
    """The package of a service, or of the runtime."""
    return f"passferry_{part.replace('-', '_')}"


def source_of(part: str) -> Path:
    folder = "libs" if part == "runtime" else "services"
    return ROOT / folder / part / "src"


def metrics_of(part: str) -> list[MetricRow]:
    """What the `metrics` module of a service, or of the runtime, declares."""
    module = importlib.import_module(f"{package_of(part)}.metrics")
    return sorted(
        (_metric_row(value) for value in vars(module).values() if _is_metric(value)),
        key=lambda row: row.name,
    )


def all_metrics() -> dict[str, list[MetricRow]]:
    """Those of the runtime, which every service has, and those of each service."""
    return {part: metrics_of(part) for part in ("runtime", *SERVICES)}


def _is_metric(value: object) -> bool:
    return isinstance(value, MetricWrapperBase)


def _metric_row(metric: MetricWrapperBase) -> MetricRow:
    family = next(iter(metric.describe()))
    is_counter = family.type == "counter"
    name = f"{family.name}_total" if is_counter else family.name
    unit = next((unit for end, unit in UNITS if family.name.endswith(end)), "count")
    labels = tuple(metric._labelnames)  # noqa: SLF001  # the library has no public way to ask
    kind = "histogram" if isinstance(metric, Histogram) else family.type
    return MetricRow(name, kind, labels, unit, family.documentation)


def log_events_of(part: str) -> list[LogRow]:
    """Each `log.<level>("event", field=…)` in the sources, once per event and level."""
    found: dict[tuple[str, str], LogRow] = {}
    for path in sorted(source_of(part).rglob("*.py")):
        for call in log_calls(ast.parse(path.read_text())):
            row = _log_row(call, path.relative_to(source_of(part)).as_posix())
            known = found.get((row.event, row.level))
            if known is not None:
                fields = tuple(dict.fromkeys((*known.fields, *row.fields)))
                row = LogRow(row.level, row.event, fields, known.source)
            found[row.event, row.level] = row
    return sorted(found.values(), key=lambda row: row.event)


def log_calls(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        is_log = isinstance(node.func.value, ast.Name) and node.func.value.id == "log"
        if is_log and node.func.attr in LEVELS:
            yield node


def _log_row(call: ast.Call, source: str) -> LogRow:
    event = call.args[0] if call.args else None
    if not isinstance(event, ast.Constant) or not isinstance(event.value, str):
        fault = f"{source}:{call.lineno}: a log event is not a literal text"
        raise ValueError(fault)  # noqa: TRY004  # a fault of the source
    level = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    shown = "error" if level == "exception" else level
    fields = [keyword.arg for keyword in call.keywords if keyword.arg]
    fields += ["exception"] if level == "exception" else []
    return LogRow(shown, event.value, tuple(fields), source)


def metric_table(part: str) -> list[str]:
    rows = ["| metric | type | labels | unit | tells |", "|---|---|---|---|---|"]
    for row in metrics_of(part):
        labels = ", ".join(f"`{name}`" for name in row.labels)
        rows.append(f"| `{row.name}` | {row.kind} | {labels} | {row.unit} | {row.help} |")
    return rows


def log_table(part: str) -> list[str]:
    rows = ["| event | level | fields | said by |", "|---|---|---|---|"]
    for row in log_events_of(part):
        fields = ", ".join(f"`{name}`" for name in row.fields)
        rows.append(f"| `{row.event}` | {row.level} | {fields} | `{row.source}` |")
    return rows


def _titled(title: str, table: list[str]) -> list[str]:
    # A table with a head only says nothing.
    return [f"### {title}", "", *table, ""] if len(table) > 2 else []


def sections() -> dict[str, str]:
    """The generated sections of the page, by the name in their marks."""
    parts = {"runtime": "Every service", **{service: service for service in SERVICES}}
    return {
        name: "\n".join(
            line for part, title in parts.items() for line in _titled(title, table(part))
        ).rstrip()
        for name, table in (("metrics", metric_table), ("log-events", log_table))
    }


def page(text: str) -> str:
    """`text` with its generated sections as the code is now; raises when a mark is missing."""
    for name, content in sections().items():
        begin, end = f"<!-- generated: {name} -->", f"<!-- end: {name} -->"
        before, begin_found, rest = text.partition(begin)
        _, end_found, after = rest.partition(end)
        if not begin_found or not end_found:
            raise ValueError(f"{PAGE.name} lacks the marks of {name}")
        text = f"{before}{begin}\n\n{content}\n\n{end}{after}"
    return text
