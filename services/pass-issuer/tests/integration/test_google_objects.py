"""Passes at Google: states, tiers, and links that never name what is not there. proves: A22, C10"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from passferry_contracts.events.balances import PassBalanceChanged
from passferry_contracts.events.deliveries import DeliveryCompleted
from passferry_contracts.events.directory import TemplatePublished
from passferry_contracts.events.rendered import PassRendered
from passferry_contracts.events.wallet import PassLinkOpened
from passferry_contracts.types import Channel, DeliveryOutcome, Platform
from passferry_testing.google_simulator import GoogleSimulator
from passferry_testing.google_simulator.accounts import Accounts
from passferry_testing.google_simulator.catalogue import TYPES
from passferry_testing.pki import DemoAuthority

pytestmark = pytest.mark.integration

COMMITTED = datetime(2026, 5, 14, 12, tzinfo=UTC)
#: More than fits into the address of a link.
LONG = "Eine lange Geschichte, die auf der Rückseite steht. " * 36
GOOGLE = {
    "issuer_name": "Café Ferry",
    "title": "Card",
    "logo_url": "https://passes.example/logo.png",
    "barcode": {"format": "qr"},
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return DemoAuthority.create(tmp_path_factory.mktemp("pki"))


@pytest.fixture
async def office(harness, make, authority):
    async with make.open_office(harness, authority=authority) as opened:
        yield opened


@pytest.fixture
def accounts(office):
    return Accounts(lambda: office.clock.now().timestamp())


@dataclass
class Card:
    office: Any
    workspace_id: str
    template_id: str
    issued: dict[str, Any]

    @property
    def pass_id(self) -> UUID:
        return UUID(self.issued["pass_id"])

    def _facts(self) -> dict[str, Any]:
        return {"workspace_id": UUID(self.workspace_id), "pass_id": self.pass_id}

    def opened(self) -> PassLinkOpened:
        return PassLinkOpened(
            **self._facts(), platform=Platform.GOOGLE, needs_rendering=True, occurred_at=COMMITTED
        )

    def delivered(self, **changes: Any) -> DeliveryCompleted:
        given = self._facts() | {
            "delivery_id": uuid4(),
            "channel": Channel.GOOGLE_WALLET,
            "notification_type": "general_update",
            "revision": 1,
            "google_object_id": self.issued["google_object_id"],
            "outcome": DeliveryOutcome.DELIVERED,
            "attempts": 1,
            "completed_at": COMMITTED,
        }
        return DeliveryCompleted(**(given | changes))

    def reached(self, tier: str | None, version: int) -> PassBalanceChanged:
        return PassBalanceChanged(
            **self._facts(),
            external_id=self.issued["external_id"],
            program_id=UUID(self.issued["program_id"]),
            version=version,
            previous_balance_minor=0,
            new_balance_minor=version,
            change_minor=version,
            unit=self.issued["unit"],
            unit_scale=self.issued["unit_scale"],
            reason="earn",
            tier=tier,
            changed_at=COMMITTED,
        )

    async def last(self) -> PassRendered:
        every = await self.office.events(PassRendered)
        return [each for each in every if each.pass_id == self.pass_id][-1]


@pytest.fixture
def card(office, make, accounts):
    async def issue(google=None, **body) -> Card:
        workspace_id = await office.workspace()
        account = accounts.create(make.issuer_id, token_uri="https://oauth2.example/token")
        await office.call(
            "POST",
            f"/workspaces/{workspace_id}/google-accounts",
            status=201,
            json={"issuer_id": make.issuer_id, "service_account": account},
        )
        template_id = await office.template(workspace_id, google=google or GOOGLE)
        program_id = await office.program(workspace_id, template_id=template_id)
        issued = await office.call(
            "POST",
            f"/workspaces/{workspace_id}/passes",
            status=201,
            json={"program_id": program_id, "external_id": "m-1", **body},
        )
        return Card(office, workspace_id, template_id, issued)

    return issue


def long_card() -> dict[str, Any]:
    story = {"key": "story", "header": "Story", "body": {"source": "field.story"}}
    return GOOGLE | {"text_modules": [story]}


def carried(accounts: Accounts, link: str) -> dict[str, Any]:
    """The one object that a save link names or carries."""
    _, claims = accounts.verify(link.rsplit("/", 1)[1])
    [(key, [saved])] = claims["payload"].items()
    assert key == "loyaltyObjects"
    return saved


async def test_a_short_object_travels_whole_in_its_link(card, office, accounts):
    # proves: J81
    one = await card()
    await office.hear(one.opened())
    google = (await one.last()).google
    saved = carried(accounts, google.save_link)
    assert saved == {k: v for k, v in google.object_body.items() if v is not None}


async def test_a_link_that_only_names_its_object_waits_until_google_has_it(card, office, accounts):
    # proves: J81
    one = await card(long_card(), fields={"story": LONG[:1900]})
    await office.hear(one.opened())
    assert (await one.last()).google.is_wanted
    # Asked for again, and told of other outcomes: there is still nothing to point at.
    await office.hear(one.opened())
    nothing_arrived = [
        one.delivered(outcome=DeliveryOutcome.FAILED, reason="status_400"),
        one.delivered(outcome=DeliveryOutcome.DROPPED, reason="superseded"),
        one.delivered(channel=Channel.APPLE_WALLET, google_object_id=None),
        one.delivered(google_object_id="3388000000012345678.another"),
        one.delivered(revision=None, message_id="m-1", notification_type="message"),
    ]
    assert await office.hear(*nothing_arrived) == [None] * 5
    assert (await one.last()).google.save_link is None
    assert await office.hear(one.delivered()) == [None]
    told = (await one.last()).google
    assert told.save_link is not None
    assert carried(accounts, told.save_link) == {
        "id": one.issued["google_object_id"],
        "classId": told.class_id,
    }


async def test_a_link_opens_in_google_only_after_the_object_is_there(card, office, accounts):
    # proves: J81
    one = await card(long_card(), fields={"story": LONG[:1900]})
    async with GoogleSimulator() as google:
        google.save_page._accounts = accounts
        [published] = await office.events(TemplatePublished)
        await office.hear(one.opened())
        # What the notifier does between the opening and its report.
        for kind, body in (
            ("loyaltyclass", published.google_class.class_body),
            ("loyaltyobject", (await one.last()).google.object_body),
        ):
            issuer_id = published.google_class.issuer_id
            google.catalogue.insert(TYPES[kind], body, issuer_id=issuer_id)
        await office.hear(one.delivered())
        link = (await one.last()).google.save_link
        assert google.open_save_link(link.rsplit("/", 1)[1]) == [one.issued["google_object_id"]]
        assert google.log.violation_count == 0


async def test_a_known_object_is_learnt_once_and_locks_nothing_again(card, office):
    one = await card()
    await office.hear(one.opened())
    before = len(await office.events(PassRendered))
    await office.hear(one.delivered(), one.delivered(outcome=DeliveryOutcome.DELIVERED_SILENT))
    await office.hear(one.delivered(revision=2))
    [row] = await office.rows(
        "SELECT inserted_google_object_id AS id, revision FROM pass_issuer.pass"
    )
    assert (row["id"], row["revision"]) == (one.issued["google_object_id"], 1)
    assert len(await office.events(PassRendered)) == before


async def test_what_one_workspace_is_told_says_nothing_of_anothers_pass(card, office):
    # proves: J70
    mine, theirs = await card(), await card()
    stranger = mine.delivered(
        pass_id=theirs.pass_id, google_object_id=theirs.issued["google_object_id"]
    )
    assert await office.hear(stranger, mine.delivered(pass_id=uuid4())) == [None, None]
    rows = await office.rows("SELECT inserted_google_object_id AS id FROM pass_issuer.pass")
    assert [row["id"] for row in rows] == [None, None]


@pytest.mark.parametrize(
    ("reason", "state"),
    [("used", "COMPLETED"), ("checked_in", "COMPLETED"), ("fraud", "INACTIVE"),
     ("expired", "EXPIRED")],
)  # fmt: skip
async def test_why_a_pass_was_voided_is_its_state_at_google(card, office, reason, state):
    # proves: A26, J93
    one = await card()
    path = f"/workspaces/{one.workspace_id}/passes/{one.pass_id}/void"
    await office.call("POST", path, json={"reason": reason})
    body = (await one.last()).google.object_body
    assert (body["state"], body["barcode"]) == (state, None)


async def test_an_expired_and_a_deleted_pass_say_so(card, office):
    # proves: A26, J93
    for action, state in (("expire", "EXPIRED"), ("delete", "INACTIVE")):
        one = await card()
        path = f"/workspaces/{one.workspace_id}/passes/{one.pass_id}"
        if action == "expire":
            await office.call("POST", f"{path}/expire")
        else:
            await office.call("DELETE", path, status=200)
        assert (await one.last()).google.object_body["state"] == state


async def test_a_new_tier_moves_the_object_to_the_class_of_that_tier(card, office):
    # proves: J86, C10
    tiers = {
        "source": {"source": "pass.tier"},
        "levels": [
            {"key": "silver", "value": "Silver"},
            {"key": "gold", "value": "Gold", "hex_background_color": "#d4af37"},
        ],
    }
    one = await card(GOOGLE | {"tiers": tiers, "rewards_tier": "Basic"})
    [published] = await office.events(TemplatePublished)
    plain = published.google_class
    silver, gold = published.google_tier_classes
    assert [each.class_body["rewardsTier"] for each in (plain, silver, gold)] == [
        "Basic",
        "Silver",
        "Gold",
    ]
    assert gold.class_body["hexBackgroundColor"] == "#d4af37"
    assert [gold.class_id, gold.class_body["id"]] == [f"{plain.class_id}-gold"] * 2
    seen = []
    for version, tier in enumerate([None, "Silver", "Gold", "Platinum"], start=1):
        await office.hear(one.reached(tier, version))
        google = (await one.last()).google
        assert google.object_body["classId"] == google.class_id
        seen.append(google.class_id)
    assert seen == [plain.class_id, silver.class_id, gold.class_id, plain.class_id]


async def test_a_draft_that_google_would_refuse_is_not_published(card, office, make):
    # proves: C10
    workspace_id = await office.workspace()
    base = f"/workspaces/{workspace_id}/templates"
    for google, where in (
        (GOOGLE | {"class": {"programNname": "x"}}, "google.class.programNname"),
        (GOOGLE | {"object": {"seatInfo": {"seat": "1"}}}, "google.object.seatInfo"),
        (GOOGLE | {"vertical": "flight"}, "google.class.origin"),
        (
            GOOGLE | {"object": {"groupingInfo": {"sortIndex": {"source": "field.n"}}}},
            "google.object.groupingInfo.sortIndex",
        ),
    ):
        made = await office.call(
            "POST",
            base,
            status=201,
            json=make.template_json(platform="google", google=google) | {"apple": None},
        )
        answer = await office.call("POST", f"{base}/{made['template_id']}/publish", status=422)
        assert where in str(answer), answer


async def test_the_vertical_of_a_published_template_stays(card, office, make):
    one = await card()
    path = f"/workspaces/{one.workspace_id}/templates/{one.template_id}"
    changed = make.template_json(google=GOOGLE | {"vertical": "generic"})
    answer = await office.call("PUT", path, status=422, json=changed)
    assert "google.vertical" in str(answer)
    kept = make.template_json(google=GOOGLE | {"vertical": "loyalty", "title": "New"})
    await office.call("PUT", path, json=kept)


async def test_a_published_vertical_stays_through_a_draft_without_a_google_part(card, office, make):
    one = await card()
    path = f"/workspaces/{one.workspace_id}/templates/{one.template_id}"
    await office.call("PUT", path, json=make.template_json(google=None, platform="apple"))
    changed = make.template_json(google=GOOGLE | {"vertical": "generic"})
    answer = await office.call("PUT", path, status=422, json=changed)
    assert "google.vertical" in str(answer)
    # A version without it, published, makes no difference: the class is there.
    await office.call("POST", f"{path}/publish")
    answer = await office.call("PUT", path, status=422, json=changed)
    assert "stays loyalty" in str(answer)
    # Nor does a draft of the days when it was let through.
    await office.call("PUT", path, json=make.template_json(google=GOOGLE))
    await office.rows(
        """UPDATE pass_issuer.template
        SET content = jsonb_set(content, '{google,vertical}', '"generic"')
        WHERE template_id = $1 AND status = 'draft'""",
        UUID(one.template_id),
    )
    answer = await office.call("POST", f"{path}/publish", status=422)
    assert "google.vertical" in str(answer)


async def test_a_vertical_may_change_until_the_first_version_is_published(office, make):
    workspace_id = await office.workspace()
    base = f"/workspaces/{workspace_id}/templates"
    made = await office.call("POST", base, status=201, json=make.template_json(google=GOOGLE))
    changed = make.template_json(google=GOOGLE | {"vertical": "generic"})
    answer = await office.call("PUT", f"{base}/{made['template_id']}", json=changed)
    assert answer["google"]["vertical"] == "generic"


async def test_a_stale_link_by_name_is_renewed_for_a_visitor(card, office, accounts):
    one = await card(long_card(), fields={"story": LONG[:1900]})
    await office.hear(one.opened())
    await office.hear(one.delivered())
    first = (await one.last()).google.save_link
    office.clock.advance(timedelta(hours=13))
    await office.hear(one.opened())
    second = (await one.last()).google.save_link
    assert first != second
    assert carried(accounts, second)["id"] == one.issued["google_object_id"]
