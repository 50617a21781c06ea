"""Events become revisions, on real Postgres, with real formats and signatures."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from passferry_contracts.events.balances import PassBalanceChanged, PassRedeemed
from passferry_contracts.events.passes import PassVoided
from passferry_contracts.events.rendered import PassRendered
from passferry_contracts.events.wallet import DeviceRegistered, PassInstalled, PassLinkOpened
from passferry_contracts.registry import (
    DELIVERY_COMPLETED,
    ENROLMENT_REQUESTED,
    LEDGER_RESULTS,
    MESSAGE_REQUESTED,
    PASS_BALANCE_CHANGED,
    PASS_INBOUND,
    PASS_REDEEMED,
    WALLET_ACTIVITY,
)
from passferry_contracts.types import Platform
from passferry_pass_issuer.adapters.wallet_renderer import WalletRenderer
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_runtime.errors import Rejected, RetryLater
from passferry_testing.cms_reader import verify_detached
from passferry_testing.google_simulator.accounts import Accounts
from passferry_testing.pki import DemoAuthority

pytestmark = pytest.mark.integration

COMMITTED = datetime(2026, 5, 14, 12, tzinfo=UTC)
COUPON_FIELDS = {
    "primary": [{"key": "left", "value": {"source": "balance", "format": "currency"}}],
    "secondary": [{"key": "code", "label": "CODE", "value": {"source": "pass.code"}}],
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return DemoAuthority.create(tmp_path_factory.mktemp("pki"))


@pytest.fixture
async def office(harness, make, authority):
    async with make.open_office(harness, authority=authority) as opened:
        yield opened


@dataclass
class Card:
    """An issued pass, and the events that others would send about it."""

    office: Any
    workspace_id: str
    issued: dict[str, Any]

    @property
    def pass_id(self) -> UUID:
        return UUID(self.issued["pass_id"])

    def _facts(self) -> dict[str, Any]:
        return {
            "workspace_id": UUID(self.workspace_id),
            "pass_id": self.pass_id,
            "external_id": self.issued["external_id"],
            "program_id": UUID(self.issued["program_id"]),
        }

    def balance(self, amount: int, version: int, **changes: Any) -> PassBalanceChanged:
        given = self._facts() | {
            "version": version,
            "previous_balance_minor": 0,
            "new_balance_minor": amount,
            "change_minor": amount,
            "unit": self.issued["unit"],
            "unit_scale": self.issued["unit_scale"],
            "reason": "earn",
            "changed_at": COMMITTED + timedelta(seconds=version),
        }
        return PassBalanceChanged(**(given | changes))

    def redeemed(self, amount: int, version: int, **changes: Any) -> PassRedeemed:
        given = self._facts() | {
            "version": version,
            "redemption_id": uuid4(),
            "amount_minor": amount,
            "remaining_minor": 0,
            "unit": self.issued["unit"],
            "unit_scale": self.issued["unit_scale"],
            "redeemed_at": COMMITTED,
        }
        return PassRedeemed(**(given | changes))

    def opened(self, platform: Platform, *, needs_rendering: bool = True) -> PassLinkOpened:
        return PassLinkOpened(
            workspace_id=UUID(self.workspace_id),
            pass_id=self.pass_id,
            platform=platform,
            needs_rendering=needs_rendering,
            occurred_at=COMMITTED,
        )

    async def renderings(self) -> list[PassRendered]:
        return [r for r in await self.office.events(PassRendered) if r.pass_id == self.pass_id]

    async def row(self) -> dict[str, Any]:
        [row] = await self.office.rows(
            "SELECT * FROM pass_issuer.pass WHERE pass_id = $1", self.pass_id
        )
        return dict(row)


@pytest.fixture
def card(office, make, authority):
    """Issues a pass in a workspace of its own, with a signing identity."""

    async def issue(*, identity=True, workspace_id=None, program=None, **body) -> Card:
        if workspace_id is None:
            workspace_id = await office.workspace()
            if identity:
                await office.give_identity(workspace_id, authority)
        program = program or {}
        program_id = program.pop("program_id", None) or await office.program(
            workspace_id, **program
        )
        issued = await office.call(
            "POST",
            f"/workspaces/{workspace_id}/passes",
            status=201,
            json={"program_id": program_id, "external_id": "m-1", **body},
        )
        return Card(office, workspace_id, issued)

    return issue


def shown(rendering: PassRendered, group: str, style: str = "storeCard") -> Any:
    return json.loads(rendering.apple.pass_json)[style][group][0]["value"]


def signed_by(rendering: PassRendered, authority: DemoAuthority) -> str:
    """The subject of whoever signed; raises when the signature does not hold."""
    verified = verify_detached(
        base64.b64decode(rendering.apple.signature),
        rendering.apple.manifest.encode(),
        root_pem=authority.root_pem,
        now=datetime.now(UTC),
    )
    return verified.leaf.subject.rfc4514_string()


async def test_fifty_changes_of_one_pass_in_a_batch_are_one_revision(card):
    # proves: N5
    one = await card()
    changes = [one.balance(amount=number * 10, version=number) for number in range(1, 51)]
    # The newest is not the last, and some come twice.
    assert await one.office.hear(*changes[25:], *changes[:30]) == [None] * 55
    first, second = await one.renderings()
    assert (first.revision, second.revision) == (1, 2)
    assert shown(second, "headerFields") == 500
    assert len(second.causes) == 25
    assert {cause.event_type for cause in second.causes} == {"pass.balance_changed"}
    assert second.caused_at == changes[25].changed_at
    row = await one.row()
    assert (row["ledger_version"], row["balance_minor"], row["revision"]) == (50, 500, 2)


async def test_late_and_repeated_balances_make_no_revision(card):
    # proves: A26
    one = await card()
    newest = one.balance(70, version=7)
    await one.office.hear(newest)
    await one.office.hear(one.balance(10, version=3), newest)
    renderings = await one.renderings()
    assert [shown(each, "headerFields") for each in renderings] == [0, 70]
    assert (await one.row())["ledger_version"] == 7


async def test_an_opening_balance_that_is_shown_already_tells_nobody(card):
    # proves: W14
    one = await card(opening_balance_minor=25)
    await one.office.hear(one.balance(25, version=1, reason="opening"))
    assert len(await one.renderings()) == 1
    row = await one.row()
    assert (row["revision"], row["ledger_version"]) == (1, 1)


async def test_the_first_opening_on_an_iphone_signs_the_present_revision(card, authority):
    # proves: J81, P1
    one = await card()
    await one.office.hear(one.balance(5, version=1))
    assert (await one.renderings())[-1].apple.signature is None
    await one.office.hear(one.opened(Platform.APPLE))
    *_, before, after = await one.renderings()
    assert (after.revision, after.content_sha256) == (before.revision, before.content_sha256)
    assert after.apple.pass_json == before.apple.pass_json
    assert "pass.com.example.cafe" in signed_by(after, authority)
    # From now on each revision comes with its signature; opening again changes nothing.
    await one.office.hear(one.balance(6, version=2))
    await one.office.hear(one.opened(Platform.APPLE, needs_rendering=False))
    *_, third = await one.renderings()
    assert (third.revision, len(await one.renderings())) == (3, 4)
    assert third.apple.signature != after.apple.signature
    signed_by(third, authority)


async def test_a_registered_device_puts_the_pass_on_apple(card):
    one = await card()
    registered = DeviceRegistered(
        workspace_id=UUID(one.workspace_id),
        pass_id=one.pass_id,
        pass_type_identifier="pass.com.example.cafe",
        serial_number=one.issued["serial_number"],
        device_library_identifier="d" * 32,
        push_token_ciphertext="AAAA",
        push_token_sha256="0" * 64,
        is_new=True,
        registered_at=COMMITTED,
    )
    await one.office.hear(registered, registered)
    assert [each.apple.signature is not None for each in await one.renderings()] == [False, True]


async def test_passes_wait_for_their_signing_identity_and_are_sent_again_with_it(
    card, office, make, authority
):
    # proves: A23
    first = await card(identity=False)
    program_id = first.issued["program_id"]
    others = [
        await card(
            workspace_id=first.workspace_id,
            program={"program_id": program_id},
            external_id=f"m-{number}",
        )
        for number in range(2, 4)
    ]
    passes = [first, *others]
    await office.hear(*(each.opened(Platform.APPLE) for each in passes))
    assert (await first.renderings())[-1].apple.signature is None
    assert await office.press.find_unsigned() == []
    await office.give_identity(first.workspace_id, authority)
    waiting = (UUID(first.workspace_id), make.pass_type)
    assert office.signing_requests == [waiting] == await office.press.find_unsigned()
    assert await office.press.sign_waiting(*waiting) == 3
    for each in passes:
        rendering = (await each.renderings())[-1]
        assert rendering.revision == 1
        signed_by(rendering, authority)
    assert await office.press.find_unsigned() == []
    assert await office.press.sign_waiting(*waiting) == 0


async def test_the_save_link_is_signed_on_the_first_opening_elsewhere_and_renewed_on_demand(
    card, office, make
):
    # proves: J81
    accounts = Accounts(lambda: office.clock.now().timestamp())
    one = await card()
    account = accounts.create(make.issuer_id, token_uri="https://oauth2.example/token")
    await office.call(
        "POST",
        f"/workspaces/{one.workspace_id}/google-accounts",
        status=201,
        json={"issuer_id": make.issuer_id, "service_account": account},
    )
    await office.hear(one.opened(Platform.OTHER))
    first = (await one.renderings())[-1].google
    assert first.is_wanted
    assert first.save_link_signed_at == office.clock.now()
    _, claims = accounts.verify(first.save_link.rsplit("/", 1)[1])
    assert claims["origins"] == ["passes.example"]
    [(_, [saved])] = [item for item in claims["payload"].items() if "Object" in item[0]]
    assert saved == {k: v for k, v in first.object_body.items() if v is not None}
    # Asked for again while it is fresh, and with a new revision later, it stays the same one.
    await office.hear(one.opened(Platform.GOOGLE, needs_rendering=False))
    office.clock.advance(timedelta(hours=13))
    await office.hear(one.balance(9, version=1))
    assert (await one.renderings())[-1].google.save_link == first.save_link
    assert len(await one.renderings()) == 3
    await office.hear(one.opened(Platform.GOOGLE))
    renewed = (await one.renderings())[-1]
    assert renewed.google.save_link != first.save_link
    assert renewed.google.save_link_signed_at == office.clock.now()
    assert renewed.revision == 2


async def test_an_install_that_google_tells_of_keeps_the_object_up_to_date(card, office):
    one = await card()
    installed = PassInstalled(
        workspace_id=UUID(one.workspace_id),
        pass_id=one.pass_id,
        platform=Platform.GOOGLE,
        occurred_at=COMMITTED,
    )
    await office.hear(installed, installed)
    assert [each.google.is_wanted for each in await one.renderings()] == [False, True]
    on_apple = installed.model_copy(update={"platform": Platform.APPLE})
    await office.hear(on_apple)
    assert len(await one.renderings()) == 2


@pytest.fixture
def coupon(card, make):
    """A coupon over 100.00 EUR whose code is a Code 128."""

    async def issue() -> Card:
        office_template = make.template_json()
        layout = office_template["apple"] | {
            "style": "coupon",
            "fields": COUPON_FIELDS,
            "barcode": {
                "format": "code128",
                "message": {"source": "pass.code"},
                "alternate_text": {"source": "pass.code"},
            },
        }
        return await card(
            program={"protocol": "COUPON", "unit": "EUR", "unit_scale": 2, "layout": layout},
            opening_balance_minor=10_000,
            code="CAFE-0001",
        )

    return issue


@pytest.fixture(autouse=True)
def programs_with_a_layout(monkeypatch, office):
    """`office.program(layout=…)` publishes a template that looks so."""
    plain = office.program

    async def program(workspace_id, *, layout=None, **body):
        if layout is not None:
            body["template_id"] = await office.template(
                workspace_id, protocol=body["protocol"], apple=layout
            )
        return await plain(workspace_id, **body)

    monkeypatch.setattr(office, "program", program)


async def test_a_coupon_is_used_up_voided_once_and_never_comes_back(coupon, office):
    # proves: A1, A4, A26
    one = await coupon()
    await office.hear(one.balance(7_000, version=1, reason="redeem"))
    partly = (await one.renderings())[-1]
    assert b'"value":70' in partly.apple.pass_json.encode()
    assert "barcodes" in json.loads(partly.apple.pass_json)
    used = one.balance(0, version=3, reason="redeem", exhausted=True)
    await office.hear(used)
    await office.hear(one.redeemed(7_000, version=3, exhausted=True))
    await office.hear(used, one.balance(3_000, version=2))
    # A reversal shows on the pass, which stays voided.
    await office.hear(one.balance(7_000, version=4, reason="reverse"))
    [voided] = await office.events(PassVoided)
    assert (voided.reason, voided.revision) == ("exhausted", 3)
    last = json.loads((await one.renderings())[-1].apple.pass_json)
    assert last["voided"] is True
    assert not {"barcode", "barcodes"}.intersection(last)
    row = await one.row()
    assert (row["status"], row["status_reason"], row["ledger_version"]) == (
        "voided",
        "exhausted",
        4,
    )


async def test_the_redemption_alone_voids_too_whichever_comes_first(coupon, office):
    # proves: A4
    one = await coupon()
    await office.hear(one.redeemed(10_000, version=1, exhausted=True))
    await office.hear(one.balance(0, version=1, exhausted=True))
    assert len(await office.events(PassVoided)) == 1
    last = (await one.renderings())[-1]
    assert shown(last, "primaryFields", "coupon") == 0
    assert last.google.object_body["state"] == "COMPLETED"


async def test_a_pass_that_cannot_be_drawn_is_set_aside_without_its_neighbours(
    card, office, monkeypatch
):
    fine, broken = await card(), await card()
    render = WalletRenderer.render

    def refusing(self, subject):
        if subject.pass_id == broken.pass_id and subject.balance_minor == 13:
            raise ContentRejected("invalid", "fields.points", "cannot be shown")
        return render(self, subject)

    monkeypatch.setattr(WalletRenderer, "render", refusing)
    [stays, goes] = await office.hear(broken.balance(13, 1), fine.balance(40, 1))
    assert isinstance(stays, Rejected)
    assert (stays.code, goes) == ("invalid", None)
    assert [shown(each, "headerFields") for each in await fine.renderings()] == [0, 40]
    assert (await broken.row())["ledger_version"] == 0
    # Of several changes of one pass the good ones are shown.
    outcomes = await office.hear(broken.balance(12, 2), broken.balance(13, 3))
    assert [each.code if each else None for each in outcomes] == [None, "invalid"]
    assert shown((await broken.renderings())[-1], "headerFields") == 12


async def test_an_expired_identity_signs_nothing(card, office, make):
    # proves: A23
    one = await card()
    office.clock.advance(timedelta(days=400))
    await office.hear(one.opened(Platform.APPLE))
    assert (await one.renderings())[-1].apple.signature is None
    assert await office.press.find_unsigned() == []


async def test_a_batch_over_two_workspaces_changes_both_and_nothing_across(card, office):
    # proves: J70
    mine, theirs = await card(), await card()
    unknown = mine.balance(1, version=1, pass_id=uuid4())
    # Under my workspace's name, their pass is not to be found.
    foreign = mine.balance(999, version=9, pass_id=theirs.pass_id)
    outcomes = await office.hear(mine.balance(3, 1), foreign, theirs.balance(4, 1), unknown)
    assert [each.code if each else None for each in outcomes] == [
        None,
        "pass_unknown",
        None,
        "pass_unknown",
    ]
    assert all(isinstance(each, RetryLater) for each in outcomes if each)
    assert [shown(each, "headerFields") for each in await mine.renderings()] == [0, 3]
    assert [shown(each, "headerFields") for each in await theirs.renderings()] == [0, 4]


async def test_each_workspace_signs_with_its_own_identity(card, office, make, authority):
    # proves: C10
    mine = await card()
    other = await office.workspace()
    theirs_type = "pass.com.example.books"
    await office.give_identity(other, authority, pass_type=theirs_type, team="BOOKS12345")
    layout = make.template_json()["apple"] | {"background_color": "#ffeedd"}
    template_id = await office.template(
        other, pass_type_identifier=theirs_type, team_identifier="BOOKS12345", apple=layout
    )
    theirs = await card(workspace_id=other, program={"template_id": template_id})
    await office.hear(mine.opened(Platform.APPLE), theirs.opened(Platform.APPLE))
    [*_, my_last], [*_, their_last] = await mine.renderings(), await theirs.renderings()
    assert "pass.com.example.cafe" in signed_by(my_last, authority)
    assert theirs_type in signed_by(their_last, authority)
    looks = [json.loads(each.apple.pass_json)["backgroundColor"] for each in (my_last, their_last)]
    assert looks[0] != looks[1]


async def test_a_change_through_the_api_draws_the_pass_anew(card, office):
    one = await card()
    path = f"/workspaces/{one.workspace_id}/passes/{one.pass_id}"
    await office.call("PATCH", path, json={"fields": {"favourite": "Mate"}})
    await office.call("POST", f"{path}/void", json={"reason": "lost"})
    _, changed, voided = await one.renderings()
    assert "Mate" in changed.apple.pass_json
    assert json.loads(voided.apple.pass_json)["voided"] is True
    assert [(each.event_type, each.reason) for each in voided.causes] == [("pass.voided", "lost")]


def test_this_service_hears_what_changes_passes(office):
    heard = {route.topic.name for route in office.press.routes(office.issuer)}
    assert heard == {
        PASS_BALANCE_CHANGED.name,
        PASS_REDEEMED.name,
        WALLET_ACTIVITY.name,
        PASS_INBOUND.name,
        MESSAGE_REQUESTED.name,
        ENROLMENT_REQUESTED.name,
        LEDGER_RESULTS.name,
        DELIVERY_COMPLETED.name,
    }


async def test_days_are_those_of_the_program_when_a_pass_is_issued_and_when_it_is_drawn_again(
    office, make
):
    workspace_id = await office.workspace()
    layout = make.template_json()["apple"]
    layout["fields"]["auxiliary"] = [{"key": "until", "value": {"source": "pass.expires_at"}}]
    program_id = await office.program(
        workspace_id,
        template_id=await office.template(workspace_id, apple=layout),
        rules={"time_zone": "Asia/Tokyo"},
    )
    body = {"program_id": program_id, "expires_at": "2039-12-31T15:30:00Z"}
    path = f"/workspaces/{workspace_id}/passes"
    issued = await office.call("POST", path, status=201, json=body)
    await office.hear(Card(office, workspace_id, issued).balance(7, 1))
    drawn = [json.loads(each.apple.pass_json) for each in await office.events(PassRendered)]
    days = [each["storeCard"]["auxiliaryFields"][0]["value"] for each in drawn]
    assert days == ["2040-01-01"] * 2
