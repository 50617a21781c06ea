"""A pass that cannot be drawn can still be ended, by whoever may end it."""

from __future__ import annotations

import json
from datetime import timedelta
from uuid import UUID

import pytest

from passferry_contracts.events.balances import PassBalanceChanged, PassRedeemed
from passferry_contracts.events.inbound import InboundPassVoided, InboundRedeemed
from passferry_contracts.events.ledger import CommandCompleted, TransferCommand
from passferry_contracts.events.passes import PassDeleted, PassVoided
from passferry_contracts.events.rendered import PassRendered
from passferry_contracts.registry import LINK_CHANGED, PASS_RENDERED
from passferry_pass_issuer.adapters.wallet_renderer import WalletRenderer
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_runtime.ids import uuid7
from passferry_testing.pki import DemoAuthority

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return DemoAuthority.create(tmp_path_factory.mktemp("pki"))


@pytest.fixture
async def office(harness, make, authority):
    async with make.open_office(harness, authority=authority) as opened:
        yield opened


@pytest.fixture
async def shop(office):
    workspace_id = await office.workspace()
    base = f"/workspaces/{workspace_id}"
    programs = {}

    async def issue(owner="passferry", **body):
        if owner not in programs:
            money = {"protocol": "GIFT_CARD", "unit": "EUR", "unit_scale": 2}
            programs[owner] = await office.program(workspace_id, balance_owner=owner, **money)
        given = {"program_id": programs[owner], "opening_balance_minor": 500, **body}
        return await office.call("POST", f"{base}/passes", status=201, json=given)

    issue.base, issue.workspace_id = base, workspace_id
    return issue


@pytest.fixture
def undrawable(monkeypatch):
    def refuse(*, bare=False):
        def refusing(self, subject):
            raise ContentRejected("invalid", "fields.points", "cannot be shown")

        monkeypatch.setattr(WalletRenderer, "render", refusing)
        if bare:
            monkeypatch.setattr(WalletRenderer, "render_bare", refusing)

    return refuse


async def shown(office, shop, issued):
    passes = await office.rows(
        "SELECT status, status_reason, revision, balance_minor FROM pass_issuer.pass"
        " WHERE pass_id = $1",
        UUID(issued["pass_id"]),
    )
    return dict(passes[0])


async def keep_time(office, **later):
    office.clock.advance(timedelta(**later))
    await office.issuer.life.keep_time()


async def test_a_stolen_card_that_cannot_be_drawn_is_blocked(office, shop, undrawable):
    # proves: A5
    one = await shop()
    undrawable()
    path = f"{shop.base}/passes/{one['pass_id']}/void"
    answer = await office.call("POST", path, json={"reason": "fraud"})
    assert (answer["status"], answer["revision"]) == ("voided", 2)
    [told] = await office.events(PassVoided)
    assert (str(told.pass_id), told.reason, told.revision) == (one["pass_id"], "fraud", 2)
    # A thief's wallet is told, with a last revision that shows nothing of the card.
    last = (await office.events(PassRendered))[-1]
    assert json.loads(last.apple.pass_json)["voided"] is True
    assert last.google.object_body["state"] == "INACTIVE"
    await office.call("POST", path, json={"reason": "fraud"})
    assert len(await office.events(PassVoided)) == 1


async def test_what_cannot_be_drawn_is_deleted_and_taken_back_at_once(office, shop, undrawable):
    # proves: J93
    one = await shop()
    undrawable(bare=True)
    await office.call("DELETE", f"{shop.base}/passes/{one['pass_id']}")
    assert len(await office.events(PassDeleted)) == 1
    await keep_time(office, seconds=0)
    kept = await office.compacted(PASS_RENDERED, LINK_CHANGED)
    assert set(kept.values()) == {None}


async def test_a_lost_card_that_cannot_be_drawn_is_void_when_its_balance_has_moved(
    office, shop, undrawable
):
    one = await shop()
    path = f"{shop.base}/passes/{one['pass_id']}"
    await office.call("POST", f"{path}/reissue", status=201)
    [command] = await office.events(TransferCommand)
    undrawable()
    moved = CommandCompleted(
        workspace_id=command.workspace_id,
        command_event_id="e-1",
        command_type="ledger.transfer",
        idempotency_key=command.idempotency_key,
        pass_id=command.pass_id,
        outcome="applied",
        balance_minor=0,
        completed_at="2026-05-14T12:00:00Z",
    )
    assert await office.hear(moved) == [None]
    assert (await shown(office, shop, one))["status_reason"] == "replaced"
    [replacement] = await office.rows("SELECT state FROM pass_issuer.pass_replacement")
    assert replacement["state"] == "done"


@pytest.mark.parametrize("bare", [False, True])
async def test_a_card_that_is_used_up_is_void_although_it_cannot_be_drawn(
    office, shop, undrawable, bare
):
    # proves: A5
    one, beside = await shop(), await shop()

    def balance(issued, amount, **more):
        return PassBalanceChanged(
            workspace_id=UUID(shop.workspace_id),
            pass_id=UUID(issued["pass_id"]),
            external_id=issued["external_id"],
            program_id=UUID(issued["program_id"]),
            version=1,
            previous_balance_minor=500,
            new_balance_minor=amount,
            change_minor=amount - 500,
            unit=issued["unit"],
            reason="redeem",
            changed_at=issued["created_at"],
            **more,
        )

    undrawable(bare=bare)
    events = [balance(one, 0, exhausted=True), balance(beside, 400)]
    codes = [each and each.code for each in await office.hear(*events)]
    assert codes == [None, "invalid"]
    row = await shown(office, shop, one)
    assert (row["status"], row["status_reason"], row["balance_minor"]) == (
        "voided",
        "exhausted",
        0,
    )
    await office.hear(events[0])
    [told] = await office.events(PassVoided)
    assert (str(told.pass_id), told.reason) == (one["pass_id"], "exhausted")
    assert (await shown(office, shop, beside))["status"] == "active"


async def test_the_use_that_ends_a_card_counts_although_it_cannot_be_drawn(
    office, shop, undrawable
):
    # proves: A5
    one = await shop()
    undrawable(bare=True)
    at = office.clock.now()
    last = PassRedeemed(
        workspace_id=UUID(shop.workspace_id),
        pass_id=UUID(one["pass_id"]),
        external_id=one["external_id"],
        program_id=UUID(one["program_id"]),
        version=1,
        redemption_id=uuid7(),
        amount_minor=500,
        remaining_minor=0,
        exhausted=True,
        unit=one["unit"],
        redeemed_at=at,
    )
    assert await office.hear(last) == [None]
    [row] = await office.rows(
        "SELECT status, uses, last_used_at, redeemed_version FROM pass_issuer.pass"
    )
    assert tuple(row.values()) == ("voided", 1, at, 1)


async def test_an_upstream_ends_passes_that_cannot_be_drawn(office, shop, undrawable):
    # proves: A5
    voided, used, fine = [await shop("upstream") for _ in range(3)]
    undrawable()

    def about(issued):
        return {
            "workspace_id": UUID(shop.workspace_id),
            "pass_id": UUID(issued["pass_id"]),
            "version": 2,
            "occurred_at": office.clock.now(),
        }

    void = InboundPassVoided(**about(voided), reason="fraud")
    use = InboundRedeemed(**about(used), amount_minor=500, remaining_minor=0, exhausted=True)
    part = InboundRedeemed(**about(fine), amount_minor=100, remaining_minor=400, exhausted=False)
    codes = [each and each.code for each in await office.hear(void, use, part)]
    assert codes == [None, None, "invalid"]
    told = {str(each.pass_id): each.reason for each in await office.events(PassVoided)}
    assert told == {voided["pass_id"]: "fraud", used["pass_id"]: "exhausted"}
    assert (await shown(office, shop, fine))["status"] == "active"
