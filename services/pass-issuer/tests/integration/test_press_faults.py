"""What goes wrong at the press, and what still has to come out right, on real Postgres."""

from __future__ import annotations

import base64
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from passferry_contracts.events.balances import PassBalanceChanged, PassRedeemed, PointsExpiring
from passferry_contracts.events.rendered import PassRendered
from passferry_contracts.events.wallet import PassLinkOpened, PassViewed
from passferry_contracts.types import Platform
from passferry_testing.google_simulator.accounts import Accounts
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


class Cafe:
    """A workspace with one program, and the events that others send about its passes."""

    def __init__(self, office, workspace_id: str, program_id: str) -> None:
        self.office, self.workspace_id, self.program_id = office, workspace_id, program_id

    async def issue(self, external_id: str) -> UUID:
        body = {"program_id": self.program_id, "external_id": external_id}
        path = f"/workspaces/{self.workspace_id}/passes"
        issued = await self.office.call("POST", path, status=201, json=body)
        return UUID(issued["pass_id"])

    def balance(self, pass_id: UUID, amount: int, version: int) -> PassBalanceChanged:
        return PassBalanceChanged(
            **self._facts(pass_id, version),
            previous_balance_minor=0,
            new_balance_minor=amount,
            change_minor=amount,
            reason="earn",
            changed_at=AT,
        )

    def redeemed(self, pass_id: UUID, version: int) -> PassRedeemed:
        return PassRedeemed(
            **self._facts(pass_id, version),
            redemption_id=uuid4(),
            amount_minor=1,
            remaining_minor=0,
            redeemed_at=AT,
        )

    def expiring(self, pass_id: UUID, version: int) -> PointsExpiring:
        return PointsExpiring(**self._facts(pass_id, version), amount_minor=1, expires_at=AT)

    def opened(self, pass_id: UUID, platform: Platform) -> PassLinkOpened:
        return PassLinkOpened(
            workspace_id=UUID(self.workspace_id),
            pass_id=pass_id,
            platform=platform,
            needs_rendering=True,
            occurred_at=AT,
        )

    async def last(self, pass_id: UUID) -> PassRendered:
        told = await self.office.events(PassRendered)
        return [each for each in told if each.pass_id == pass_id][-1]

    async def codes(self, *events):
        return [each.code if each else None for each in await self.office.hear(*events)]

    def _facts(self, pass_id: UUID, version: int):
        return {
            "workspace_id": UUID(self.workspace_id),
            "pass_id": pass_id,
            "external_id": "any",
            "program_id": UUID(self.program_id),
            "version": version,
            "unit": "points",
        }


@pytest.fixture
async def cafe(office, make):
    workspace_id = await office.workspace()
    layout = make.template_json()["apple"] | {
        "barcode": {"format": "code128", "message": {"source": "pass.code"}}
    }
    template_id = await office.template(workspace_id, apple=layout)
    program_id = await office.program(workspace_id, template_id=template_id)
    return Cafe(office, workspace_id, program_id)


async def spoil(office, pass_id: UUID) -> None:
    """Give it a code that no Code 128 holds, which the API would have refused."""
    sql = "UPDATE pass_issuer.pass SET code = '日本' WHERE pass_id = $1"
    await office.rows(sql, pass_id)


async def test_a_pass_that_cannot_be_shown_spoils_no_other_pass_of_its_batch(cafe, office):
    # proves: A21
    good, bad = await cafe.issue("good"), await cafe.issue("bad")
    await spoil(office, bad)
    batch = [
        cafe.balance(bad, 5, 1),
        cafe.balance(good, 10, 1),
        cafe.balance(bad, 6, 2),
        cafe.balance(good, 20, 2),
    ]
    refused, first, refused_too, second = await cafe.codes(*batch)
    assert (first, second) == (None, None)
    assert refused == refused_too
    assert refused is not None
    # The good one was drawn once, in the one transaction of the batch.
    assert (await cafe.last(good)).revision == 2
    [row] = await office.rows(
        "SELECT revision, ledger_version FROM pass_issuer.pass WHERE pass_id = $1", bad
    )
    # Nothing of it was stored, so that a replay after the mending takes effect.
    assert tuple(row) == (1, 0)


async def test_a_spoilt_pass_does_not_keep_others_waiting_for_their_signatures(
    cafe, office, make, authority
):
    # proves: A23
    passes = [await cafe.issue(f"m-{number}") for number in range(3)]
    await office.hear(*(cafe.opened(each, Platform.APPLE) for each in passes))
    await spoil(office, passes[0])
    await office.give_identity(cafe.workspace_id, authority)
    assert await office.press.sign_waiting(UUID(cafe.workspace_id), make.pass_type) == 2
    signatures = [(await cafe.last(each)).apple.signature for each in passes]
    assert [each is not None for each in signatures] == [False, True, True]


async def test_events_that_change_no_pass_are_neither_looked_up_nor_parked(cafe, office):
    nobody = uuid4()
    viewed = PassViewed(
        workspace_id=UUID(cafe.workspace_id),
        pass_id=nobody,
        platform=Platform.APPLE,
        occurred_at=AT,
    )
    assert await cafe.codes(viewed) == [None]
    assert await cafe.codes(cafe.expiring(nobody, 1), cafe.balance(nobody, 1, 1)) == [
        None,
        "pass_unknown",
    ]


async def test_an_expired_identity_signs_nothing_until_it_is_renewed(cafe, office, make, authority):
    # proves: A23
    workspace_id = UUID(cafe.workspace_id)
    path = f"/workspaces/{cafe.workspace_id}/signing-identities"

    async def upload(not_after: datetime) -> None:
        made = authority.issue_pass_certificate(make.pass_type, make.team, not_after=not_after)
        body = {
            "certificate_pem": made.certificate_pem.decode(),
            "private_key_pem": made.private_key_pem.decode(),
        }
        await office.call("POST", path, status=201, json=body)

    pass_id = await cafe.issue("m-1")
    await upload(office.clock.now() + timedelta(days=1))
    await office.hear(cafe.opened(pass_id, Platform.APPLE))
    assert (await cafe.last(pass_id)).apple.signature is not None
    office.clock.advance(timedelta(days=2))
    await office.hear(cafe.balance(pass_id, 5, 1))
    unsigned = await cafe.last(pass_id)
    assert (unsigned.revision, unsigned.apple.signature) == (2, None)
    assert await office.press.find_unsigned() == []
    await upload(office.clock.now() + timedelta(days=100))
    assert await office.press.find_unsigned() == [(workspace_id, make.pass_type)]
    assert await office.press.sign_waiting(workspace_id, make.pass_type) == 1
    assert (await cafe.last(pass_id)).apple.signature is not None


async def test_a_stale_save_link_is_renewed_for_a_visitor_only(cafe, office, make):
    accounts = Accounts(lambda: office.clock.now().timestamp())
    account = accounts.create(make.issuer_id, token_uri="https://oauth2.example/token")
    await office.call(
        "POST",
        f"/workspaces/{cafe.workspace_id}/google-accounts",
        status=201,
        json={"issuer_id": make.issuer_id, "service_account": account},
    )
    pass_id = await cafe.issue("m-1")
    await office.hear(cafe.opened(pass_id, Platform.GOOGLE))
    first = (await cafe.last(pass_id)).google.save_link
    office.clock.advance(timedelta(hours=13))
    # Seen by nobody: it changes versions only.
    await office.hear(cafe.redeemed(pass_id, 1))
    assert (await cafe.last(pass_id)).google.save_link == first
    await office.hear(cafe.opened(pass_id, Platform.GOOGLE))
    assert (await cafe.last(pass_id)).google.save_link != first


def openssl_accepts(directory: Path) -> bool:
    """Whether `signature` is one of `manifest.json` under `root.pem`."""
    command = [
        *("openssl", "cms", "-verify", "-binary", "-inform", "DER", "-purpose", "any"),
        *("-in", "signature", "-content", "manifest.json", "-CAfile", "root.pem"),
        *("-out", "verified"),
    ]
    return subprocess.run(command, cwd=directory, check=False, timeout=20).returncode == 0


async def test_openssl_accepts_a_signature_under_the_authority(
    cafe, office, make, authority, tmp_path
):
    # proves: J81
    await office.give_identity(cafe.workspace_id, authority)
    pass_id = await cafe.issue("m-1")
    await office.hear(cafe.opened(pass_id, Platform.APPLE))
    apple = (await cafe.last(pass_id)).apple
    parts = {
        "signature": base64.b64decode(apple.signature),
        "manifest.json": apple.manifest.encode(),
        "root.pem": authority.root_pem,
    }
    for name, content in parts.items():
        (tmp_path / name).write_bytes(content)
    assert openssl_accepts(tmp_path)
    assert (tmp_path / "verified").read_bytes() == parts["manifest.json"]
    (tmp_path / "manifest.json").write_bytes(parts["manifest.json"].replace(b"0", b"1"))
    assert not openssl_accepts(tmp_path)
