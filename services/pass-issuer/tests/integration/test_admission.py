"""What upstream systems say of passes whose balance they keep, on real Postgres."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from passferry_contracts.events.balances import PassBalanceChanged, PassRedeemed
from passferry_contracts.events.inbound import (
    InboundBalanceChanged,
    InboundHolder,
    InboundPassCreated,
    InboundPassUpdated,
    InboundPassVoided,
    InboundRedeemed,
)
from passferry_contracts.events.passes import PassCreated, PassUpdated, PassVoided
from passferry_contracts.events.rendered import PassRendered
from passferry_contracts.types import BalanceOwner
from passferry_runtime.errors import Rejected, RetryLater
from passferry_testing.pki import DemoAuthority

pytestmark = pytest.mark.integration

AT = datetime(2026, 5, 14, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return DemoAuthority.create(tmp_path_factory.mktemp("pki"))


@pytest.fixture
async def office(harness, make, authority):
    async with make.open_office(harness, authority=authority) as opened:
        yield opened


class Upstream:
    """A shop's own system, which knows its external ids and nothing of ours."""

    def __init__(self, office, workspace_id: str, program_id: str) -> None:
        self.office = office
        self.workspace_id, self.program_id = UUID(workspace_id), UUID(program_id)

    def says(self, kind, version, *, external_id="book-1", **more):
        address = {"workspace_id": self.workspace_id, "external_id": external_id}
        return kind(**(address | {"version": version, "occurred_at": AT} | more))

    def created(self, version=1, **more):
        holder = InboundHolder(external_id="h-1", full_name="Þóra Ægisdóttir")
        given = {"program_id": self.program_id, "holder": holder, "balance_minor": 30}
        return self.says(InboundPassCreated, version, **(given | more))

    def balance(self, amount, version, **more):
        return self.says(InboundBalanceChanged, version, new_balance_minor=amount, **more)

    def redeemed(self, amount, version, **more):
        given = {"amount_minor": amount, "remaining_minor": 0}
        return self.says(InboundRedeemed, version, **(given | more))

    async def codes(self, *events):
        return [each.code if each else None for each in await self.office.hear(*events)]


@pytest.fixture
async def shop(office):
    workspace_id = await office.workspace(business_ids=["shop-7"])
    program_id = await office.program(workspace_id, balance_owner="upstream")
    return Upstream(office, workspace_id, program_id)


def shown(rendering):
    return json.loads(rendering.apple.pass_json)["storeCard"]["headerFields"][0]["value"]


async def test_an_upstream_issues_a_pass_once_and_keeps_its_balance(shop, office):
    assert await shop.codes(shop.created(version=3)) == [None]
    assert await shop.codes(shop.created(version=3), shop.balance(45, version=7)) == [None, None]
    [created] = await office.events(PassCreated)
    assert (created.external_id, created.balance_owner) == ("book-1", BalanceOwner.UPSTREAM)
    assert created.recipient_name == "Þóra Ægisdóttir"
    assert [shown(each) for each in await office.events(PassRendered)] == [30, 45]
    [changed] = await office.events(PassBalanceChanged)
    assert (changed.pass_id, changed.external_id) == (created.pass_id, "book-1")
    assert (changed.previous_balance_minor, changed.new_balance_minor) == (30, 45)
    assert (changed.change_minor, changed.version) == (15, 7)


async def test_an_upstream_cannot_issue_what_is_over_already(shop, office):
    assert await shop.codes(shop.created(expires_at="2020-01-01T00:00:00Z")) == ["expires_at_past"]
    assert await office.events(PassCreated) == []


async def test_the_upstreams_versions_decide_whatever_the_order_of_arrival(shop, office):
    await shop.codes(shop.created())
    # Gaps pass; what is older or equal is ignored, in one batch or in several.
    batch = [shop.balance(9, 9), shop.balance(5, 5), shop.balance(9, 9), shop.balance(20, 20)]
    assert await shop.codes(*batch) == [None] * 4
    assert await shop.codes(shop.balance(8, 8), shop.balance(20, 20)) == [None, None]
    told = await office.events(PassBalanceChanged)
    assert [(each.version, each.change_minor) for each in told] == [(9, -21), (20, 11)]
    # Both were told, and what they came to was drawn once.
    assert [shown(each) for each in await office.events(PassRendered)] == [30, 20]
    last = (await office.events(PassRendered))[-1]
    ids = [
        each.id for each in await office.envelopes() if isinstance(each.data, PassBalanceChanged)
    ]
    assert [cause.event_id for cause in last.causes] == ids


async def test_what_two_upstreams_call_by_one_id_stays_two_events(shop, office):
    await shop.codes(shop.created(), shop.created(external_id="book-2", holder=InboundHolder()))
    await shop.codes(shop.balance(1, 2), shop.balance(1, 2, external_id="book-2"))
    events = [
        each for each in await office.envelopes() if isinstance(each.data, PassBalanceChanged)
    ]
    assert len({each.id for each in events}) == 2


async def test_a_final_redemption_voids_the_pass_and_is_told_once(shop, office):
    # proves: A4
    await shop.codes(shop.created())
    final = shop.redeemed(30, 4, exhausted=True, merchant_name="Buchladen", reference="r-1")
    assert await shop.codes(final, shop.balance(0, 4), final) == [None] * 3
    [redeemed] = await office.events(PassRedeemed)
    assert (redeemed.amount_minor, redeemed.merchant_name, redeemed.version) == (30, "Buchladen", 4)
    [voided] = await office.events(PassVoided)
    assert voided.reason == "exhausted"
    assert await shop.codes(shop.says(InboundPassVoided, 9, reason="fraud")) == [None]
    assert len(await office.events(PassVoided)) == 1


async def test_fields_and_expiry_change_and_are_told(shop, office):
    await shop.codes(shop.created(fields={"favourite": "Tea"}))
    update = shop.says(
        InboundPassUpdated, 2, fields={"favourite": "Mate"}, expires_at="2030-01-01T00:00:00Z"
    )
    assert await shop.codes(update, update) == [None, None]
    [updated] = await office.events(PassUpdated)
    assert updated.changed_fields == ["expires_at", "favourite"]
    assert "Mate" in (await office.events(PassRendered))[-1].apple.pass_json


async def test_one_bad_event_of_a_batch_spoils_only_itself(shop, office):
    await shop.codes(shop.created(), shop.created(external_id="book-2", holder=InboundHolder()))
    nested = shop.says(InboundPassUpdated, 2, fields={"favourite": {"a": 1}})
    too_long = shop.says(InboundPassUpdated, 2, fields={"favourite": "x" * 2_001})
    fine = shop.balance(77, 2, external_id="book-2")
    assert await shop.codes(nested, fine, too_long) == ["invalid", None, "too_long"]
    assert shown((await office.events(PassRendered))[-1]) == 77


async def test_a_value_that_the_barcode_cannot_hold_spoils_only_its_own_pass(shop, office, make):
    # The refusal comes with the drawing, when the whole batch is in one transaction.
    layout = make.template_json()["apple"] | {
        "barcode": {
            "format": "code128",
            "message": {"source": "field.ticket", "default": "NONE"},
        }
    }
    template_id = await office.template(str(shop.workspace_id), apple=layout)
    shop.program_id = UUID(
        await office.program(
            str(shop.workspace_id), balance_owner="upstream", template_id=template_id, name="T"
        )
    )
    await shop.codes(shop.created(), shop.created(external_id="book-2", holder=InboundHolder()))
    bad = shop.says(InboundPassUpdated, 2, fields={"ticket": "日本"})
    outcomes = await office.hear(bad, shop.balance(77, 2, external_id="book-2"))
    assert isinstance(outcomes[0], Rejected)
    assert outcomes[1] is None
    assert [shown(each) for each in await office.events(PassRendered)] == [30, 30, 77]
    [told] = await office.events(PassBalanceChanged)
    assert told.external_id == "book-2"


async def test_what_is_not_known_yet_waits(shop):
    early = shop.balance(1, 2)
    unknown_workspace = early.model_copy(update={"workspace_id": uuid4()})
    unknown_business = early.model_copy(update={"business_id": "shop-8"})
    no_program = shop.created(program_id=uuid4())
    outcomes = await shop.office.hear(early, unknown_workspace, unknown_business, no_program)
    assert [(type(each), each.code) for each in outcomes] == [
        (RetryLater, "pass_unknown"),
        (RetryLater, "workspace_unknown"),
        (RetryLater, "workspace_unknown"),
        (RetryLater, "program_unknown"),
    ]
    # The pass came: the same event is admitted now.
    assert await shop.codes(shop.created(), early) == [None, None]


async def test_a_workspace_is_named_by_its_business_id_too(shop, office):
    by_business = {"workspace_id": None, "business_id": "shop-7"}
    assert await shop.codes(shop.created(**by_business)) == [None]
    assert await shop.codes(shop.balance(4, 2, **by_business)) == [None]
    assert shown((await office.events(PassRendered))[-1]) == 4


async def test_claims_on_what_is_not_the_upstreams_are_refused(shop, office):
    # proves: J70
    await shop.codes(shop.created())
    theirs = await office.call("GET", f"/workspaces/{shop.workspace_id}/passes/external:book-1")
    own = await office.program(str(shop.workspace_id))
    issued = await office.call(
        "POST",
        f"/workspaces/{shop.workspace_id}/passes",
        status=201,
        json={"program_id": own, "external_id": "ours-1"},
    )
    other = await office.workspace()
    foreign = shop.balance(1, 2, workspace_id=UUID(other), business_id="shop-7")
    refused = await office.hear(
        shop.balance(500, 2, external_id="ours-1"),
        shop.redeemed(5, 2, external_id=None, pass_id=UUID(issued["pass_id"])),
        shop.created(external_id="ours-2", program_id=UUID(own)),
        foreign,
        shop.created(external_id=None, pass_id=uuid4()),
        shop.balance(9, 2, external_id="another", pass_id=UUID(theirs["pass_id"])),
    )
    assert all(isinstance(each, Rejected) for each in refused)
    assert [each.code for each in refused] == [
        "balance_kept_here",
        "balance_kept_here",
        "balance_kept_here",
        "foreign_workspace",
        "external_id_required",
        "pass_mismatch",
    ]
    told = [each.external_id for each in await office.events(PassCreated)]
    assert told == ["book-1", "ours-1"]
    assert await office.events(PassBalanceChanged) == []


async def test_a_pass_of_another_workspace_is_unknown_under_ones_own_name(shop, office):
    # proves: J70
    await shop.codes(shop.created())
    [created] = await office.events(PassCreated)
    other = await office.workspace()
    aimed = shop.balance(9, 9, workspace_id=UUID(other), external_id=None, pass_id=created.pass_id)
    by_name = shop.balance(9, 9, workspace_id=UUID(other))
    assert await shop.codes(aimed, by_name) == ["pass_unknown", "pass_unknown"]
    assert len(await office.events(PassRendered)) == 1


async def test_a_suspended_workspace_is_not_heard(shop, office):
    await shop.codes(shop.created())
    await office.call("PATCH", f"/workspaces/{shop.workspace_id}", json={"suspended": True})
    assert await shop.codes(shop.balance(9, 9)) == ["workspace_suspended"]


async def test_the_issuer_does_not_take_its_own_republished_balances_for_news(shop, office):
    await shop.codes(shop.created(), shop.balance(9, 9))
    [told] = await office.events(PassBalanceChanged)
    assert await office.hear(told) == [None]
    assert len(await office.events(PassRendered)) == 2
