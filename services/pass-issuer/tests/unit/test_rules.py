"""What programs, requests, credentials and states allow."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from passferry_contracts.types import BalanceOwner, PassStatus, Protocol, Role
from passferry_pass_issuer.domain.api_key import check_role
from passferry_pass_issuer.domain.credentials import CredentialNeed, find_faults
from passferry_pass_issuer.domain.issuing import (
    HolderRequest,
    IssueRefused,
    IssueRequest,
    check_field_values,
    check_program_open,
    is_code,
)
from passferry_pass_issuer.domain.program import (
    Program,
    ProgramStatus,
    check_program,
    check_rules,
    opening_balance,
)
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.status_changes import may_become
from passferry_pass_issuer.domain.workspace import PLATFORM_ID

pytestmark = pytest.mark.unit

NOON = datetime(2026, 5, 14, 12, tzinfo=UTC)
WORKSPACE = uuid.UUID(int=7)

PROGRAM = Program(
    workspace_id=WORKSPACE,
    program_id=uuid.UUID(int=8),
    name="Points",
    protocol=Protocol.MEMBERSHIP,
    status=ProgramStatus.ACTIVE,
    template_id=uuid.UUID(int=9),
    balance_owner=BalanceOwner.PASSFERRY,
    unit="points",
    unit_scale=0,
    floor_minor=0,
    limits={},
    rules={},
    thresholds=(),
    opening_balance_minor=0,
    opening_minimum_minor=0,
    opening_maximum_minor=None,
    passkit={},
    revision=1,
    created_at=NOON,
    updated_at=NOON,
)


@pytest.mark.parametrize(
    ("changes", "asked", "expected"),
    [
        ({}, None, 0),
        ({"opening_balance_minor": 10}, None, 10),
        ({"opening_balance_minor": 10}, 3, 3),
        ({"opening_balance_minor": 10}, 0, 0),
        ({}, -1, "opening_balance_too_low"),
        ({"opening_minimum_minor": 500}, 499, "opening_balance_too_low"),
        ({"opening_minimum_minor": 500}, None, "opening_balance_too_low"),
        ({"opening_maximum_minor": 500}, 501, "opening_balance_too_high"),
        ({"limits": {"max_balance_minor": 5}}, 6, "opening_balance_too_high"),
        ({"floor_minor": -100, "opening_minimum_minor": -100}, -50, -50),
        ({"protocol": Protocol.COUPON}, 0, "opening_balance_too_low"),
        ({"protocol": Protocol.EVENT_TICKET}, 0, "opening_balance_too_low"),
        ({"protocol": Protocol.COUPON}, 3, 3),
        ({}, 2**63, "invalid"),
    ],
)
def test_an_opening_balance_keeps_to_the_programs_rules(changes, asked, expected):
    program = replace(PROGRAM, **changes)
    if isinstance(expected, int):
        assert opening_balance(program, asked) == expected
        return
    with pytest.raises(ContentRejected) as refused:
        opening_balance(program, asked)
    assert (refused.value.code, refused.value.field) == (expected, "opening_balance_minor")


def test_a_program_whose_numbers_contradict_is_refused():
    with pytest.raises(ContentRejected):
        check_program(replace(PROGRAM, opening_minimum_minor=5, opening_maximum_minor=4))
    with pytest.raises(ContentRejected):
        check_program(replace(PROGRAM, opening_balance_minor=9, opening_maximum_minor=4))
    check_program(replace(PROGRAM, opening_minimum_minor=5, opening_maximum_minor=9))


UPSTREAM = {"balance_owner": BalanceOwner.UPSTREAM}


@pytest.mark.parametrize(
    ("changes", "rules", "refused_rule"),
    [
        ({}, {}, None),
        ({}, {"earn": {}, "expiry": {}, "tiers": {}, "redeem": {}, "hold": {}}, None),
        ({}, {"check_in": {}}, "check_in"),
        ({"protocol": Protocol.EVENT_TICKET}, {"check_in": {}, "expiry": {}}, None),
        ({"protocol": Protocol.EVENT_TICKET}, {"earn": {}}, "earn"),
        ({"protocol": Protocol.GIFT_CARD}, {"earn": {}}, "earn"),
        ({"protocol": Protocol.COUPON}, {"earn": {}}, "earn"),
        ({"protocol": Protocol.COUPON}, {"earn": None}, None),
        ({"protocol": Protocol.COUPON}, {"check_in": {}}, "check_in"),
        (UPSTREAM, {"earn": {}}, "earn"),
        (UPSTREAM, {"expiry": {}}, "expiry"),
        (UPSTREAM, {"tiers": {}}, "tiers"),
        (UPSTREAM, {"expiry": None, "time_zone": "UTC"}, None),
    ],
)
def test_a_rule_that_contradicts_its_program_is_refused(changes, rules, refused_rule):
    program = replace(PROGRAM, **changes, rules=rules)
    if refused_rule is None:
        check_rules(program)
        return
    with pytest.raises(ContentRejected) as refused:
        check_rules(program)
    assert (refused.value.code, refused.value.field) == (
        "rule_not_applicable",
        f"rules.{refused_rule}",
    )


@pytest.mark.parametrize(
    ("program", "status"),
    [
        (None, 422),
        (replace(PROGRAM, status=ProgramStatus.SUSPENDED), 409),
        (replace(PROGRAM, status=ProgramStatus.RETIRED), 410),
        (replace(PROGRAM, template_id=None), 409),
    ],
)
def test_a_closed_program_refuses_with_its_status(program, status):
    # proves: C13
    with pytest.raises(IssueRefused) as refused:
        check_program_open(program)
    assert refused.value.status == status


def test_equal_requests_are_told_from_different_ones():
    request = IssueRequest(program_id=uuid.UUID(int=1), holder=HolderRequest(full_name="Ana"))
    same = IssueRequest(program_id=uuid.UUID(int=1), holder=HolderRequest(full_name="Ana"))
    assert request.sha256() == same.sha256()
    assert replace(request, opening_balance_minor=0).sha256() != request.sha256()
    assert replace(request, field_values={"a": "1"}).sha256() != request.sha256()
    assert (
        replace(request, field_values={"a": 1, "b": 2}).sha256()
        == replace(request, field_values={"b": 2, "a": 1}).sha256()
    )


@pytest.mark.parametrize(
    "values",
    [
        {"a": 1.5},
        {"a": ["x"]},
        {"a": {"b": 1}},
        {"a b": "x"},
        {"": "x"},
        {"a": "x" * 2001},
        {"a": "x\x00"},
        {"a": 2**63},
        {f"f{number}": 1 for number in range(65)},
    ],
)
def test_values_that_no_field_can_show_are_refused(values):
    with pytest.raises(ContentRejected) as refused:
        check_field_values(values)
    assert refused.value.field.startswith("fields")


@pytest.mark.parametrize(
    ("workspace_id", "role", "granted_by", "is_allowed"),
    [
        (WORKSPACE, Role.OWNER, Role.OWNER, True),
        (WORKSPACE, Role.OWNER, Role.MANAGER, False),
        (WORKSPACE, Role.VIEWER, Role.ADMINISTRATOR, True),
        (WORKSPACE, Role.ADMINISTRATOR, Role.ADMINISTRATOR, False),
        (PLATFORM_ID, Role.ADMINISTRATOR, Role.ADMINISTRATOR, True),
        (PLATFORM_ID, Role.OWNER, Role.ADMINISTRATOR, False),
    ],
)
def test_administrators_are_of_the_platform_and_nobody_grants_above_themselves(
    workspace_id, role, granted_by, is_allowed
):
    if is_allowed:
        check_role(workspace_id, role, granted_by=granted_by)
        return
    with pytest.raises(ContentRejected):
        check_role(workspace_id, role, granted_by=granted_by)


def need(**changes):
    given = {
        "workspace_id": WORKSPACE,
        "pass_type_identifier": "pass.a",
        "team_identifier": "T",
        "google_issuer_id": None,
        "identity_team": "T",
        "identity_not_after": NOON + timedelta(days=90),
        "has_google_account": False,
    }
    return CredentialNeed(**(given | changes))


@pytest.mark.parametrize(
    ("changes", "codes"),
    [
        ({}, []),
        ({"identity_not_after": None}, ["signing_identity_missing"]),
        ({"identity_not_after": NOON}, ["signing_identity_expired"]),
        ({"identity_not_after": NOON + timedelta(days=29)}, ["signing_identity_expiring"]),
        ({"identity_team": "U"}, ["signing_identity_of_another_team"]),
        ({"lacks_nfc": True}, ["signing_identity_without_nfc"]),
        ({"google_issuer_id": "1"}, ["google_account_missing"]),
        ({"google_issuer_id": "1", "has_google_account": True}, []),
        ({"pass_type_identifier": None, "identity_not_after": None}, []),
    ],
)
def test_what_is_wrong_with_credentials_is_found(changes, codes):
    # proves: A23, J78
    found = find_faults([need(**changes), need(**changes)], NOON)
    assert [finding.code for finding in found] == codes
    expiring = codes == ["signing_identity_expiring"]
    assert all(finding.is_degraded is not expiring for finding in found)


def test_a_pass_that_ended_never_becomes_active():
    # proves: A26
    for present in PassStatus:
        assert not may_become(present, PassStatus.ACTIVE)
    assert may_become(PassStatus.VOIDED, PassStatus.DELETED)
    assert not may_become(PassStatus.DELETED, PassStatus.VOIDED)


@pytest.mark.parametrize("code", ["CAFE-1\n", "\nCAFE-1", "CAFE\x7f", "é", ""])
def test_a_code_is_what_every_scanner_reads(code):
    # proves: A21
    assert not is_code(code)


def test_a_field_name_ends_with_its_last_letter():
    with pytest.raises(ContentRejected):
        check_field_values({"drink\n": "tea"})
