"""A new version of a template reaches passes that are there already, on real Postgres."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from passferry_contracts.events.balances import PassBalanceChanged
from passferry_contracts.events.directory import OperationReported, TemplatePublished
from passferry_contracts.events.rendered import PassRendered
from passferry_pass_issuer.app import build_job_runner
from passferry_pass_issuer.application import roll_out
from passferry_pass_issuer.application.run_jobs import RunJobs
from passferry_pass_issuer.domain.jobs import JobKind
from passferry_testing.cms_reader import verify_detached
from passferry_testing.google_simulator import GoogleSimulator
from passferry_testing.google_simulator.catalogue import TYPES
from passferry_testing.pki import DemoAuthority

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return DemoAuthority.create(tmp_path_factory.mktemp("pki"))


@pytest.fixture
async def office(harness, make, authority):
    async with make.open_office(harness, authority=authority) as opened:
        yield opened


class NothingWaits:
    async def is_long(self) -> bool:
        return False


@dataclass
class Shop:
    """A workspace with a template, its program and passes, and whoever does its rollouts."""

    office: Any
    runner: RunJobs
    make: Any
    workspace_id: str
    template_id: str
    program_id: str

    @property
    def base(self) -> str:
        return f"/workspaces/{self.workspace_id}"

    @property
    def path(self) -> str:
        return f"{self.base}/templates/{self.template_id}"

    async def issue(self, count: int, **more: Any) -> list[UUID]:
        passes = [
            {
                "program_id": self.program_id,
                "external_id": f"m-{n}",
                "holder": {"external_id": f"h-{n}"},
                **more,
            }
            for n in range(count)
        ]
        answer = await self.office.call("POST", f"{self.base}/passes/bulk", json={"passes": passes})
        return [UUID(each["pass"]["pass_id"]) for each in answer["results"]]

    async def publish(self, *, label: str = "PUNKTE", **changes: Any) -> None:
        body = self.make.template_json(**changes)
        body["apple"]["fields"]["header"][0]["label"] = label
        await self.office.call("PUT", self.path, json=body)
        await self.office.call("POST", f"{self.path}/publish")

    async def rollouts(self) -> list[Any]:
        return (await self.office.call("GET", f"{self.path}/rollouts"))["data"]

    async def step(self) -> bool:
        self.office.clock.advance(timedelta(seconds=1))
        return await self.runner.once()

    async def finish(self) -> Any:
        for _ in range(300):
            await self.step()
            newest = (await self.rollouts())[0]
            if newest["state"] in {"done", "failed", "cancelled"}:
                return newest
        raise AssertionError(newest)

    async def rows(self) -> list[Any]:
        return await self.office.rows(
            "SELECT * FROM pass_issuer.pass WHERE workspace_id = $1 ORDER BY pass_id",
            UUID(self.workspace_id),
        )

    async def rendered(self) -> list[PassRendered]:
        return await self.office.events(PassRendered)

    def balance(self, pass_id: UUID, number: int, amount: int, version: int) -> PassBalanceChanged:
        return PassBalanceChanged(
            workspace_id=UUID(self.workspace_id),
            pass_id=pass_id,
            external_id=f"m-{number}",
            program_id=UUID(self.program_id),
            version=version,
            previous_balance_minor=0,
            new_balance_minor=amount,
            change_minor=amount,
            unit="points",
            unit_scale=0,
            reason="earn",
            changed_at=self.office.clock.now(),
        )


def label_of(pass_json: str) -> str:
    return json.loads(pass_json)["storeCard"]["headerFields"][0]["label"]


def shown_balance(pass_json: str) -> int:
    return json.loads(pass_json)["storeCard"]["headerFields"][0]["value"]


@pytest.fixture
async def shop(office, make, authority):
    workspace_id = await office.workspace()
    await office.give_identity(workspace_id, authority)
    template_id = await office.template(workspace_id)
    program_id = await office.program(workspace_id, template_id=template_id)
    runner = build_job_runner(
        office.issuer.workbench.transactions,
        office.stores,
        issuer=office.issuer,
        press=office.press,
        directory=office.directory,
        results_kept_days=30,
    )
    runner = replace(runner, backlog=NothingWaits())
    return Shop(office, runner, make, workspace_id, template_id, program_id)


async def test_publishing_again_draws_all_passes_again_and_tells_each_once(shop):
    await shop.issue(250)
    before = len(await shop.rendered())
    await shop.publish()
    done = await shop.finish()
    assert (done["state"], done["template_version"]) == ("done", 2)
    assert (done["accepted"], done["changed"], done["unchanged"]) == (250, 250, 0)
    for row in await shop.rows():
        assert (row["template_version"], row["revision"]) == (2, 2)
        assert label_of(row["pass_json"]) == "PUNKTE"
    told = (await shop.rendered())[before:]
    assert len({each.pass_id for each in told}) == len(told) == 250
    assert {each.template_version for each in told} == {2}
    assert {each.causes[0].event_type for each in told} == {"template.published"}


async def test_the_first_version_of_a_template_rolls_nothing_out(shop):
    assert await shop.rollouts() == []


async def test_publishing_what_is_published_begins_nothing(shop):
    await shop.issue(1)
    await shop.publish()
    await shop.office.call("POST", f"{shop.path}/publish")
    assert len(await shop.rollouts()) == 1


async def test_passes_whose_bytes_stay_the_same_keep_their_revision(shop):
    await shop.issue(30)
    before = len(await shop.rendered())
    await shop.publish(label="POINTS", name="Another name of the template")
    done = await shop.finish()
    assert (done["changed"], done["unchanged"]) == (0, 30)
    assert len(await shop.rendered()) == before
    assert {(row["template_version"], row["revision"]) for row in await shop.rows()} == {(2, 1)}


async def test_only_passes_on_apple_devices_are_signed_again(shop, authority):
    first, _ = await shop.issue(2)
    await shop.office.rows(
        "UPDATE pass_issuer.pass SET is_on_apple = true WHERE pass_id = $1", first
    )
    await shop.publish()
    await shop.finish()
    on_apple, elsewhere = sorted(await shop.rows(), key=lambda row: row["pass_id"] != first)
    assert on_apple["signed_revision"] == on_apple["revision"]
    verify_detached(
        on_apple["signature"],
        on_apple["manifest"].encode(),
        root_pem=authority.root_pem,
        now=shop.office.clock.now(),
    )
    assert elsewhere["signature"] is None


async def test_a_pass_that_changes_live_keeps_both_the_change_and_the_new_version(shop):
    # proves: J84
    ids = await shop.issue(250)
    await shop.publish()
    for round_number in range(1, 4):
        events = [
            shop.balance(each, number, 10 * round_number, round_number)
            for number, each in enumerate(ids)
        ]
        shop.office.clock.advance(timedelta(seconds=1))
        chunks = [events[start : start + 50] for start in range(0, 250, 50)]
        outcomes, *_ = await asyncio.gather(
            _all(shop.office.hear(*chunk) for chunk in chunks),
            shop.runner.once(),
            shop.runner.once(),
        )
        assert set(outcomes) == {None}
    done = await shop.finish()
    assert done["changed"] + done["unchanged"] == 250
    for row in await shop.rows():
        assert row["template_version"] == 2
        assert (row["balance_minor"], row["ledger_version"]) == (30, 3)
        assert label_of(row["pass_json"]) == "PUNKTE"
        assert shown_balance(row["pass_json"]) == 30
    # Nobody was told an older version, or an older balance, after a newer one.
    last: dict[UUID, tuple[int, int]] = {}
    for each in await shop.rendered():
        seen = each.template_version, shown_balance(each.apple.pass_json)
        assert last.get(each.pass_id, (0, 0)) <= seen
        assert seen[0] >= last.get(each.pass_id, (0, 0))[0]
        last[each.pass_id] = seen


async def _all(awaitables):
    return [outcome for each in awaitables for outcome in await each]


async def test_a_newer_version_takes_the_place_of_a_rollout_under_way(shop):
    await shop.issue(250)
    await shop.publish()
    await shop.step()
    await shop.publish(label="PISTE")
    newer, older = await shop.rollouts()
    assert (older["state"], older["failure_code"]) == ("cancelled", "superseded")
    assert newer["template_version"] == 3
    await shop.finish()
    assert {label_of(row["pass_json"]) for row in await shop.rows()} == {"PISTE"}
    assert {row["template_version"] for row in await shop.rows()} == {3}


async def test_a_step_of_an_older_rollout_puts_nothing_back(shop):
    await shop.issue(5)
    await shop.publish()
    [older] = await shop.rollouts()
    jobs, transactions = shop.runner.jobs, shop.office.issuer.workbench.transactions
    async with transactions.transaction([UUID(shop.workspace_id)]) as transaction:
        key = UUID(shop.workspace_id), UUID(older["rollout_id"])
        job = await jobs.find(transaction, *key, for_update=False)
    await shop.publish(label="PISTE")
    await shop.finish()
    async with shop.office.issuer.workbench.open([job.workspace_id], actor="test") as work:
        ids = [row["pass_id"] for row in await shop.rows()]
        assert await shop.runner.steps[JobKind.ROLLOUT]._draw(work, job, ids) == []
    assert {row["template_version"] for row in await shop.rows()} == {3}


async def test_a_process_that_dies_goes_on_at_the_last_page(shop):
    await shop.issue(250)
    await shop.publish()
    await shop.step()
    [half] = await shop.rollouts()
    assert half["done"] == 100
    before = len(await shop.rendered())
    again = replace(shop, runner=replace(shop.runner, replica_id=uuid4()))
    assert (await again.finish())["changed"] == 250
    assert len(await shop.rendered()) == before + 150


async def test_a_rollout_can_be_paused_resumed_and_cancelled(shop):
    await shop.issue(250)
    await shop.publish()
    await shop.step()
    [rollout] = await shop.rollouts()
    path = f"{shop.path}/rollouts/{rollout['rollout_id']}"
    assert (await shop.office.call("POST", f"{path}/pause"))["state"] == "paused"
    await shop.step()
    assert (await shop.office.call("GET", path))["done"] == 100
    await shop.office.call("POST", f"{path}/resume")
    await shop.step()
    assert (await shop.office.call("GET", path))["done"] == 200
    assert (await shop.office.call("POST", f"{path}/cancel"))["state"] == "cancelled"
    await shop.step()
    versions = [row["template_version"] for row in await shop.rows()]
    assert (versions.count(1), versions.count(2)) == (50, 200)


async def test_a_rollout_goes_no_faster_than_it_may(shop):
    await shop.issue(60)
    await shop.publish()
    [first] = await shop.rollouts()
    await shop.office.call("POST", f"{shop.path}/rollouts/{first['rollout_id']}/cancel")
    body = {"max_per_second": 20}
    await shop.office.call("POST", f"{shop.path}/rollouts", status=202, json=body)
    assert await shop.runner.once()
    assert await shop.runner.once()
    assert (await shop.rollouts())[0]["done"] == 20
    assert not await shop.runner.once()
    shop.office.clock.advance(timedelta(seconds=1))
    assert await shop.runner.once()
    assert (await shop.rollouts())[0]["done"] == 40


async def test_ended_passes_are_drawn_only_when_asked_for(shop):
    ids = await shop.issue(4)
    await shop.office.call("POST", f"{shop.base}/passes/{ids[0]}/void")
    await shop.office.call("POST", f"{shop.base}/passes/{ids[1]}/expire")
    await shop.office.call("DELETE", f"{shop.base}/passes/{ids[2]}")
    await shop.publish()
    assert (await shop.finish())["changed"] == 1
    body = {"include_ended": True}
    await shop.office.call("POST", f"{shop.path}/rollouts", status=202, json=body)
    assert (await shop.finish())["changed"] == 2
    versions = {row["pass_id"]: row["template_version"] for row in await shop.rows()}
    assert [versions[each] for each in ids] == [2, 2, 1, 2]


async def test_active_passes_come_first(shop):
    ids = await shop.issue(150)
    for each in ids[:50]:
        await shop.office.call("POST", f"{shop.base}/passes/{each}/void")
    await shop.publish()
    [first] = await shop.rollouts()
    await shop.office.call("POST", f"{shop.path}/rollouts/{first['rollout_id']}/cancel")
    body = {"include_ended": True}
    await shop.office.call("POST", f"{shop.path}/rollouts", status=202, json=body)
    await shop.runner.once()
    await shop.runner.once()
    drawn = {row["status"] for row in await shop.rows() if row["template_version"] == 2}
    assert drawn == {"active"}
    assert (await shop.finish())["changed"] == 150


async def test_a_pass_that_cannot_be_shown_keeps_its_version_and_is_listed(shop):
    await shop.issue(3)
    [odd, *_] = [row["pass_id"] for row in await shop.rows()]
    await shop.office.rows(
        'UPDATE pass_issuer.pass SET field_values = \'{"favourite": "Tee ü"}\' WHERE pass_id = $1',
        odd,
    )
    layout = shop.make.template_json()["apple"] | {
        "barcode": {
            "format": "code128",
            "message": {"source": "field.favourite", "default": "NONE"},
        }
    }
    await shop.publish(apple=layout)
    done = await shop.finish()
    assert (done["state"], done["changed"], done["refused"]) == ("done", 2, 1)
    answer = await shop.office.client.get(
        f"/api/v1{shop.path}/rollouts/{done['rollout_id']}/errors?format=ndjson",
        headers={"Authorization": f"Bearer {shop.office.administrator_key}"},
    )
    refused, end = map(json.loads, answer.text.splitlines())
    assert refused["pass_id"] == str(odd)
    assert refused["detail"]
    assert end == {"lines": 1, "complete": True}
    versions = {row["pass_id"]: row["template_version"] for row in await shop.rows()}
    assert versions.pop(odd) == 1
    assert set(versions.values()) == {2}


async def test_a_pass_never_moves_to_another_pass_type(shop):
    await shop.issue(2)
    await shop.publish(pass_type_identifier="pass.com.example.other")
    done = await shop.finish()
    assert (done["changed"], done["refused"]) == (0, 2)
    assert {row["template_version"] for row in await shop.rows()} == {1}


async def test_a_pass_at_fault_is_found_and_its_neighbours_are_drawn(shop):
    await shop.issue(120)
    bad = (await shop.rows())[70]["pass_id"]
    await shop.publish()
    step = shop.runner.steps[JobKind.ROLLOUT]

    class Picky:
        async def store_showable(self, transaction, changes):
            if any(change.before.pass_id == bad for change in changes):
                raise ValueError("a fault of ours")
            return await step.revisions.store_showable(transaction, changes)

    steps = {**shop.runner.steps, JobKind.ROLLOUT: replace(step, revisions=Picky())}
    done = await replace(shop, runner=replace(shop.runner, steps=steps)).finish()
    assert (done["accepted"], done["changed"], done["refused"]) == (120, 119, 1)
    versions = {row["pass_id"]: row["template_version"] for row in await shop.rows()}
    assert versions.pop(bad) == 1
    assert set(versions.values()) == {2}


async def test_a_pass_that_was_issued_with_the_old_version_meanwhile_is_not_left_behind(shop):
    await shop.issue(3)
    await shop.publish()
    [job] = await shop.rollouts()
    await shop.step()
    # Committed late, with an id before the place that the rollout has reached.
    late = (await shop.rows())[0]["pass_id"]
    await shop.office.rows(
        "UPDATE pass_issuer.pass SET template_version = 1 WHERE pass_id = $1", late
    )
    done = await shop.finish()
    assert done["rollout_id"] == job["rollout_id"]
    assert {row["template_version"] for row in await shop.rows()} == {2}


async def test_progress_of_a_rollout_is_told(shop, monkeypatch):
    monkeypatch.setattr(roll_out, "PAGE_PASSES", 10)
    await shop.issue(100)
    await shop.publish()
    await shop.finish()
    told = await shop.office.events(OperationReported)
    assert {each.kind for each in told} == {"rollout"}
    percents = [each.details["percent"] for each in told]
    assert percents == sorted(percents)
    assert set(range(10, 101, 10)) <= set(percents)
    assert told[-1].details["state"] == "done"


async def test_passes_of_a_suspended_program_wait_and_hold_up_no_other(office, shop):
    # proves: J84, C3
    ids = await shop.issue(3)
    beside = await office.program(shop.workspace_id, template_id=shop.template_id)
    body = {"program_id": beside, "holder": {"external_id": "h-0"}}
    waiting = await office.call("POST", f"{shop.base}/passes", status=201, json=body)
    program = f"{shop.base}/programs/{beside}"
    await office.call("PATCH", program, json={"status": "suspended"})
    await shop.publish()
    for _ in range(10):
        await shop.step()
    [shown] = await shop.rollouts()
    assert (shown["state"], shown["waits_for"]) == ("running", "program_suspended")
    versions = {row["pass_id"]: row["template_version"] for row in await shop.rows()}
    assert versions == {**dict.fromkeys(ids, 2), UUID(waiting["pass_id"]): 1}
    await office.call("PATCH", program, json={"status": "active"})
    done = await shop.finish()
    assert (done["changed"], done["refused"], done["waits_for"]) == (4, 0, None)
    assert {row["template_version"] for row in await shop.rows()} == {2}


async def test_a_suspended_workspace_is_not_drawn_again(office, shop):
    await shop.issue(3)
    await shop.publish()
    await office.call("PATCH", shop.base, json={"suspended": True})
    await shop.step()
    assert (await shop.rollouts())[0]["waits_for"] == "workspace_suspended"
    assert {row["template_version"] for row in await shop.rows()} == {1}
    await office.call("PATCH", shop.base, json={"suspended": False})
    done = await shop.finish()
    assert (done["accepted"], done["changed"], done["percent"]) == (3, 3, 100)


async def test_rollouts_of_another_workspace_are_unknown(office, shop):
    # proves: J70
    await shop.issue(1)
    await shop.publish()
    done = await shop.finish()
    other = await office.workspace()
    key = await office.key(other, "owner")
    foreign = f"/workspaces/{other}/templates/{shop.template_id}/rollouts"
    assert (await office.call("GET", foreign, key=key))["data"] == []
    path = f"{foreign}/{done['rollout_id']}"
    for each in (path, f"{path}/errors"):
        await office.call("GET", each, key=key, status=404)
    await office.call("POST", f"{path}/cancel", key=key, status=404)
    await office.call("POST", foreign, key=key, status=409, json={})
    own = f"{shop.path}/rollouts"
    await office.call("GET", own, key=key, status=404)
    member = await office.key(shop.workspace_id, "member")
    await office.call("POST", own, key=member, status=403, json={})


async def test_the_same_request_starts_one_rollout(shop):
    await shop.issue(1)
    await shop.publish()
    await shop.finish()
    headers = {"Idempotency-Key": "again"}
    path = f"{shop.path}/rollouts"
    first = await shop.office.call("POST", path, status=202, json={}, headers=headers)
    again = await shop.office.call("POST", path, status=202, json={}, headers=headers)
    assert first["rollout_id"] == again["rollout_id"]
    assert len(await shop.rollouts()) == 2


async def test_a_pass_that_google_knows_in_another_vertical_is_left_as_it_is(shop):
    """Ids are unique across Google's verticals: its object could never be changed again."""
    [pass_id] = await shop.issue(1)
    # As it was published when that was let through.
    await shop.office.rows(
        """UPDATE pass_issuer.template
        SET content = jsonb_set(content, '{google,vertical}', '"generic"')
        WHERE template_id = $1""",
        UUID(shop.template_id),
    )
    google = shop.make.template_json()["google"] | {"vertical": "generic"}
    await shop.publish(label="PUNKTE", google=google)
    done = await shop.finish()
    assert (done["changed"], done["refused"]) == (0, 1)
    [row] = await shop.rows()
    assert label_of(row["pass_json"]) == "POINTS"
    answer = await shop.office.client.get(
        f"/api/v1{shop.path}/rollouts/{done['rollout_id']}/errors?format=ndjson",
        headers={"Authorization": f"Bearer {shop.office.administrator_key}"},
    )
    refused, _ = map(json.loads, answer.text.splitlines())
    assert (refused["pass_id"], refused["code"]) == (str(pass_id), "google_vertical_changed")


@pytest.mark.parametrize("dropped", ["google", "apple"])
async def test_a_pass_stays_in_the_wallet_that_a_new_version_is_not_for(shop, dropped):
    """Drawn again, a spent ticket would stay good on the phones of the other wallet."""
    saved, other = await shop.issue(2)
    await shop.office.rows(
        f"UPDATE pass_issuer.pass SET is_on_{dropped} = true WHERE pass_id = $1", saved
    )
    kept = {"google": "apple", "apple": "google"}[dropped]
    changes = {"platform": kept, dropped: None}
    body = shop.make.template_json(**changes)
    await shop.office.call("PUT", shop.path, json=body)
    findings = (await shop.office.call("GET", f"{shop.path}/lint"))["findings"]
    assert f"{dropped}_dropped" in {each["code"] for each in findings}
    await shop.office.call("POST", f"{shop.path}/publish")
    done = await shop.finish()
    assert (done["changed"], done["refused"]) == (1, 1)
    versions = {row["pass_id"]: row["template_version"] for row in await shop.rows()}
    assert versions == {saved: 1, other: 2}
    # Its end is still told to the wallet that has it.
    await shop.office.call("POST", f"{shop.base}/passes/{saved}/void", json={"reason": "used"})
    last = (await shop.rendered())[-1]
    assert (last.pass_id, getattr(last, dropped) is not None) == (saved, True)


RICH = {
    "issuer_name": "Café Ferry",
    "title": {"text": "Card", "translations": {"de": "Karte"}},
    "logo_url": "https://passes.example/logo.png",
    "homepage_url": "https://ferry.example/",
    "barcode": {"format": "qr", "alternate_text": "old text"},
    "text_modules": [{"key": "words", "header": "Old", "body": "old words"}],
    "links": [{"key": "mine", "address": {"source": "field.page"}, "description": "old link"}],
    "example_values": {"page": "https://ferry.example/mine"},
    "app_link": {"display_text": "old app", "web_uri": "https://ferry.example/app"},
    "class": {
        "homepageUri": {"description": "old page"},
        "localizedProgramName": {"translatedValues": [{"language": "fr", "value": "old name"}]},
    },
    "object": {
        "infoModuleData": {"labelValueRows": [{"columns": [{"label": "old", "value": "old"}]}]},
        "passConstraints": {"screenshotEligibility": "INELIGIBLE", "nfcConstraint": ["BLOCK_PAYMENT"]},
    },
}  # fmt: skip
PLAIN = {
    "issuer_name": "Café Ferry",
    "title": "Card",
    "logo_url": "https://passes.example/logo.png",
    "homepage_url": "https://ferry.example/",
    "barcode": {"format": "qr"},
    "app_link": {"web_uri": "https://ferry.example/app"},
    "object": {"passConstraints": {"screenshotEligibility": "INELIGIBLE"}},
}


async def test_what_a_later_version_no_longer_says_leaves_google_at_every_depth(shop):
    """Google merges what it is sent: what is dropped within an object is taken back too."""
    # proves: C10, J84
    await shop.publish(google=RICH)
    [pass_id] = await shop.issue(1, fields={"page": "https://ferry.example/mine"})
    catalogue = GoogleSimulator().catalogue
    last_class = (await shop.office.events(TemplatePublished))[-1].google_class
    issuer_id = last_class.issuer_id
    catalogue.insert(TYPES["loyaltyclass"], last_class.class_body, issuer_id=issuer_id)
    body = (await shop.rendered())[-1].google.object_body
    held = catalogue.insert(TYPES["loyaltyobject"], body, issuer_id=issuer_id)
    assert "old" in json.dumps(held.body)
    await shop.publish(google=PLAIN)
    await shop.finish()
    last_class = (await shop.office.events(TemplatePublished))[-1].google_class
    shown = catalogue.patch(
        TYPES["loyaltyclass"], last_class.class_id, last_class.class_body, issuer_id=issuer_id
    )
    told = (await shop.rendered())[-1]
    assert told.pass_id == pass_id
    held = catalogue.patch(
        TYPES["loyaltyobject"], body["id"], told.google.object_body, issuer_id=issuer_id
    )
    assert "old" not in json.dumps([shown.body, held.body])
    assert held.body["passConstraints"] == {"screenshotEligibility": "INELIGIBLE"}
    assert not {"textModulesData", "linksModuleData", "infoModuleData"} & held.body.keys()
