"""Claim codes from the public form, answered on real Postgres."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from passferry_contracts.events.directory import EnrolmentRequested, LinkChanged
from passferry_contracts.events.passes import PassCreated
from passferry_contracts.registry import LINK_CHANGED
from passferry_runtime.errors import RetryLater
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
async def form(office):
    workspace_id = await office.workspace()
    program_id = await office.program(workspace_id)

    def ask(code="claim-1", **changes):
        given = {
            "workspace_id": UUID(workspace_id),
            "program_id": UUID(program_id),
            "claim_code_sha256": hashlib.sha256(code.encode()).hexdigest(),
            "full_name": "Zoë O'Hara",
            "email": "zoe@example.org",
            "locale": "de",
            "fields": {"favourite": "Tea"},
            "requested_at": office.clock.now(),
        }
        return EnrolmentRequested(**(given | changes))

    ask.workspace_id, ask.program_id = workspace_id, program_id
    return ask


async def claims(office):
    return [each for each in await office.events(LinkChanged) if each.kind == "claim"]


async def test_a_claim_code_gets_its_pass_once(office, form):
    # proves: C12
    assert await office.hear(form(), form()) == [None, None]
    assert await office.hear(form()) == [None]
    [created] = await office.events(PassCreated)
    [claim] = await claims(office)
    assert (claim.claim_outcome, claim.pass_id) == ("issued", created.pass_id)
    assert claim.token_sha256 == form().claim_code_sha256
    assert claim.expires_at == office.clock.now() + timedelta(days=1)
    path = f"/workspaces/{form.workspace_id}"
    issued = await office.call("GET", f"{path}/passes/{created.pass_id}")
    assert issued["fields"] == {"favourite": "Tea"}
    holder = await office.call("GET", f"{path}/holders/{issued['holder_id']}")
    assert (holder["full_name"], holder["locale"]) == ("Zoë O'Hara", "de")


async def test_nobody_gets_a_members_pass_by_writing_their_address(office, form):
    # proves: C12
    await office.hear(form("first"))
    await office.hear(form("second", email="ZOE@example.org", full_name="Mallory"))
    _first, second = await claims(office)
    assert (second.claim_outcome, second.pass_id) == ("already_member", None)
    assert len(await office.events(PassCreated)) == 1


async def test_a_known_persons_data_is_not_shown_to_who_writes_their_address(office, form):
    path = f"/workspaces/{form.workspace_id}"
    zoe = {"full_name": "Zoë O'Hara", "email": "zoe@example.org"}
    known = await office.call("PUT", f"{path}/holders/external:crm-7", status=201, json=zoe)
    await office.hear(form("first", full_name="Mallory"))
    [claim] = await claims(office)
    issued = await office.call("GET", f"{path}/passes/{claim.pass_id}")
    assert issued["holder_id"] != known["holder_id"]
    # Nor is there a second membership by asking once more.
    await office.hear(form("second"))
    assert (await claims(office))[-1].claim_outcome == "already_member"


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"program_id": uuid4()}, "program_unknown"),
        ({"email": "nobody"}, "email_invalid"),
        ({"fields": {"x": [1]}}, "invalid"),
    ],
)
async def test_what_cannot_be_issued_is_answered_with_its_reason(office, form, changes, outcome):
    # proves: C13
    assert await office.hear(form(**changes)) == [None]
    [claim] = await claims(office)
    assert (claim.claim_outcome, claim.pass_id, claim.pass_status) == (outcome, None, None)
    assert await office.events(PassCreated) == []
    assert await office.rows("SELECT 1 FROM pass_issuer.holder") == []


async def test_a_suspended_program_and_a_suspended_workspace_answer_so(office, form):
    # proves: C13
    path = f"/workspaces/{form.workspace_id}"
    await office.call("PATCH", f"{path}/programs/{form.program_id}", json={"status": "suspended"})
    await office.hear(form("one"))
    await office.call("PATCH", path, json={"suspended": True})
    await office.hear(form("two"))
    outcomes = [each.claim_outcome for each in await claims(office)]
    assert outcomes == ["program_suspended", "workspace_suspended"]


async def test_a_program_of_another_workspace_is_unknown_and_a_new_workspace_is_waited_for(
    office, form
):
    # proves: J70
    other = await office.workspace()
    [later] = await office.hear(form(workspace_id=uuid4()))
    assert isinstance(later, RetryLater)
    await office.hear(form(workspace_id=UUID(other)))
    [claim] = await claims(office)
    assert (str(claim.workspace_id), claim.claim_outcome) == (other, "program_unknown")


async def test_old_answers_are_taken_back_and_asking_again_gives_no_second_pass(office, form):
    await office.hear(form())
    [claim] = await claims(office)
    await office.call("DELETE", f"/workspaces/{form.workspace_id}/passes/{claim.pass_id}")
    office.clock.advance(timedelta(days=2))
    await office.issuer.life.keep_time()
    key = (LINK_CHANGED.name, str(claim.link_id))
    assert (await office.compacted(LINK_CHANGED))[key] is None
    await office.hear(form())
    assert len(await office.events(PassCreated)) == 1
    office.clock.advance(timedelta(days=6))
    await office.issuer.life.keep_time()
    assert await office.rows("SELECT 1 FROM pass_issuer.claim") == []


async def test_who_enrols_with_a_strangers_address_gets_nothing_that_is_issued_to_them(
    office, form
):
    # proves: C12
    path = f"/workspaces/{form.workspace_id}"
    await office.hear(form(full_name="Mallory"))
    [created] = await office.events(PassCreated)
    zoe = {"email": "zoe@example.org", "full_name": "Zoë O'Hara"}
    gifts = await office.program(
        form.workspace_id, protocol="GIFT_CARD", unit="EUR", unit_scale=2, name="Gift"
    )
    bodies = [
        {"program_id": form.program_id, "holder": zoe},
        {"program_id": gifts, "holder": zoe},
    ]
    issued = [await office.call("POST", f"{path}/passes", status=201, json=b) for b in bodies]
    # Hers are of one holder, who is not the one of the form.
    [theirs] = {each["holder_id"] for each in issued}
    holder = await office.call("GET", f"{path}/holders/{theirs}")
    assert (holder["full_name"], holder["is_address_proven"]) == ("Zoë O'Hara", True)
    assert str(created.pass_id) not in {each["pass_id"] for each in issued}
    named = {"program_id": form.program_id, "holder": zoe | {"external_id": "crm-7"}}
    await office.call("POST", f"{path}/passes", json=named)
    # Who looks for an address to erase it finds both.
    query = f"{path}/holders/query"
    both = await office.call("POST", query, json={"email": "zoe@example.org"})
    assert [each["is_address_proven"] for each in both["data"]] == [False, True]


@pytest.mark.parametrize(
    ("change", "is_proven"), [({"email": "zoe@example.org"}, True), ({"tags": ["vip"]}, False)]
)
async def test_an_address_of_the_form_is_a_persons_once_the_shop_says_so(
    office, form, change, is_proven
):
    path = f"/workspaces/{form.workspace_id}"
    await office.hear(form())
    [created] = await office.events(PassCreated)
    mine = await office.call("GET", f"{path}/passes/{created.pass_id}")
    await office.call("PATCH", f"{path}/holders/{mine['holder_id']}", json=change)
    body = {"program_id": form.program_id, "holder": {"email": "zoe@example.org"}}
    status = 200 if is_proven else 201
    found = await office.call("POST", f"{path}/passes", status=status, json=body)
    assert (found["pass_id"] == mine["pass_id"]) is is_proven
