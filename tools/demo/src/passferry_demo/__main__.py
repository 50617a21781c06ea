"""`make demo` plays the day and goes on running; `make demo-check` (`--check`) ends with a verdict."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import time
from pathlib import Path

import httpx
import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from passferry_demo.operator import StepRefused
from passferry_demo.platform import Platform, running_platform
from passferry_demo.report import print_addresses, print_summary
from passferry_demo.story import Outcome, Story
from passferry_demo.supervised import ProcessEnded
from passferry_devstack import BackendUnavailable
from passferry_testing.virtual_iphone_fleet import KEEPALIVE_EXPIRY_S

EXAMPLES = Path(__file__).resolve().parents[4] / "examples" / "cafe"
LINES_PER_SECOND = 60.0


async def tell_story(console: Console, platform: Platform, *, pace: float | None) -> Outcome:
    limits = httpx.Limits(max_connections=64, keepalive_expiry=KEEPALIVE_EXPIRY_S)
    async with (
        httpx.AsyncClient(timeout=20, limits=limits, trust_env=False) as http,
        Story(platform, http, EXAMPLES).open() as story,
    ):
        await story.set_up(console.print)
        await story.install(console.print)
        await story.follow_one_purchase(console.print)
        started_at = time.monotonic()
        columns = (
            TextColumn("the day"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=console) as bar:
            task = bar.add_task("day", total=len(story.lines))
            await story.play_day(
                lambda done, total: bar.update(task, completed=done), lines_per_second=pace
            )
        reconciliation = await story.settle()
        return await story.finish(reconciliation, time.monotonic() - started_at)


def main() -> int:
    parser = argparse.ArgumentParser(prog="passferry_demo")
    parser.add_argument("--check", action="store_true", help="end with a verdict, do not stay")
    parser.add_argument("--pace", type=float, default=LINES_PER_SECOND, help="lines per second")
    options = parser.parse_args()
    console = Console(highlight=False)
    # Whoever ends the demo ends it in order: its directory holds secrets.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with running_platform(console.print) as platform:
            try:
                outcome = uvloop.run(tell_story(console, platform, pace=options.pace))
            except Exception:
                _show_log_ends(console, platform)
                raise
            print_summary(console, outcome)
            if not options.check:
                print_addresses(console, platform, a_pass=outcome.a_link)
                console.print("running until Ctrl-C")
                with contextlib.suppress(KeyboardInterrupt):
                    signal.pause()
            return 1 if outcome.faults() else 0
    except (BackendUnavailable, ProcessEnded, StepRefused) as error:
        console.print(f"[red]the demo stopped:[/red] {error}")
        return 1
    except KeyboardInterrupt:
        return 130


def _show_log_ends(console: Console, platform: Platform) -> None:
    for name, process in platform.services.items():
        if not process.is_running:
            console.print(f"{name} ended:\n{process.log_end()}")


if __name__ == "__main__":
    sys.exit(main())
