"""What the demo prints."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from passferry_contracts.registry import SERVICES
from passferry_demo.platform import Platform
from passferry_demo.story import Outcome


def print_summary(console: Console, outcome: Outcome) -> None:
    expected, found = outcome.expected, outcome.reconciliation
    table = Table(title="The day", show_header=False, title_justify="left", padding=(0, 2))
    table.add_row("events in", f"{expected['lines']} lines in {outcome.seconds:.1f} s")
    table.add_row(
        "balances",
        _verdict(
            not (found.ledger or found.issuer),
            "ledger and issuer agree with the independent sum of the file",
            f"{len(found.ledger) + len(found.issuer)} differ",
        ),
    )
    table.add_row(
        "iPhones",
        _verdict(
            not found.iphones,
            f"all {outcome.phones} show the right balance",
            f"{len(found.iphones)} of {outcome.phones} are stale",
        ),
    )
    table.add_row(
        "Google Wallet",
        _verdict(
            not found.google,
            f"all {outcome.google_passes} show the right balance",
            f"{len(found.google)} of {outcome.google_passes} are stale",
        ),
    )
    table.add_row("pushes", f"{outcome.pushes} accepted by APNs")
    table.add_row("not delivered", _counts(outcome.failed_deliveries) or "none")
    table.add_row("commands", _counts(outcome.commands))
    table.add_row("duplicates", f"{outcome.commands['replayed']} absorbed")
    table.add_row("dead letters", _counts(outcome.dead_letters))
    blocked = sum(each.is_blocked for each in outcome.attempts)
    table.add_row("other workspace", f"{blocked} of {len(outcome.attempts)} attempts blocked")
    table.add_row("device log", f"{outcome.log_lines} lines from iPhones")
    table.add_row("marketing", _counts(outcome.forwarded))
    table.add_row("event to push", str(outcome.hops.total))
    for name, hop in (
        ("  to rendered", outcome.hops.render),
        ("  to published", outcome.hops.publish),
        ("  to pushed", outcome.hops.push),
    ):
        table.add_row(name, str(hop))
    console.print(table)
    for fault in outcome.faults()[:20]:
        console.print(f"[red]not reconciled:[/red] {fault}")


def print_addresses(console: Console, platform: Platform, *, a_pass: str) -> None:
    """Each address whole on a line of its own: a terminal of 80 columns would cut a table's."""
    console.print("[bold]Where to look[/bold] (each service: /health, /metrics, API at /docs)")
    for service in SERVICES:
        console.print(f"  {service:<18} {platform.url(service)}/docs", soft_wrap=True)
    console.print(f"  {'a pass':<18} {a_pass}", soft_wrap=True)
    secrets = platform.directory / "secrets"
    console.print(f"  {'API key':<18} {secrets / 'administrator_key'}", soft_wrap=True)
    console.print(f"  {'logs':<18} {platform.directory / 'logs'}", soft_wrap=True)


def _verdict(is_good: bool, good: str, bad: str) -> str:
    return f"[green]✓[/green] {good}" if is_good else f"[red]✗ {bad}[/red]"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in sorted(counts.items()) if number)
