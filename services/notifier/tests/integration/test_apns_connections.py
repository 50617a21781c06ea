"""What a connection that never gets an answer is taken for. proves: A23"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from passferry_notifier.adapters.apns_provider_tokens import ProviderTokens
from passferry_notifier.adapters.wreq_apns import WreqApns
from passferry_notifier.domain.credentials import AppleCredential
from passferry_notifier.domain.deliveries import Action
from passferry_runtime.clock import SystemClock
from passferry_testing.apns_simulator import ApnsFault, ApnsSimulator
from passferry_testing.pki import DemoAuthority, new_provider_key

PASS_TYPE, TEAM = "pass.com.example.cafe", "CAFE123456"
TOKEN = "ab" * 32
#: How the refusal is seen (a reset, a broken pipe, a closed connection) is a matter of luck.
ATTEMPTS = 25


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return DemoAuthority.create(tmp_path_factory.mktemp("pki"))


def certificate(authority, *, days=1):
    issued = authority.issue_pass_certificate(
        PASS_TYPE, TEAM, key="ec", not_after=datetime.now(UTC) + timedelta(days=days)
    )
    key = load_pem_private_key(issued.private_key_pem, password=None)
    return credential(
        "certificate",
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        certificate_chain_pem=issued.certificate_pem + authority.wwdr_pem,
    )


def credential(kind, private_key_pem, **changes):
    return AppleCredential(
        workspace_id=uuid4(),
        key=str(uuid4()),
        pass_type_identifier=PASS_TYPE,
        team_identifier=TEAM,
        kind=kind,
        private_key_pem=private_key_pem,
        **changes,
    )


def gateway(authority, apns):
    return WreqApns(
        f"https://127.0.0.1:{apns.port}", authority.root_pem, ProviderTokens(None), SystemClock()
    )


async def test_a_refused_certificate_is_known_however_the_refusal_is_seen(authority):
    async with ApnsSimulator(authority) as apns:
        ring = gateway(authority, apns).ring
        expired = [certificate(authority, days=-1) for _ in range(ATTEMPTS)]
        verdicts = await asyncio.gather(*(ring(each, TOKEN, uuid4()) for each in expired))
    assert {each.action for each in verdicts} == {Action.CREDENTIAL_FAULT}
    assert {each.reason for each in verdicts} == {"certificate_refused"}


async def test_a_connection_lost_after_an_answer_is_not_blamed_on_the_certificate(authority):
    async with ApnsSimulator(authority) as apns:
        ring, valid = gateway(authority, apns).ring, certificate(authority)
        assert (await ring(valid, TOKEN, uuid4())).action is Action.DELIVERED
        apns.faults.add(ApnsFault(action="cut"))
        lost = await ring(valid, TOKEN, uuid4())
    assert (lost.action, lost.reason) == (Action.RETRY, "unknown")


async def test_a_provider_token_is_not_blamed_for_a_lost_connection(authority):
    """No certificate was shown."""
    private, public = new_provider_key()
    async with ApnsSimulator(authority) as apns:
        apns.register_provider_key(TEAM, "KEY0000001", public, [PASS_TYPE])
        apns.faults.add(ApnsFault(action="cut"))
        held = credential("token", private, key_id="KEY0000001")
        lost = await gateway(authority, apns).ring(held, TOKEN, uuid4())
    assert (lost.action, lost.reason) == (Action.RETRY, "unknown")
