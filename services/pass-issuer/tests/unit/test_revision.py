"""What events do to a pass, without a database."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from passferry_contracts.types import BalanceOwner, PassStatus, Protocol
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.revision import used_up, with_balance, with_redemption
from passferry_pass_issuer.domain.upstream import (
    changed_fields,
    voided_by_upstream,
    with_upstream_balance,
    with_upstream_fields,
    with_upstream_redemption,
)
from passferry_pass_issuer.domain.wallet_pass import WalletPass, changed

pytestmark = pytest.mark.unit

NOON = datetime(2026, 5, 14, 12, tzinfo=UTC)


def wallet_pass(**changes) -> WalletPass:
    given = {
        "workspace_id": UUID(int=1),
        "pass_id": UUID(int=2),
        "program_id": UUID(int=3),
        "protocol": Protocol.COUPON,
        "template_id": UUID(int=4),
        "template_version": 1,
        "holder_id": UUID(int=5),
        "external_id": "m-1",
        "request_sha256": "0" * 64,
        "pass_type_identifier": "pass.com.example.cafe",
        "serial_number": "serial-1",
        "authentication_token_ciphertext": b"",
        "authentication_token_sha256": "1" * 64,
        "code": "C1",
        "status": PassStatus.ACTIVE,
        "status_reason": None,
        "balance_owner": BalanceOwner.PASSFERRY,
        "unit": "EUR",
        "unit_scale": 2,
        "balance_minor": 100,
        "ledger_version": 5,
        "redeemed_version": 5,
        "upstream_version": 5,
        "field_values": {"drink": "Tea"},
        "expires_at": None,
        "revision": 3,
        "content_sha256": "2" * 64,
        "pass_json": "{}",
        "manifest": "{}",
        "google_object_id": None,
        "google_object_body": None,
        "caused_at": NOON,
        "rendered_at": NOON,
        "created_at": NOON,
        "updated_at": NOON,
    }
    return WalletPass(**(given | changes))


@pytest.mark.parametrize(
    ("version", "exhausted", "expected"),
    [
        (6, False, (70, 6, PassStatus.ACTIVE)),
        (9, False, (70, 9, PassStatus.ACTIVE)),
        (6, True, (70, 6, PassStatus.VOIDED)),
        (5, True, None),
        (4, False, None),
    ],
)
def test_the_newest_balance_is_shown_and_older_ones_are_ignored(version, exhausted, expected):
    # proves: A26
    after = with_balance(wallet_pass(), balance_minor=70, version=version, exhausted=exhausted)
    shown = after and (after.balance_minor, after.ledger_version, after.status)
    assert shown == expected


def test_versions_compare_per_event_type():
    both = with_redemption(wallet_pass(ledger_version=6), version=6, exhausted=True, at=NOON)
    assert (both.redeemed_version, both.status_reason) == (6, "exhausted")
    assert with_redemption(wallet_pass(), version=5, exhausted=True, at=NOON) is None


def test_the_ledger_has_no_say_over_a_balance_that_an_upstream_keeps():
    theirs = wallet_pass(balance_owner=BalanceOwner.UPSTREAM)
    assert with_balance(theirs, balance_minor=1, version=9, exhausted=True) is None
    assert with_redemption(theirs, version=9, exhausted=True, at=NOON) is None


@pytest.mark.parametrize("status", [PassStatus.VOIDED, PassStatus.EXPIRED])
def test_a_pass_that_ended_stays_as_it_ended_whatever_comes_late(status):
    # proves: A26
    ended = wallet_pass(status=status, status_reason="lost")
    later = with_balance(ended, balance_minor=500, version=6, exhausted=False)
    assert (later.status, later.status_reason, later.balance_minor) == (status, "lost", 500)
    assert used_up(ended) is ended
    assert voided_by_upstream(ended, reason="x") is None
    assert with_upstream_fields(ended, field_values={"a": 1}, expires_at=None, version=9) is None


@pytest.mark.parametrize("owner", list(BalanceOwner))
def test_a_deleted_pass_is_not_drawn_again_for_what_comes_late(owner):
    # proves: A26
    gone = wallet_pass(status=PassStatus.DELETED, balance_owner=owner)
    assert with_balance(gone, balance_minor=500, version=6, exhausted=True) is None
    assert with_redemption(gone, version=6, exhausted=True, at=NOON) is None
    assert with_upstream_balance(gone, balance_minor=500, version=6) is None
    assert with_upstream_redemption(gone, version=6, exhausted=True, at=NOON) is None
    assert voided_by_upstream(gone, reason="x") is None


def test_a_deleted_pass_does_not_change_any_more():
    deleted = wallet_pass(status=PassStatus.DELETED)
    assert with_balance(deleted, balance_minor=1, version=9, exhausted=False) is None
    assert with_redemption(deleted, version=9, exhausted=True, at=NOON) is None
    assert used_up(deleted) is deleted


def test_an_upstreams_versions_may_have_gaps_but_do_not_go_back():
    theirs = wallet_pass(balance_owner=BalanceOwner.UPSTREAM)
    after = with_upstream_balance(theirs, balance_minor=9, version=40)
    assert (after.balance_minor, after.ledger_version) == (9, 40)
    for version in (40, 39, 1):
        assert with_upstream_balance(after, balance_minor=1, version=version) is None
    assert (
        with_upstream_redemption(after, version=40, exhausted=False, at=NOON).redeemed_version == 40
    )


def test_a_change_of_fields_does_not_outdate_a_balance_that_was_never_seen():
    theirs = wallet_pass(balance_owner=BalanceOwner.UPSTREAM)
    renamed = with_upstream_fields(
        theirs, field_values={"drink": "Mate"}, expires_at=None, version=8
    )
    assert with_upstream_balance(renamed, balance_minor=9, version=7).balance_minor == 9


def test_fields_are_merged_removed_and_checked():
    later = NOON.replace(year=2027)
    after = with_upstream_fields(
        wallet_pass(), field_values={"drink": None, "size": 2}, expires_at=later, version=6
    )
    assert (after.field_values, after.expires_at, after.upstream_version) == ({"size": 2}, later, 6)
    assert sorted(changed_fields(wallet_pass(), after)) == ["drink", "expires_at", "size"]
    assert changed_fields(after, replace(after, balance_minor=1)) == []
    with pytest.raises(ContentRejected) as refused:
        with_upstream_fields(
            wallet_pass(), field_values={"drink": {"a": 1}}, expires_at=None, version=6
        )
    assert refused.value.field == "fields.drink"


def test_an_upstream_voids_with_its_reason():
    assert voided_by_upstream(wallet_pass(), reason="fraud").status_reason == "fraud"
    assert voided_by_upstream(wallet_pass(), reason=None).status_reason == "requested"


def test_a_copy_of_a_pass_is_what_the_constructor_would_make_of_it():
    before = wallet_pass()

    after = changed(before, balance_minor=7, tier="gold")

    assert after == replace(before, balance_minor=7, tier="gold")
    assert before == wallet_pass()


def test_a_copy_takes_no_name_that_a_pass_does_not_have():
    with pytest.raises(TypeError, match="balance"):
        changed(wallet_pass(), balance=7)


def test_a_pass_is_made_of_all_its_columns_and_of_nothing_else():
    before = wallet_pass()
    columns = {each.name: getattr(before, each.name) for each in fields(before)}

    assert WalletPass.of_columns(columns) == before
    with pytest.raises(TypeError, match="tier"):
        WalletPass.of_columns({name: value for name, value in columns.items() if name != "tier"})
    with pytest.raises(TypeError, match="colour"):
        WalletPass.of_columns(columns | {"colour": "red"})


def test_a_pass_stays_as_it_was_made():
    with pytest.raises(FrozenInstanceError):
        changed(wallet_pass(), revision=4).revision = 5
