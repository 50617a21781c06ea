"""Issuing, reading and ending passes through the API, on real Postgres."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from passferry_contracts.events.directory import LinkChanged
from passferry_contracts.events.passes import PassCreated, PassDeleted, PassUpdated, PassVoided
from passferry_contracts.events.rendered import PassRendered

pytestmark = pytest.mark.integration


@pytest.fixture
async def cafe(office):
    """A workspace with a program, and how to issue there."""
    workspace_id = await office.workspace()
    program_id = await office.program(workspace_id)

    async def issue(status=201, **body):
        return await office.call(
            "POST",
            f"/workspaces/{workspace_id}/passes",
            status=status,
            json={"program_id": program_id, **body},
        )

    issue.workspace_id = workspace_id
    issue.program_id = program_id
    issue.path = f"/workspaces/{workspace_id}/passes"
    return issue


async def test_a_pass_is_issued_with_its_link_and_told_in_order(office, cafe):
    issued = await cafe(
        external_id="m-1",
        holder={"external_id": "h-1", "full_name": "Zoë O'Hara", "email": "zoe@example.org"},
        opening_balance_minor=25,
        fields={"favourite": "Flat white"},
        code="CAFE-0001",
    )
    assert issued["link"].startswith(f"https://passes.example/w/{cafe.workspace_id}/p/")
    assert issued["revision"] == 1
    token = issued["link"].rsplit("/", 1)[1]
    kinds = (PassCreated, PassRendered, LinkChanged)
    told = [each for each in await office.envelopes() if isinstance(each.data, kinds)]
    created, rendered, link = (each.data for each in told)
    assert (created.code, created.opening_balance_minor) == ("CAFE-0001", 25)
    assert created.recipient_name == "Zoë O'Hara"
    assert rendered.apple.signature is None
    assert rendered.google.object_body == {"id": issued["google_object_id"]}
    assert [cause.event_id for cause in rendered.causes] == [told[0].id]
    shown = json.loads(rendered.apple.pass_json)
    assert shown["webServiceURL"] == f"https://passes.example/w/{cafe.workspace_id}"
    assert shown["fields"] == {"favourite": "Flat white"}
    assert link.token_sha256 == hashlib.sha256(token.encode()).hexdigest()
    assert token not in link.model_dump_json()
    by_external_id = await office.call("GET", f"{cafe.path}/external:m-1")
    by_id = await office.call("GET", f"{cafe.path}/{issued['pass_id']}")
    assert by_external_id == by_id == issued


async def test_the_same_request_again_is_the_same_pass_and_another_is_a_conflict(office, cafe):
    # proves: C12
    first = await cafe(external_id="m-1", holder={"full_name": "Ana"}, opening_balance_minor=5)
    again = await cafe(200, external_id="m-1", holder={"full_name": "Ana"}, opening_balance_minor=5)
    assert again == first
    problem = await cafe(409, external_id="m-1", opening_balance_minor=6)
    assert problem["code"] == "external_id_taken"
    assert len(await office.events(PassCreated)) == 1


async def test_one_person_is_a_member_once_in_a_program_and_twice_in_two(office, cafe):
    # proves: C12
    holder = {"email": "Zoe@Example.org", "full_name": "Zoë"}
    first = await cafe(holder=holder)
    second = await cafe(200, holder={"email": "zoe@example.org"})
    assert second["pass_id"] == first["pass_id"]
    problem = await cafe(409, external_id="other", holder=holder)
    assert problem["code"] == "holder_is_member"
    other_program = await office.program(cafe.workspace_id, name="Second")
    elsewhere = await cafe(program_id=other_program, holder=holder)
    assert elsewhere["pass_id"] != first["pass_id"]
    assert elsewhere["holder_id"] == first["holder_id"]


async def test_a_member_whose_pass_ended_gets_another(office, cafe):
    holder = {"external_id": "h-7", "full_name": "Zoë"}
    first = await cafe(external_id="card-1", holder=holder)
    await office.call("POST", f"{cafe.path}/{first['pass_id']}/void")
    second = await cafe(external_id="card-2", holder=holder)
    assert second["pass_id"] != first["pass_id"]
    assert second["holder_id"] == first["holder_id"]


async def test_an_external_id_with_slashes_names_its_pass_everywhere(office, cafe):
    issued = await cafe(external_id="store/7/card")
    path = f"{cafe.path}/external:store/7/card"
    assert (await office.call("GET", path))["pass_id"] == issued["pass_id"]
    await office.call("PATCH", path, json={"fields": {"favourite": "Tea"}})
    assert (await office.call("POST", f"{path}/void"))["status"] == "voided"
    assert (await office.call("DELETE", path))["status"] == "deleted"


@pytest.mark.parametrize(
    "name",
    [
        *("a/void", "a/expire", "a/messages", "a/transfer", "a/reissue", "links", "a/links/1/2"),
        *("a/.../b", "a..b/.c", "x/.hidden"),
    ],
)
async def test_an_id_that_looks_like_an_address_names_its_pass_in_every_call(office, cafe, name):
    # proves: A5
    issued = await cafe(external_id=name)
    path = f"{cafe.path}/external:{name}"
    assert (await office.call("GET", path))["pass_id"] == issued["pass_id"]
    changed = await office.call("PATCH", path, json={"fields": {"favourite": "tea"}})
    assert changed["pass_id"] == issued["pass_id"]
    assert len((await office.call("GET", f"{path}/links"))["data"]) == 1
    await office.call("POST", f"{path}/links", status=201, json={})
    assert (await office.call("POST", f"{path}/void"))["pass_id"] == issued["pass_id"]
    assert (await office.call("DELETE", path))["pass_id"] == issued["pass_id"]


@pytest.mark.parametrize(
    "name",
    [
        *("a/links", "a/links/1", "a/links/1/qr.svg", "a/links/1/snippet", "a/b/links"),
        # Folded by clients, or cut short.
        *("a/../x", "x/./y", "x/..", "../external:y", ".", "a\nb", "a\n", "\ta", "a\x7f"),
    ],
)
async def test_no_pass_is_issued_under_an_id_by_which_it_could_not_be_reached(office, cafe, name):
    # proves: A5
    refused = await cafe(status=422, external_id=name)
    assert refused["code"] == "external_id_reserved"
    assert "give the pass another one" in refused["detail"]
    issued = await cafe()
    path = f"{cafe.path}/{issued['pass_id']}/reissue"
    refused = await office.call("POST", path, status=422, json={"external_id": name})
    assert refused["code"] == "external_id_reserved"


@pytest.mark.parametrize("more", [{"fields": {"x": "\ud800"}}, {"code": "\ud800"}])
async def test_half_a_surrogate_pair_is_refused(office, cafe, more):
    # As JSON writes it, in ASCII.
    body = json.dumps({"program_id": cafe.program_id, **more})
    headers = {"Content-Type": "application/json"}
    problem = await office.call("POST", cafe.path, status=422, content=body, headers=headers)
    assert problem["errors"]


async def test_a_code_that_cannot_be_stored_spoils_no_neighbour(office, cafe):
    good = {"program_id": cafe.program_id, "external_id": "good"}
    bad = good | {"external_id": "bad", "code": "a\u0000"}
    answer = await office.call("POST", f"{cafe.path}/bulk", json={"passes": [good, bad]})
    assert (answer["counts"]["created"], answer["counts"]["refused"]) == (1, 1)


async def test_a_cursor_from_beyond_the_calendar_is_refused(office, cafe):
    raw = json.dumps(["0001-01-01T00:00:00+14:00", str(uuid4())]).encode()
    cursor = base64.urlsafe_b64encode(raw).decode().rstrip("=")
    problem = await office.call("GET", f"{cafe.path}?cursor={cursor}", status=422)
    assert problem["code"] == "cursor_invalid"


async def test_two_ids_are_two_people_even_with_one_address(cafe):
    first = await cafe(holder={"external_id": "a", "email": "home@example.org"})
    second = await cafe(holder={"external_id": "b", "email": "home@example.org"})
    assert first["holder_id"] != second["holder_id"]


async def test_a_suspended_program_issues_nothing_and_a_retired_one_is_gone(office, cafe):
    # proves: C13
    path = f"/workspaces/{cafe.workspace_id}/programs/{cafe.program_id}"
    await office.call("PATCH", path, json={"status": "suspended"})
    assert (await cafe(409))["code"] == "program_suspended"
    await office.call("PATCH", path, json={"status": "retired"})
    assert (await cafe(410))["code"] == "program_retired"
    assert await office.events(PassCreated) == []


async def test_a_program_of_another_workspace_is_unknown(office, cafe):
    other = await office.workspace()
    foreign = await office.program(other)
    problem = await cafe(422, program_id=foreign)
    assert problem["code"] == "program_unknown"


async def test_a_program_issues_only_with_a_published_template(office, cafe, make):
    workspace_id = cafe.workspace_id
    base = f"/workspaces/{workspace_id}"
    draft = await office.call("POST", f"{base}/templates", status=201, json=make.template_json())
    program_id = await office.program(workspace_id, template_id=draft["template_id"])
    assert (await cafe(409, program_id=program_id))["code"] == "template_not_published"
    bare = await office.program(workspace_id, template_id=None)
    assert (await cafe(409, program_id=bare))["code"] == "program_without_template"


@pytest.mark.parametrize("code", ["", "  ", "Gutschein-ä", "a\nb", "x" * 81, "日本"])
async def test_a_code_that_code128_cannot_hold_makes_no_pass(office, cafe, code):
    # proves: A21
    problem = await cafe(422, code=code)
    assert problem["errors"][0]["field"] == "code"
    assert await office.rows("SELECT 1 FROM pass_issuer.pass") == []


async def test_a_taken_code_is_refused(cafe):
    await cafe(code="A-1")
    assert (await cafe(409, code="A-1"))["code"] == "code_taken"


async def test_a_coupon_starts_above_nothing(office):
    workspace_id = await office.workspace()
    program_id = await office.program(workspace_id, protocol="COUPON", name="Coupon")
    path = f"/workspaces/{workspace_id}/passes"
    body = {"program_id": program_id}
    for amount in (0, -1):
        problem = await office.call(
            "POST", path, status=422, json=body | {"opening_balance_minor": amount}
        )
        assert problem["code"] == "opening_balance_too_low"
    issued = await office.call("POST", path, status=201, json=body)
    assert issued["balance_minor"] == 1


async def test_bulk_issues_a_thousand_and_lists_the_refused_ones(office, cafe):
    # proves: J84
    passes = [
        {
            "program_id": cafe.program_id,
            "external_id": f"m-{number}",
            "holder": {"external_id": f"h-{number}", "full_name": f"Guest {number}"},
            "code": "ä" if number == 7 else f"C{number}",
        }
        for number in range(1000)
    ]
    path = f"{cafe.path}/bulk"
    answer = await office.call("POST", path, json={"passes": passes})
    assert answer["counts"] == {"created": 999, "existed": 0, "refused": 1}
    refused = answer["results"][7]
    assert (refused["outcome"], refused["code"], refused["field"]) == (
        "refused",
        "code_not_encodable",
        "code",
    )
    again = await office.call("POST", path, json={"passes": passes})
    assert again["counts"] == {"created": 0, "existed": 999, "refused": 1}
    one_more = await office.call("POST", path, status=422, json={"passes": [*passes, passes[0]]})
    assert one_more["errors"][0]["field"] == "passes"
    audited = await office.rows(
        "SELECT action FROM pass_issuer.audit_log WHERE action = 'passes.issued'"
    )
    assert len(audited) == 1


async def test_equal_passes_within_one_bulk_call_are_one(office, cafe):
    one = {"program_id": cafe.program_id, "external_id": "m-1", "code": "C1"}
    other = {"program_id": cafe.program_id, "external_id": "m-2", "code": "C1"}
    answer = await office.call("POST", f"{cafe.path}/bulk", json={"passes": [one, one, other]})
    assert [item["outcome"] for item in answer["results"]] == ["created", "existed", "refused"]
    assert len(await office.events(PassCreated)) == 1


async def test_passes_are_listed_in_pages(office, cafe):
    issued = [(await cafe(external_id=f"m-{number}"))["pass_id"] for number in range(5)]
    seen, cursor = [], ""
    for _ in range(3):
        page = await office.call("GET", f"{cafe.path}?limit=2{cursor}")
        seen += [each["pass_id"] for each in page["data"]]
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == issued
    assert page["next_cursor"] is None
    await office.call("GET", f"{cafe.path}?cursor=bm9uc2Vuc2U", status=422)


async def test_a_pass_changes_its_fields_until_it_ends_and_never_comes_back(office, cafe):
    # proves: J93
    issued = await cafe(fields={"favourite": "Tea"})
    path = f"{cafe.path}/{issued['pass_id']}"
    changed = await office.call(
        "PATCH", path, json={"fields": {"favourite": None}, "expires_at": "2027-01-01T00:00:00Z"}
    )
    assert (changed["fields"], changed["revision"]) == ({}, 2)
    unchanged = await office.call("PATCH", path, json={"fields": {"favourite": None}})
    assert unchanged["revision"] == 2
    voided = await office.call("POST", f"{path}/void", json={"reason": "lost"})
    assert (voided["status"], voided["status_reason"], voided["revision"]) == ("voided", "lost", 3)
    assert (await office.call("POST", f"{path}/void"))["revision"] == 3
    problem = await office.call("PATCH", path, status=409, json={"fields": {"favourite": "x"}})
    assert problem["code"] == "pass_voided"
    await office.call("POST", f"{path}/expire", status=409)
    deleted = await office.call("DELETE", path)
    assert (deleted["status"], deleted["link"]) == ("deleted", None)
    [updated] = await office.events(PassUpdated)
    assert updated.changed_fields == ["expires_at", "favourite"]
    assert [event.reason for event in await office.events(PassVoided)] == ["lost"]
    assert len(await office.events(PassDeleted)) == 1
    assert [event.revoked for event in await office.events(LinkChanged)] == [False, True]
    actions = await office.rows(
        "SELECT action FROM pass_issuer.audit_log WHERE target = $1 ORDER BY id",
        issued["pass_id"],
    )
    assert [row["action"] for row in actions] == [
        "pass.issued",
        "pass.updated",
        "pass.voided",
        "pass.deleted",
    ]


async def test_a_member_whose_pass_was_deleted_can_join_again(office, cafe):
    holder = {"email": "zoe@example.org"}
    first = await cafe(holder=holder)
    await office.call("DELETE", f"{cafe.path}/{first['pass_id']}")
    second = await cafe(holder=holder)
    assert second["pass_id"] != first["pass_id"]


async def test_parallel_equal_requests_make_one_pass(office, cafe):
    async def issue():
        return await office.client.post(
            f"/api/v1{cafe.path}",
            json={"program_id": cafe.program_id, "external_id": "m-1"},
            headers={"X-Api-Key": office.administrator_key},
        )

    answers = await asyncio.gather(*(issue() for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
    assert len({answer.json()["pass_id"] for answer in answers}) == 1


async def test_two_workspaces_with_equal_ids_see_nothing_of_each_other(office, cafe):
    # proves: J70
    other = await office.workspace()
    other_program = await office.program(other)
    body = {"external_id": "m-1", "serial_number": "serial-0000000001", "code": "C1"}
    ours = await cafe(**body)
    theirs = await office.call(
        "POST",
        f"/workspaces/{other}/passes",
        status=201,
        json={"program_id": other_program, **body},
    )
    assert ours["serial_number"] == theirs["serial_number"]
    assert ours["pass_id"] != theirs["pass_id"]
    key = await office.key(other, "owner")
    found = await office.call("GET", f"/workspaces/{other}/passes/external:m-1", key=key)
    assert found["pass_id"] == theirs["pass_id"]
    await office.call("GET", f"/workspaces/{other}/passes/{ours['pass_id']}", key=key, status=404)
    await office.call("GET", f"{cafe.path}/{ours['pass_id']}", key=key, status=404)
    await office.call("DELETE", f"/workspaces/{other}/passes/{ours['pass_id']}", status=404)


async def test_a_transaction_changes_the_passes_of_exactly_the_workspaces_it_names(office, cafe):
    other = await office.workspace()
    program = await office.program(other)
    await cafe()
    await office.call(
        "POST", f"/workspaces/{other}/passes", status=201, json={"program_id": program}
    )
    transactions = office.issuer.workbench.transactions
    counts = []
    for named in ([], [UUID(other)], [UUID(other), UUID(cafe.workspace_id)]):
        async with transactions.transaction(named) as transaction:
            counts.append(await transaction.execute("UPDATE pass SET status_reason = 'x'"))
    assert counts == ["UPDATE 0", "UPDATE 1", "UPDATE 2"]


@pytest.mark.parametrize("given", [1, "20270101", "46388", "2027-01-01", "2027-01-01T00:00:00"])
async def test_a_time_that_could_mean_another_is_refused(office, cafe, given):
    problem = await cafe(status=422, expires_at=given)
    assert "expires_at" in str(problem)
    problem = await cafe(status=422, holder={"birthday": 33010})
    assert "birthday" in str(problem)


async def test_a_pass_that_would_be_over_already_is_not_issued(office, cafe):
    now = office.clock.now()
    problem = await cafe(status=422, expires_at=now.isoformat())
    assert problem["code"] == "expires_at_past"
    soon = (now + timedelta(hours=1)).isoformat()
    issued = await cafe(external_id="m-1", expires_at=soon)
    # The same request is answered as before, however late it comes again.
    office.clock.advance(timedelta(hours=2))
    again = await cafe(status=200, external_id="m-1", expires_at=soon)
    assert again["pass_id"] == issued["pass_id"]
