"""Workspaces, API keys, programs and templates through the API, on real Postgres."""

from __future__ import annotations

import json
from datetime import timedelta
from uuid import UUID

import pytest

from passferry_contracts.events.directory import (
    ProgramChanged,
    TemplateAssetStored,
    TemplatePublished,
    WorkspaceAccessChanged,
)

pytestmark = pytest.mark.integration


async def test_a_new_workspace_is_told_and_its_key_works_at_once(office):
    # proves: C2
    workspace_id = await office.workspace(business_ids=["cafe-1"])
    key = await office.key(workspace_id, "owner")
    shown = await office.call("GET", f"/workspaces/{workspace_id}", key=key)
    assert shown["business_ids"] == ["cafe-1"]
    told = [e for e in await office.events(WorkspaceAccessChanged) if e.name == "Café Ferry"]
    assert [event.revision for event in told] == [1, 2]
    assert told[-1].api_keys[0].role == "owner"
    assert key.split("_")[3] not in told[-1].model_dump_json()


async def test_a_business_id_of_another_workspace_is_refused(office):
    await office.workspace(business_ids=["cafe-1"])
    problem = await office.call(
        "POST", "/workspaces", status=409, json={"name": "Other", "business_ids": ["cafe-1"]}
    )
    assert problem["code"] == "workspace_exists"
    other = await office.workspace()
    problem = await office.call(
        "PATCH", f"/workspaces/{other}", status=409, json={"business_ids": ["cafe-1"]}
    )
    assert problem["code"] == "business_id_taken"


async def test_children_stand_below_parents_only_and_one_level_deep(office):
    # proves: J67
    parent = await office.workspace(kind="parent")
    root = await office.workspace()
    asked = {"name": "Child", "kind": "child", "parent_workspace_id": parent, "external_id": "c1"}
    child = (await office.call("POST", "/workspaces", status=201, json=asked))["workspace_id"]
    again = await office.call("POST", "/workspaces", status=409, json=asked)
    assert again["code"] == "workspace_exists"
    for wrong in (root, child):
        problem = await office.call(
            "POST", "/workspaces", status=422, json=asked | {"parent_workspace_id": wrong}
        )
        assert problem["errors"][0]["field"] == "parent_workspace_id"
    problem = await office.call(
        "POST",
        f"/workspaces/{parent}/programs",
        status=409,
        json={"name": "P", "protocol": "MEMBERSHIP"},
    )
    assert problem["code"] == "parent_holds_no_passes"
    parent_key = await office.key(parent, "owner")
    await office.call("GET", f"/workspaces/{child}", key=parent_key)
    await office.call("GET", f"/workspaces/{root}", key=parent_key, status=404)


async def test_a_revoked_key_is_refused_at_once(office):
    workspace_id = await office.workspace()
    base = f"/workspaces/{workspace_id}/api-keys"
    made = await office.call("POST", base, status=201, json={"role": "viewer", "name": "till"})
    await office.call("GET", f"/workspaces/{workspace_id}", key=made["api_key"])
    await office.call("DELETE", f"{base}/{made['key_id']}", status=204)
    await office.call("GET", f"/workspaces/{workspace_id}", key=made["api_key"], status=401)
    listed = await office.call("GET", base)
    assert [key["revoked_at"] is not None for key in listed["data"]] == [True]
    assert "api_key" not in listed["data"][0]


async def test_nobody_grants_more_than_they_may(office):
    workspace_id = await office.workspace()
    base = f"/workspaces/{workspace_id}/api-keys"
    owner = await office.key(workspace_id, "owner")
    problem = await office.call("POST", base, key=owner, status=422, json={"role": "administrator"})
    assert problem["errors"][0]["field"] == "role"
    manager = await office.key(workspace_id, "manager")
    await office.call("POST", base, key=manager, status=403, json={"role": "viewer"})


async def test_the_last_administrator_stays(office):
    keys = await office.call("GET", "/platform/api-keys")
    key_id = keys["data"][0]["key_id"]
    problem = await office.call("DELETE", f"/platform/api-keys/{key_id}", status=409)
    assert problem["code"] == "last_administrator"


async def test_a_suspended_workspace_reads_and_changes_nothing(office):
    workspace_id = await office.workspace()
    key = await office.key(workspace_id, "owner")
    await office.call("PATCH", f"/workspaces/{workspace_id}", json={"suspended": True})
    await office.call("GET", f"/workspaces/{workspace_id}", key=key)
    problem = await office.call(
        "POST", f"/workspaces/{workspace_id}/programs", key=key, status=403, json={}
    )
    assert problem["code"] == "workspace_suspended"


async def test_an_idempotency_key_makes_one_program_and_refuses_another_body(office):
    workspace_id = await office.workspace()
    base = f"/workspaces/{workspace_id}/programs"
    body = {"name": "Points", "protocol": "MEMBERSHIP"}
    headers = {"Idempotency-Key": '"p-1"'}
    first = await office.call("POST", base, status=201, json=body, headers=headers)
    second = await office.call("POST", base, status=201, json=body, headers=headers)
    assert first == second
    other = body | {"name": "Other"}
    problem = await office.call("POST", base, status=422, json=other, headers=headers)
    assert problem["code"] == "idempotency_key_reused"
    assert len(await office.events(ProgramChanged)) == 1
    office.clock.advance(timedelta(hours=25))
    later = await office.call("POST", base, status=201, json=other, headers=headers)
    assert later["name"] == "Other"


async def test_an_unknown_protocol_is_refused_with_its_field(office):
    # proves: C1, C3
    workspace_id = await office.workspace()
    base = f"/workspaces/{workspace_id}/programs"
    problem = await office.call("POST", base, status=422, json={"name": "P", "protocol": "LOTTERY"})
    assert problem["errors"][0]["field"] == "protocol"
    for protocol, unit in (
        ("MEMBERSHIP", "points"),
        ("COUPON", "uses"),
        ("EVENT_TICKET", "entries"),
    ):
        made = await office.call(
            "POST", base, status=201, json={"name": protocol, "protocol": protocol}
        )
        assert made["unit"] == unit
    problem = await office.call(
        "POST", base, status=422, json={"name": "G", "protocol": "GIFT_CARD"}
    )
    assert problem["errors"][0]["field"] == "unit"
    listed = await office.call("GET", f"{base}?limit=2")
    assert [program["name"] for program in listed["data"]] == ["MEMBERSHIP", "COUPON"]
    rest = await office.call("GET", f"{base}?cursor={listed['next_cursor']}")
    assert [program["name"] for program in rest["data"]] == ["EVENT_TICKET"]


async def test_passkit_ids_are_optional_and_kept(office):
    # proves: C1
    workspace_id = await office.workspace()
    made = await office.call(
        "POST",
        f"/workspaces/{workspace_id}/programs",
        status=201,
        json={
            "name": "P",
            "protocol": "MEMBERSHIP",
            "passkit": {"program_id": "pk1", "tier_id": "gold"},
        },
    )
    assert made["passkit"] == {"program_id": "pk1", "tier_id": "gold"}


async def test_every_change_of_a_program_raises_its_revision(office):
    workspace_id = await office.workspace()
    program_id = await office.program(workspace_id)
    path = f"/workspaces/{workspace_id}/programs/{program_id}"
    await office.call("PATCH", path, json={"name": "New", "limits": {"max_balance_minor": 100}})
    await office.call("PATCH", path, json={"status": "retired"})
    problem = await office.call("PATCH", path, status=409, json={"name": "Newer"})
    assert problem["code"] == "program_retired"
    told = await office.events(ProgramChanged)
    assert [(e.revision, e.name, e.status) for e in told] == [
        (1, "Points", "active"),
        (2, "New", "active"),
        (3, "New", "retired"),
    ]
    assert told[1].limits.max_balance_minor == 100


async def test_a_template_is_published_with_its_images_sent_once(office, make):
    # proves: J55, A24
    workspace_id = await office.workspace()
    base = f"/workspaces/{workspace_id}/templates"
    made = await office.call("POST", base, status=201, json=make.template_json())
    path = f"{base}/{made['template_id']}"
    problem = await office.call("POST", f"{path}/publish", status=422)
    assert (problem["code"], problem["errors"][0]["field"]) == (
        "image_missing",
        "files.icon.png",
    )
    for name in make.images:
        await office.call("PUT", f"{path}/files/{name}", content=make.png())
    published = await office.call("POST", f"{path}/publish")
    assert published["status"] == "published"
    assert published["field_names"] == ["favourite"]
    await office.call("POST", f"{path}/publish")
    [event] = await office.events(TemplatePublished)
    assert sorted(event.assets) == sorted(make.images)
    assert event.google_class.vertical == "loyalty"
    # Six names, one image: the file itself is sent once.
    assert len(await office.events(TemplateAssetStored)) == 1


async def test_a_published_version_never_changes_and_a_new_draft_keeps_its_files(office, make):
    workspace_id = await office.workspace()
    template_id = await office.template(workspace_id)
    path = f"/workspaces/{workspace_id}/templates/{template_id}"
    problem = await office.call("PUT", f"{path}/files/icon.png", status=409, content=make.png())
    assert problem["code"] == "template_published"
    draft = await office.call("PUT", path, json=make.template_json(name="Second"))
    assert (draft["template_version"], draft["status"]) == (2, "draft")
    await office.call("PUT", f"{path}/files/icon.png", content=make.png(shade=200))
    shown = await office.call("GET", path)
    assert [each["name"] for each in shown["files"]] == sorted(make.images)
    await office.call("POST", f"{path}/publish")
    first, second = await office.events(TemplatePublished)
    assert first.assets["icon.png"].sha256 != second.assets["icon.png"].sha256
    assert first.assets["logo.png"] == second.assets["logo.png"]
    # One for each of the three sizes, and the new icon.
    assert len(await office.events(TemplateAssetStored)) == 4


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"apple": {"style": "poster"}}, "apple.style"),
        ({"apple": {"style": "storeCard", "organization_name": "x"}}, "apple.description"),
        ({"pass_type_identifier": "com.example"}, "pass_type_identifier"),
        ({"protocol": "LOTTERY"}, "protocol"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_a_faulty_template_is_refused_with_its_field(office, make, change, field):
    workspace_id = await office.workspace()
    problem = await office.call(
        "POST",
        f"/workspaces/{workspace_id}/templates",
        status=422,
        json=make.template_json(**change),
    )
    assert problem["errors"][0]["field"] == field


async def test_a_file_that_is_no_image_is_refused(office, make):
    workspace_id = await office.workspace()
    base = f"/workspaces/{workspace_id}/templates"
    made = await office.call("POST", base, status=201, json=make.template_json())
    path = f"{base}/{made['template_id']}/files/icon.png"
    await office.call("PUT", path, status=422, content=b"GIF89a")
    await office.call("PUT", path, status=422, content=b"\x89PNG" + b"x" * 700_000)
    await office.call("PUT", path, status=413, content=b"\x89PNG" + b"x" * 1_100_000)


async def test_each_mutating_call_leaves_one_audit_row_that_cannot_be_changed(office):
    # proves: J71
    workspace_id = await office.workspace()
    key = await office.key(workspace_id, "owner")
    await office.call(
        "POST",
        f"/workspaces/{workspace_id}/programs",
        key=key,
        status=201,
        json={"name": "P", "protocol": "MEMBERSHIP"},
    )
    sql = (
        "SELECT actor, action, after FROM pass_issuer.audit_log WHERE workspace_id = $1 ORDER BY id"
    )
    rows = await office.rows(sql, UUID(workspace_id))
    assert [row["action"] for row in rows] == [
        "workspace.created",
        "api_key.created",
        "program.created",
    ]
    assert rows[2]["actor"] == f"key:{key.split('_')[2]}"
    assert json.loads(rows[2]["after"])["name"] == "P"
    transactions = office.issuer.workbench.transactions
    for statement in ("UPDATE audit_log SET actor = 'x'", "DELETE FROM audit_log"):
        with pytest.raises(Exception, match="permission denied"):
            async with transactions.transaction([workspace_id]) as transaction:
                await transaction.execute(statement)


RULES = {
    "time_zone": "Europe/Berlin",
    "earn": {"points": 1, "per_minor": 100, "purchase_unit": "EUR"},
    "expiry": {"kind": "end_of_year", "years": 1},
    "redeem": None,
    "tiers": {"levels": [{"name": "Silver", "from_minor": 500}]},
}
THRESHOLDS = [
    {"kind": "low_balance", "below_percent": 10},
    {"kind": "threshold_reached", "at_minor": 60, "name": "Free espresso"},
]


async def test_lawful_rules_and_thresholds_are_kept_and_told_as_they_were_sent(office):
    workspace_id = await office.workspace()
    path = f"/workspaces/{workspace_id}/programs"
    body = {
        "name": "P",
        "protocol": "MEMBERSHIP",
        "rules": RULES,
        "thresholds": THRESHOLDS,
    }
    made = await office.call("POST", path, status=201, json=body)
    assert (made["rules"], made["thresholds"]) == (RULES, THRESHOLDS)
    changed = await office.call("PATCH", f"{path}/{made['program_id']}", json={"rules": {}})
    assert (changed["rules"], changed["thresholds"]) == ({}, THRESHOLDS)
    told = await office.events(ProgramChanged)
    assert [event.rules for event in told] == [RULES, {}]
    assert [event.thresholds for event in told] == [THRESHOLDS, THRESHOLDS]


LEVELS = [{"name": "Silver", "from_minor": 500}, {"name": "Gold", "from_minor": 500}]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"rules": {"tiers": {"levels": LEVELS}}}, "rules.tiers.levels.1.from_minor"),
        ({"rules": {"expiry": {"kind": "after_days", "days": 0}}}, "rules.expiry.days"),
        ({"rules": {"points_expire_after_days": 365}}, "rules.points_expire_after_days"),
        ({"rules": {"pending_days": 1.5}}, "rules.pending_days"),
        ({"rules": []}, "rules"),
        ({"thresholds": [{"kind": "low_balance"}]}, "thresholds.0"),
        ({"thresholds": [{"kind": "low_balance", "at_minor": 1}]}, "thresholds.0.at_minor"),
        ({"thresholds": [THRESHOLDS[0]] * 33}, "thresholds"),
    ],
)
async def test_an_unlawful_rule_is_refused_with_its_path_and_changes_nothing(office, given, field):
    workspace_id = await office.workspace()
    path = f"/workspaces/{workspace_id}/programs"
    body = {"name": "P", "protocol": "MEMBERSHIP"}
    program = await office.call("POST", path, status=201, json=body)
    own_path = f"{path}/{program['program_id']}"
    for method, target, asked in (("POST", path, body | given), ("PATCH", own_path, given)):
        problem = await office.call(method, target, status=422, json=asked)
        assert problem["code"] == "validation_failed"
        assert problem["errors"][0]["field"] == field
        assert problem["errors"][0]["message"]
    assert await office.call("GET", own_path) == program
    assert len(await office.events(ProgramChanged)) == 1


async def test_a_rule_of_another_kind_of_program_is_refused_and_changes_nothing(office):
    workspace_id = await office.workspace()
    path = f"/workspaces/{workspace_id}/programs"
    ticket = {"name": "T", "protocol": "EVENT_TICKET", "rules": {"check_in": {"re_entry": True}}}
    made = await office.call("POST", path, status=201, json=ticket)
    own_path = f"{path}/{made['program_id']}"
    earn = {"rules": {"earn": RULES["earn"]}}
    for method, target, asked in (("POST", path, ticket | earn), ("PATCH", own_path, earn)):
        problem = await office.call(method, target, status=422, json=asked)
        assert (problem["code"], problem["errors"][0]["field"]) == (
            "rule_not_applicable",
            "rules.earn",
        )
    assert await office.call("GET", own_path) == made
    assert len(await office.events(ProgramChanged)) == 1


async def test_rules_from_before_they_were_checked_do_not_hinder_a_suspension(office):
    workspace_id = await office.workspace()
    program_id = await office.program(workspace_id)
    path = f"/workspaces/{workspace_id}/programs/{program_id}"
    old = {"check_in": {}, "points_expire_after_days": 365}
    async with office.issuer.workbench.transactions.transaction([workspace_id]) as transaction:
        await transaction.execute(
            "UPDATE program SET rules = $2::jsonb WHERE workspace_id = $1",
            UUID(workspace_id),
            json.dumps(old),
        )
    changed = await office.call("PATCH", path, json={"status": "suspended"})
    assert (changed["status"], changed["rules"]) == ("suspended", old)


async def test_json_that_cannot_be_stored_is_refused_with_its_field(office):
    workspace_id = await office.workspace()
    path = f"/workspaces/{workspace_id}/programs"
    body = '{"name": "P", "protocol": "MEMBERSHIP", "rules": {"a": %s}}'
    headers = {"Content-Type": "application/json"}
    for value in ('"\\u0000"', "NaN", "Infinity"):
        problem = await office.call("POST", path, status=422, content=body % value, headers=headers)
        assert problem["errors"][0]["field"] == "rules"
    await office.call("GET", f"/workspaces/{workspace_id}/passes/external:%00", status=404)


async def test_an_answer_is_remembered_for_a_day_without_the_key_it_shows(office):
    # proves: A14
    workspace_id = await office.workspace()
    path, headers = f"/workspaces/{workspace_id}/api-keys", {"Idempotency-Key": "k-1"}
    ask = {"status": 201, "headers": headers, "json": {"role": "viewer"}}
    first = await office.call("POST", path, **ask)
    assert await office.call("POST", path, **ask) == first | {"api_key": None}
    # Nobody has to ask for anything for it to be forgotten.
    for index in range(3):
        body = {"role": "viewer", "name": str(index)}
        key = {"Idempotency-Key": f"n-{index}"}
        await office.call("POST", path, status=201, json=body, headers=key)
    office.clock.advance(timedelta(hours=23))
    await office.issuer.life.keep_time()
    assert len(await office.rows("SELECT 1 FROM pass_issuer.idempotency")) == 4
    office.clock.advance(timedelta(hours=1))
    await office.issuer.life.keep_time()
    assert await office.rows("SELECT 1 FROM pass_issuer.idempotency") == []
    assert (await office.call("POST", path, **ask))["key_id"] != first["key_id"]


@pytest.mark.parametrize("value", ["\x00", "\x1b[2J"])
async def test_an_example_value_that_cannot_be_stored_is_refused(office, make, value):
    workspace_id = await office.workspace()
    body = make.template_json()
    body["apple"]["example_values"] = {"a": value}
    problem = await office.call(
        "POST", f"/workspaces/{workspace_id}/templates", status=422, json=body
    )
    assert "example_values" in str(problem)


async def test_a_body_that_is_nested_without_end_is_refused(office, make):
    workspace_id = await office.workspace()
    body = make.template_json()
    document = body["apple"]["document"] = {}
    for _ in range(500):
        document["a"] = {}
        document = document["a"]
    path = f"/workspaces/{workspace_id}/templates"
    await office.call("POST", path, status=422, json=body)
