"""The funnel of a program, from events and on real Postgres."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from passferry_contracts.envelope import Envelope
from passferry_contracts.events.wallet import (
    DeviceRegistered,
    DeviceUnregistered,
    PassDownloaded,
    PassInstalled,
    PassLinkOpened,
    PassUninstalled,
)
from passferry_contracts.registry import WALLET_ACTIVITY
from passferry_contracts.types import Platform
from passferry_runtime.kafka.records import Incoming, IncomingRecord
from passferry_testing.pki import DemoAuthority

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return DemoAuthority.create(tmp_path_factory.mktemp("pki"))


@pytest.fixture
async def office(harness, make, authority):
    async with make.open_office(harness, authority=authority) as opened:
        yield opened


class Cafe:
    def __init__(self, office, workspace_id, program_id):
        self.office, self.workspace_id, self.program_id = office, workspace_id, program_id
        self.base = f"/workspaces/{workspace_id}"

    async def issue(self, external_id):
        body = {"program_id": self.program_id, "external_id": external_id}
        issued = await self.office.call("POST", f"{self.base}/passes", status=201, json=body)
        return UUID(issued["pass_id"])

    async def link(self, external_id, label):
        path = f"{self.base}/passes/external:{external_id}/links"
        made = await self.office.call("POST", path, status=201, json={"label": label})
        return UUID(made["link_id"])

    def says(self, kind, pass_id, *, at=None, **more):
        moment = at or self.office.clock.now()
        times = {
            DeviceRegistered: "registered_at",
            DeviceUnregistered: "unregistered_at",
        }
        given = {"workspace_id": UUID(self.workspace_id), "pass_id": pass_id}
        return kind(**given, **{times.get(kind, "occurred_at"): moment}, **more)

    def device(self, kind, pass_id, name, **more):
        shared = {
            "pass_type_identifier": "pass.com.example.cafe",
            "serial_number": "s",
            "device_library_identifier": name,
            "push_token_sha256": "0" * 64,
        }
        if kind is DeviceRegistered:
            shared |= {"push_token_ciphertext": "AAAA", "is_new": True}
        else:
            shared |= {"reason": "requested"}
        return self.says(kind, pass_id, **(shared | more))

    async def funnel(self, query="", status=200):
        path = f"{self.base}/programs/{self.program_id}/funnel{query}"
        return await self.office.call("GET", path, status=status)

    async def hear(self, *events, ids=None):
        routes = self.office.press.routes(self.office.issuer)
        [route] = [each for each in routes if each.topic is WALLET_ACTIVITY]
        record = IncomingRecord(WALLET_ACTIVITY.name, 0, 0, 0, b"", b"", ())
        now = self.office.clock.now()
        batch = [
            Incoming(
                record,
                Envelope(id=id_, source="/t", type=each.event_type, time=now, data=each),
            )
            for each, id_ in zip(events, ids or [str(uuid4()) for _ in events], strict=True)
        ]
        return list(await route.handler(batch))


async def open_cafe(office):
    workspace_id = await office.workspace()
    return Cafe(office, workspace_id, await office.program(workspace_id))


@pytest.fixture
async def cafe(office):
    return await open_cafe(office)


async def test_the_funnel_counts_from_issued_to_still_installed(cafe, office):
    # proves: J88
    today = office.clock.now().date()
    ada, bob, eve = [await cafe.issue(name) for name in ("ada", "bob", "eve")]
    poster = await cafe.link("ada", "poster")
    opened = {"platform": Platform.APPLE}
    await cafe.hear(
        cafe.says(PassLinkOpened, ada, link_id=poster, **opened),
        cafe.says(PassLinkOpened, ada, link_id=poster, **opened),
        cafe.says(PassLinkOpened, bob, platform=Platform.GOOGLE),
        cafe.says(PassDownloaded, ada, revision=1, **opened),
        cafe.device(DeviceRegistered, ada, "phone"),
        cafe.device(DeviceRegistered, ada, "watch"),
        cafe.says(PassInstalled, bob, platform=Platform.GOOGLE),
        cafe.device(DeviceUnregistered, ada, "watch"),
    )
    totals = (await cafe.funnel())["totals"]
    assert totals["issued"] == 3
    assert totals["opened"] == {
        "passes": 2,
        "events": 3,
        "apple": {"passes": 1, "events": 2},
        "google": {"passes": 1, "events": 1},
    }
    assert totals["downloaded"]["passes"] == 1
    assert (totals["installed"]["passes"], totals["installed"]["events"]) == (2, 3)
    assert (totals["removed"]["passes"], totals["removed"]["events"]) == (1, 1)
    assert totals["still_installed"] == {"passes": 2, "apple": 1, "google": 1}
    by_label = {each["label"]: each for each in (await cafe.funnel())["links"]}
    assert by_label["poster"]["installed"]["passes"] == 1
    assert by_label[""]["installed"]["google"] == {"passes": 1, "events": 1}
    [template] = (await cafe.funnel())["templates"]
    assert (template["issued"], template["installed"]["passes"]) == (3, 2)
    office.clock.advance(timedelta(days=1))
    await cafe.hear(
        cafe.device(DeviceUnregistered, ada, "phone"),
        cafe.says(PassUninstalled, bob, platform=Platform.GOOGLE),
    )
    after = await cafe.funnel()
    assert after["totals"]["still_installed"] == {"passes": 0, "apple": 0, "google": 0}
    assert [(each["day"], each["issued"], each["removed"]["events"]) for each in after["days"]] == [
        (today.isoformat(), 3, 1),
        ((today + timedelta(days=1)).isoformat(), 0, 2),
    ]
    # As it was the day before.
    before = await cafe.funnel(f"?from={today}&to={today}")
    assert before["totals"]["still_installed"]["passes"] == 2
    assert eve


async def test_an_event_counts_once_however_often_it_comes(cafe):
    # proves: J88
    ada = await cafe.issue("ada")
    event = cafe.device(DeviceRegistered, ada, "phone")
    await cafe.hear(event, event, ids=["e-1", "e-1"])
    await cafe.hear(event, ids=["e-1"])
    assert (await cafe.funnel())["totals"]["installed"] == {
        "passes": 1,
        "events": 1,
        "apple": {"passes": 1, "events": 1},
    }


async def test_an_event_that_waits_for_its_pass_is_counted_when_it_comes(cafe):
    ada = await cafe.issue("ada")
    unknown = cafe.says(PassLinkOpened, uuid4(), platform=Platform.APPLE)
    known = cafe.says(PassLinkOpened, ada, platform=Platform.APPLE)
    codes = [each.code if each else None for each in await cafe.hear(unknown, known)]
    assert codes == ["pass_unknown", None]
    assert (await cafe.funnel())["totals"]["opened"]["events"] == 1


async def test_a_downloaded_pass_that_is_not_there_counts_for_nothing(cafe):
    gone = cafe.says(PassDownloaded, uuid4(), platform=Platform.APPLE)
    assert await cafe.hear(gone) == [None]
    assert (await cafe.funnel())["totals"]["downloaded"]["events"] == 0


async def test_counts_of_one_workspace_are_not_anothers(cafe, office):
    # proves: J70
    other = await open_cafe(office)
    ada = await cafe.issue("ada")
    # The right pass under the wrong workspace, and a link of somebody else.
    theirs = cafe.says(PassDownloaded, ada, platform=Platform.APPLE)
    await cafe.hear(theirs.model_copy(update={"workspace_id": UUID(other.workspace_id)}))
    await other.issue("bob")
    foreign = await other.link("bob", "secret label")
    await cafe.hear(cafe.says(PassLinkOpened, ada, link_id=foreign, platform=Platform.APPLE))
    shown = await cafe.funnel()
    assert shown["totals"]["downloaded"]["events"] == 0
    assert [each["label"] for each in shown["links"]] == [""]
    assert (await other.funnel())["totals"]["downloaded"]["events"] == 0
    path = f"/workspaces/{other.workspace_id}/programs/{cafe.program_id}/funnel"
    await office.call("GET", path, status=404)


@pytest.mark.parametrize(
    "query",
    [
        "?from=2026-05-15&to=2026-05-14",
        "?from=2024-01-01&to=2026-01-01",
        "?from=yesterday",
        "?to=9999-12-31&from=9999-12-30",
    ],
)
async def test_a_period_that_is_none_is_refused(cafe, query):
    assert (await cafe.funnel(query, status=422))["errors"][0]["field"]


async def test_two_batches_at_once_lose_no_count(cafe):
    # As after a rebalance, when two replicas have events of one pass.
    ada = await cafe.issue("ada")
    batches = [
        [cafe.says(PassDownloaded, ada, platform=Platform.APPLE) for _ in range(5)]
        for _ in range(4)
    ]
    await asyncio.gather(*(cafe.hear(*batch) for batch in batches))
    assert (await cafe.funnel())["totals"]["downloaded"] == {
        "passes": 1,
        "events": 20,
        "apple": {"passes": 1, "events": 20},
    }
