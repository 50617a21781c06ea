"""The secret between a pass and its web service. proves: A20 (the comparison)"""

from __future__ import annotations

import re

import pytest

from passferry_wallet.apple.authentication import (
    new_authentication_token,
    new_serial_number,
    parse_apple_pass_header,
    token_matches,
    token_sha256,
)

TOKEN = "abcdefghijklmnop"


def test_a_device_header_gives_its_token():
    assert parse_apple_pass_header(f"ApplePass {TOKEN}") == TOKEN


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "ApplePass",
        "ApplePass ",
        TOKEN,
        f"applepass {TOKEN}",
        f"Bearer {TOKEN}",
        f"ApplePass  {TOKEN}",
        f" ApplePass {TOKEN}",
        f"ApplePass {TOKEN} ",
        f"ApplePass {TOKEN}\n",
        f"ApplePass {TOKEN},x y",
        f"ApplePass {TOKEN[:15]}",
        f"ApplePass {TOKEN * 20}",
        "ApplePass abcdefghijklmnöp",
    ],
)
def test_any_other_header_gives_none(header):
    assert parse_apple_pass_header(header) is None


def test_only_the_right_token_matches():
    stored = token_sha256(TOKEN)
    assert token_matches(TOKEN, stored)
    for wrong in ("", TOKEN + "x", TOKEN.upper(), "\ud800", "ä"):
        assert not token_matches(wrong, stored)


def test_a_broken_record_matches_nothing():
    for stored in (b"", token_sha256(TOKEN)[:31], bytes(32)):
        assert not token_matches(TOKEN, stored)


@pytest.mark.parametrize(
    ("make", "least"), [(new_authentication_token, 43), (new_serial_number, 24)]
)
def test_secrets_are_url_safe_long_and_never_repeat(make, least):
    made = {make() for _ in range(500)}
    assert len(made) == 500
    assert all(len(one) >= least and re.fullmatch(r"[A-Za-z0-9_-]+", one) for one in made)
