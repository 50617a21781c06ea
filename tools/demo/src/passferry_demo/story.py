"""The story: a café and a bookshop, 240 holders, one day of trade, and whether it adds up."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from passferry_contracts.types import Channel, DeliveryOutcome
from passferry_demo.day import DayPlayer, Line, read_day
from passferry_demo.intruder import Attempt, Intruder
from passferry_demo.observatory import Hops, Observatory
from passferry_demo.operator import Operator, Workspace, read_holders
from passferry_demo.platform import Platform
from passferry_demo.wallets import Wallets
from passferry_runtime.kafka.settings import KafkaSettings
from passferry_testing.virtual_iphone_fleet import PhoneFleet, phone_client

#: Every fifth holder of the café carries an Android phone as well.
GOOGLE_SHARE = 5
SETTLE_TIMEOUT_S = 90.0
#: A record that waits for what never comes is given up after this, see the platform.
DEAD_LETTER_TIMEOUT_S = 40.0

Tell = Callable[[str], None]
Progress = Callable[[int, int], None]


@dataclass(slots=True)
class Reconciliation:
    """What does not agree; empty lists everywhere mean that the day adds up."""

    ledger: list[str] = field(default_factory=list)
    issuer: list[str] = field(default_factory=list)
    iphones: list[str] = field(default_factory=list)
    google: list[str] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        return not (self.ledger or self.issuer or self.iphones or self.google)


@dataclass(slots=True)
class Outcome:
    """Everything that the summary tells."""

    expected: dict[str, int]
    reconciliation: Reconciliation
    hops: Hops
    commands: Counter[str]
    dead_letters: Counter[str]
    attempts: list[Attempt]
    phones: int
    google_passes: int
    pushes: int
    failed_deliveries: Counter[str]
    log_lines: int
    anomalies: list[str]
    google_violations: int
    forwarded: dict[str, int]
    #: The public page of one pass, for whoever wants to see it.
    a_link: str
    seconds: float

    def faults(self, *, with_outages: bool = False) -> list[str]:
        """Each is a reason to end with an error. In an outage phones may see and say strange
        things; what they show in the end must be right all the same."""
        found = [
            *self.reconciliation.ledger,
            *self.reconciliation.issuer,
            *self.reconciliation.iphones,
            *self.reconciliation.google,
        ]
        if not with_outages:
            found += self.anomalies
        if self.log_lines and not with_outages:
            found.append(f"iPhones reported {self.log_lines} lines to /v1/log")
        if self.google_violations:
            found.append(f"Google saw {self.google_violations} requests against its schema")
        found += [f"not blocked: {each.what}" for each in self.attempts if not each.is_blocked]
        nonsense = self.expected["lines_raw"]
        if sum(self.dead_letters.values()) < nonsense:
            found.append(
                f"{sum(self.dead_letters.values())} dead letters, at least {nonsense} expected"
            )
        absorbed = self.commands["replayed"]
        if absorbed < self.expected["duplicates"]:
            found.append(f"{absorbed} duplicates absorbed, {self.expected['duplicates']} were sent")
        return found


class Story:
    """Holds what the chapters share; each chapter is a method."""

    def __init__(self, platform: Platform, http: httpx.AsyncClient, examples: Path) -> None:
        self.platform = platform
        self.http = http
        self.examples = examples
        self.kafka = KafkaSettings(brokers=platform.backends.kafka_brokers, client_id="demo")
        self.operator = Operator(platform, http)
        self.observatory = Observatory(self.kafka)
        self.lines = read_day(examples / "day-of-trade.ndjson")
        self.expected = load_expected(examples)
        self.cafe: Workspace
        self.bookshop: Workspace
        self.wallets: Wallets
        self.player: DayPlayer
        self.day_began_at = datetime.now(UTC)

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Story]:
        """Phones that listen for rings, and the observatory."""
        async with self.observatory.watching(), phone_client(32) as phone_http:
            fleet = PhoneFleet(phone_http, self.platform.authority.root_pem)
            self.wallets = Wallets(self.platform, phone_http, fleet)
            following = asyncio.create_task(self.wallets.follow_rings())
            try:
                yield self
            finally:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)
                await fleet.close()

    async def set_up(self, tell: Tell) -> None:
        """Two workspaces with passes of equal external ids."""
        started_at = time.monotonic()
        self.cafe = await self.operator.make_workspace(
            "cafe", "Fährhaus Kaffee", self.examples, business_ids=["cafe-1"]
        )
        self.bookshop = await self.operator.make_workspace(
            "bookshop",
            "Reading Light",
            self.examples / "bookshop",
            business_ids=["book-shop-1"],
        )
        tell(f"two workspaces with credentials, templates and programs  {_took(started_at)}")
        started_at = time.monotonic()
        holders = read_holders(self.examples / "holders.csv")
        readers = read_holders(self.examples / "holders-upstream.csv")
        await self.operator.issue(self.cafe, holders)
        await self.operator.issue(self.bookshop, readers)
        tell(f"{len(holders) + len(readers)} passes issued  {_took(started_at)}")

    async def install(self, tell: Tell) -> None:
        started_at = time.monotonic()
        seconds = await self.wallets.install_on_iphones(self.cafe, list(self.cafe.passes))
        seconds += await self.wallets.install_on_iphones(self.bookshop, list(self.bookshop.passes))
        slowest = max(seconds) * 1000
        tell(
            f"{len(seconds)} passes on iPhones: signed on first opening, verified, registered"
            f"  {_took(started_at)}, the slowest {slowest:.0f} ms"
        )
        started_at = time.monotonic()
        android = list(self.cafe.passes)[::GOOGLE_SHARE]
        for external_id in android:
            await self.wallets.save_to_google(self.cafe, external_id)
        tell(f"{len(android)} of them in Google Wallet too  {_took(started_at)}")

    async def follow_one_purchase(self, tell: Tell) -> None:
        """One redemption, told hop by hop; it is taken back, so that the day adds up."""
        external_id = next(iter(self.cafe.passes))
        before = self.wallets.shown("cafe", external_id)
        for action, key in (("earn", "story-1"), ("adjust", "story-2")):
            amount = 35 if action == "earn" else -35
            began_at = datetime.now(UTC)
            clock = time.monotonic()
            path = (
                f"/api/v1/workspaces/{self.cafe.workspace_id}"
                f"/passes/external:{external_id}/{action}"
            )
            answer = await self.operator.ask(
                "ledger",
                "POST",
                path,
                self.cafe.api_key,
                json={"amount_minor": amount},
                headers={"Idempotency-Key": key},
            )
            answered_ms = (time.monotonic() - clock) * 1000
            wanted = answer["balance_minor"]
            while self.wallets.shown("cafe", external_id) != wanted:
                if time.monotonic() - clock > 20:
                    break
                await asyncio.sleep(0.002)
            shown_ms = (time.monotonic() - clock) * 1000
            await asyncio.sleep(0.3)
            hops = self.observatory.hops(began_at)
            tell(
                f"{action} {amount:+d}: ledger answered {answered_ms:.0f} ms · rendered and signed"
                f" +{hops.render.p50:.0f} · published +{hops.publish.p50:.0f}"
                f" · pushed +{hops.push.p50:.0f} · the phone shows {wanted} after {shown_ms:.0f} ms"
            )
        after = self.wallets.shown("cafe", external_id)
        if before != after:
            tell(f"expected {before} again, the phone shows {after}")

    async def play_day(self, progress: Progress, *, lines_per_second: float | None) -> None:
        self.day_began_at = datetime.now(UTC)
        done = 0

        def count(_: Line) -> None:
            nonlocal done
            done += 1
            progress(done, len(self.lines))

        self.player = DayPlayer(self.operator, self.cafe, self.bookshop, self.kafka, count)
        await self.player.play(self.lines, lines_per_second=lines_per_second)

    async def settle(self) -> Reconciliation:
        """Wait until everything agrees, or until it evidently will not."""
        deadline = time.monotonic() + SETTLE_TIMEOUT_S
        while True:
            await self.wallets.fleet.settle()
            found = await self.reconcile()
            if found.is_complete or time.monotonic() > deadline:
                return found
            await asyncio.sleep(0.5)

    async def reconcile(self) -> Reconciliation:
        """Compare four views with the independent sum."""
        wanted_cafe = self.expected.balances["cafe"]
        wanted_shop = self.expected.balances["bookshop"]
        found = Reconciliation()
        found.ledger = _differences("ledger", wanted_cafe, await self.operator.balances(self.cafe))
        found.issuer = _differences(
            "issuer", wanted_cafe, await self.operator.shown_balances(self.cafe)
        ) + _differences(
            "issuer (bookshop)", wanted_shop, await self.operator.shown_balances(self.bookshop)
        )
        for slug, external_id in self.wallets.phones:
            wanted = self.expected.balances[slug][external_id]
            shown = self.wallets.shown(slug, external_id)
            if shown != wanted:
                found.iphones.append(f"iPhone of {slug} {external_id} shows {shown}, not {wanted}")
        for slug, external_id in self.wallets.google_objects:
            wanted = self.expected.balances[slug][external_id]
            shown = await self.wallets.shown_by_google(slug, external_id)
            if shown != wanted:
                found.google.append(f"Google: {slug} {external_id} shows {shown}, not {wanted}")
        return found

    async def finish(self, reconciliation: Reconciliation, seconds: float) -> Outcome:
        attempts = await Intruder(self).try_everything()
        letters = await self._dead_letters()
        pushes = (await self.http.get(f"{self.platform.apns_control}/summary")).json()
        google = (await self.http.get(f"{self.platform.google_url}/_control/summary")).json()
        recorder = (await self.http.get(f"{self.platform.dittofeed_url}/summary")).json()
        statistics = self.wallets.fleet.summary()
        failed = Counter(
            each.reason or each.outcome.value
            for channel in Channel
            for each in self.observatory.deliveries(channel)
            if each.outcome in {DeliveryOutcome.FAILED, DeliveryOutcome.DROPPED}
        )
        return Outcome(
            expected=self.expected.counts,
            reconciliation=reconciliation,
            a_link=next(iter(self.cafe.passes.values()))["link"],
            hops=self.observatory.hops(self.day_began_at),
            commands=self.player.outcomes + self.observatory.results(),
            dead_letters=letters,
            attempts=attempts,
            phones=len(self.wallets.phones),
            google_passes=len(self.wallets.google_objects),
            pushes=int(pushes.get("accepted", 0)),
            failed_deliveries=failed,
            log_lines=int(statistics["log_lines"]),
            anomalies=[str(each) for each in statistics.get("anomalies", [])][:10],
            google_violations=int(google.get("schema_violations", 0)),
            forwarded=_forwarded(recorder),
            seconds=seconds,
        )

    async def _dead_letters(self) -> Counter[str]:
        """By service and reason, once those that wait for what never comes are given up."""
        deadline = time.monotonic() + DEAD_LETTER_TIMEOUT_S
        while True:
            letters = await self.observatory.dead_letters()
            enough = len(letters) >= self.expected.counts["lines_raw"]
            if enough or time.monotonic() > deadline:
                return Counter(f"{service}: {letter.code}" for service, letter in letters)
            await asyncio.sleep(0.5)


def load_expected(examples: Path) -> Any:
    """The independent sum lives with the example, apart from everything that is summed."""
    specification = importlib.util.spec_from_file_location(
        "cafe_reconcile", examples / "reconcile.py"
    )
    if specification is None or specification.loader is None:
        raise FileNotFoundError(examples / "reconcile.py")
    module = importlib.util.module_from_spec(specification)
    # Its dataclasses look their module up.
    import sys  # noqa: PLC0415  # for this one registration

    sys.modules[specification.name] = module
    specification.loader.exec_module(module)
    return module.reconcile(examples)


def _differences(name: str, wanted: dict[str, int], found: dict[str, int]) -> list[str]:
    return [
        f"{name}: {external_id} has {found.get(external_id)}, not {balance}"
        for external_id, balance in wanted.items()
        if found.get(external_id) != balance
    ]


def _forwarded(summary: dict[str, Any]) -> dict[str, int]:
    """Track events that arrived at the marketing tool, by name, over all workspaces."""
    found: Counter[str] = Counter()
    for workspace in summary["workspaces"].values():
        found.update(workspace["by_name"])
    return dict(found)


def _took(started_at: float) -> str:
    return f"{(time.monotonic() - started_at) * 1000:.0f} ms"
