"""Which credential rings which pass type. proves: A14, J2"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import UUID

import pytest

from passferry_contracts.events.directory import WorkspaceCredentialsChanged
from passferry_notifier.adapters.workspace_credentials import WorkspaceCredentials
from passferry_runtime.clock import FixedClock
from passferry_runtime.crypto import KeyRing
from passferry_runtime.kafka.settings import KafkaSettings
from passferry_testing.pki import DemoAuthority, new_provider_key

pytestmark = pytest.mark.unit

NOW = datetime.now(UTC)
WORKSPACE = UUID(int=7)
PASS_TYPE, TEAM = "pass.com.example.cafe", "CAFE123456"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return DemoAuthority.create(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def held():
    """Takes entries as the issuer seals them."""
    ring = KeyRing.from_json(KeyRing.generate("shared"))
    clock = FixedClock(NOW)
    settings = KafkaSettings(brokers="127.0.0.1:1", client_id="test")
    credentials = WorkspaceCredentials(ring, settings, known_with=SimpleNamespace(), clock=clock)

    def take(*apple, google=(), sealed_with=ring):
        sealed = sealed_with.encrypt(
            json.dumps({"apple": apple, "google": google}).encode(),
            context=f"workspace.credentials:{WORKSPACE}",
        )
        credentials.take(
            WorkspaceCredentialsChanged(
                workspace_id=WORKSPACE,
                ciphertext=base64.b64encode(sealed).decode(),
                revision=1,
                changed_at=NOW,
            )
        )
        return credentials

    return SimpleNamespace(take=take, clock=clock)


def certificate(authority, **changes):
    issued = authority.issue_pass_certificate(PASS_TYPE, TEAM, **changes)
    return {
        "pass_type_identifier": PASS_TYPE,
        "team_identifier": TEAM,
        "kind": "certificate",
        "certificate_pem": issued.certificate_pem.decode(),
        "private_key_pem": issued.private_key_pem.decode(),
        "chain_pem": authority.wwdr_pem.decode(),
    }


def token(team=TEAM):
    return {
        "pass_type_identifier": PASS_TYPE,
        "team_identifier": team,
        "kind": "token",
        "key_id": "KEY0000001",
        "private_key_pem": new_provider_key()[0].decode(),
    }


def test_a_certificate_rings_before_a_token_in_whatever_order_they_come(authority, held):
    both = certificate(authority, key="ec"), token()
    for entries in (both, both[::-1]):
        assert held.take(*entries).apple(WORKSPACE, PASS_TYPE).kind == "certificate"


def test_a_token_takes_over_when_the_certificate_ends(authority, held):
    ends = NOW + timedelta(days=2)
    credentials = held.take(certificate(authority, key="ec", not_after=ends), token())
    assert credentials.apple(WORKSPACE, PASS_TYPE).kind == "certificate"
    held.clock.advance(timedelta(days=3))
    assert credentials.apple(WORKSPACE, PASS_TYPE).kind == "token"


def test_an_ended_certificate_without_a_token_is_shown_to_apple_and_refused_there(authority, held):
    ended = certificate(authority, key="ec", not_after=NOW - timedelta(days=1))
    assert held.take(ended).apple(WORKSPACE, PASS_TYPE).kind == "certificate"


def test_a_token_of_another_team_than_the_pass_types_is_never_used(authority, held):
    ended = certificate(authority, key="ec", not_after=NOW - timedelta(days=1))
    credentials = held.take(ended, token("OTHERTEAM1"))
    assert credentials.apple(WORKSPACE, PASS_TYPE).kind == "certificate"


def test_a_token_alone_serves_its_pass_type_and_no_other(held):
    credentials = held.take(token())
    assert credentials.apple(WORKSPACE, PASS_TYPE).kind == "token"
    assert credentials.apple(WORKSPACE, "pass.com.example.other") is None
    assert credentials.apple(UUID(int=8), PASS_TYPE) is None


def test_a_workspace_has_an_account_of_google_unless_its_credentials_say_that_it_has_none(held):
    """proves: J2"""
    assert not held.take().has_google(WORKSPACE)
    assert not held.take().has_google(UUID(int=8))


def test_a_workspace_with_an_account_of_one_issuer_has_one_of_google(held):
    account = {"issuer_id": "3388", "service_account": {"client_email": "a@example.com"}}
    credentials = held.take(google=[account])
    assert credentials.has_google(WORKSPACE)
    assert credentials.google(WORKSPACE, "4499") is None
    assert not credentials.has_google(UUID(int=8))


def test_credentials_that_do_not_open_are_not_taken_for_none(held):
    stranger = KeyRing.from_json(KeyRing.generate("stranger"))
    assert held.take(sealed_with=stranger).has_google(WORKSPACE)
