"""Secrets: made once, private, and given only to those who need them."""

from __future__ import annotations

import stat

from passferry_bootstrap.secret_files import make_secrets, service_url
from passferry_contracts.registry import SERVICES
from passferry_runtime.crypto import KeyRing

ADMIN = "postgresql://postgres@127.0.0.1:5432/postgres"


def test_a_second_run_makes_nothing_new_and_changes_no_key(tmp_path):
    first = make_secrets(tmp_path, ADMIN)
    before = {path: path.read_bytes() for path in first}
    assert make_secrets(tmp_path, ADMIN) == []
    assert {path: path.read_bytes() for path in first} == before


def test_every_file_is_readable_by_its_owner_only(tmp_path):
    """proves: A14"""
    make_secrets(tmp_path, ADMIN)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) >= 2 * len(SERVICES)
    for path in files:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    for service in SERVICES:
        assert stat.S_IMODE((tmp_path / service).stat().st_mode) == 0o700


def test_the_public_pod_holds_the_push_token_ring_and_no_other(tmp_path):
    make_secrets(tmp_path, ADMIN)
    rings = {path.name for path in (tmp_path / "wallet-webservice").glob("*ring.json")}
    assert rings == {"push_token_key_ring.json"}
    assert not list((tmp_path / "ledger").glob("*ring.json"))


def test_rings_are_shared_by_exactly_two_services_and_open_each_others_secrets(tmp_path):
    make_secrets(tmp_path, ADMIN)
    for name, pair in (
        ("credentials_key_ring.json", ("pass-issuer", "notifier")),
        ("push_token_key_ring.json", ("wallet-webservice", "notifier")),
    ):
        one, other = (KeyRing.from_file(tmp_path / service / name) for service in pair)
        assert other.decrypt(one.encrypt(b"secret", context="c"), context="c") == b"secret"
    own = [(tmp_path / s / "key_ring.json").read_text() for s in ("pass-issuer", "event-bridge")]
    assert own[0] != own[1]


def test_a_services_address_names_its_own_role_and_never_the_administrator():
    url = service_url("postgresql://admin:top@db:5432/passferry", "pass-issuer", "p/w d")
    assert url == "postgresql://passferry_pass_issuer:p%2Fw%20d@db:5432/passferry"
