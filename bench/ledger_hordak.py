"""A peer: django-hordak posting transfers between two accounts through its own API.

A child of bench/ledger.py, run by a Python that has django-hordak and psycopg and need not have
anything of ours. Processes as there are cores, threads in each; says one line of JSON per cell.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from bench.ledger_loads import Cell, Job, Window, picks, read_job, summary, tell

#: Making them is slow there; transfers lock no account, so that fewer are no handicap.
ACCOUNTS = 200
CURRENCY = "EUR"
START_TIMEOUT_S = 60.0
APPS = ("django.contrib.contenttypes", "django.contrib.auth", "mptt", "hordak")


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one process does of the load."""

    threads: int
    seed: int


def set_up_django(url: str) -> None:
    parts = urlsplit(url)
    settings = importlib.import_module("django.conf").settings
    settings.configure(
        INSTALLED_APPS=list(APPS),
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        DEFAULT_CURRENCY=CURRENCY,
        CURRENCIES=[CURRENCY],
        USE_TZ=True,
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "HOST": parts.hostname,
                "PORT": parts.port,
                "USER": unquote(parts.username or ""),
                "PASSWORD": unquote(parts.password or ""),
                "NAME": parts.path.lstrip("/"),
                # A connection for each thread, kept.
                "CONN_MAX_AGE": None,
            }
        },
    )
    importlib.import_module("django").setup()


def make_accounts() -> None:
    importlib.import_module("django.core.management").call_command("migrate", verbosity=0)
    accounts = importlib.import_module("hordak.models").Account
    if accounts.objects.exists():
        return
    for number in range(ACCOUNTS):
        accounts.objects.create(
            name=f"Account {number}", code=f"{number:04d}", type="AS", currencies=[CURRENCY]
        )


@dataclass(slots=True)
class Gate:
    """Threads that have connected wait here until all processes are ready."""

    ready: threading.Barrier
    go: threading.Event


def transfer_until(window: Window, accounts: list[Any], chosen: Iterator[int], gate: Gate) -> None:
    atomic = importlib.import_module("django.db.transaction").atomic
    amount = importlib.import_module("moneyed").Money(1, CURRENCY)

    def transfer() -> None:
        number = next(chosen)
        # The legs are checked at the commit, so that a transfer needs a transaction around it.
        with atomic():
            accounts[number].transfer_to(accounts[number - 1], amount)

    transfer()
    gate.ready.wait(START_TIMEOUT_S)
    gate.go.wait(START_TIMEOUT_S)
    goes_on = True
    while goes_on:
        sent_at = time.perf_counter()
        transfer()
        goes_on = window.count(sent_at, time.perf_counter())


def work(job: Job, cell: Cell, share: Share, barrier: Any, results: Any) -> None:
    """One process: its threads, and the latencies that they had inside the window."""
    set_up_django(job.places["dsn"])
    accounts = list(importlib.import_module("hordak.models").Account.objects.order_by("pk"))
    chosen = picks(cell.skew, len(accounts), share.seed)
    window = Window(job.warm_up_s, job.seconds, enough=0)
    gate = Gate(threading.Barrier(share.threads + 1), threading.Event())
    group = [
        threading.Thread(target=transfer_until, args=(window, accounts, chosen, gate))
        for _ in range(share.threads)
    ]
    for thread in group:
        thread.start()
    # Starting Python, Django and connections takes its time, which is not measured.
    gate.ready.wait(START_TIMEOUT_S)
    barrier.wait(START_TIMEOUT_S)
    window.open()
    gate.go.set()
    for thread in group:
        thread.join()
    results.put(window.latencies_s)


def measure(job: Job, cell: Cell) -> None:
    processes = min(os.cpu_count() or 1, cell.clients)
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(processes), context.Queue()
    shares = [
        Share(threads=cell.clients // processes, seed=job.seed * 100 + number)
        for number in range(processes)
    ]
    group = [
        context.Process(target=work, args=(job, cell, share, barrier, results), daemon=True)
        for share in shares
    ]
    for process in group:
        process.start()
    limit_s = START_TIMEOUT_S + job.warm_up_s + job.seconds
    latencies = [each for _ in group for each in results.get(timeout=2 * limit_s)]
    for process in group:
        process.join()
    tell(summary(cell, latencies, job.seconds))


if __name__ == "__main__":
    given = read_job()
    set_up_django(given.places["dsn"])
    make_accounts()
    importlib.import_module("django.db").connections.close_all()
    for each in given.cells:
        measure(given, each)
