"""What the render benchmark draws: a café's card, its images, and identities to sign with."""

from __future__ import annotations

import random
import struct
import tempfile
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric import rsa

from passferry_contracts.types import PassStatus, Protocol
from passferry_pass_issuer.domain.rendering_subject import (
    HolderFacts,
    ProgramFacts,
    RenderSubject,
    TemplateFacts,
)
from passferry_pass_issuer.domain.template_parsing import parse_template_content
from passferry_testing.pki import DemoAuthority
from passferry_wallet.apple.bundle import sha1_hex
from passferry_wallet.apple.certificates import SigningIdentity, from_pem

PASS_TYPE, TEAM = "pass.com.example.cafe", "CAFE123456"
#: Bytes of all images together.
SMALL_BYTES, LARGE_BYTES = 40_000, 430_000
IMAGES = ("icon.png", "icon@2x.png", "logo.png", "logo@2x.png")

APPLE = {
    "style": "storeCard",
    "organization_name": "Café Ferry",
    "description": "Café card",
    "logo_text": "Café Ferry",
    "background_color": "rgb(20, 60, 90)",
    "foreground_color": "#ffffff",
    "label_color": "#ffe0b0",
    "fields": {
        "header": [
            {
                "key": "points",
                "label": "POINTS",
                "change_message": "You have %@ points",
                "value": {"source": "balance", "format": "integer"},
            }
        ],
        "secondary": [
            {
                "key": "name",
                "label": "NAME",
                "value": {"source": "holder.full_name", "default": "Guest"},
            },
            {"key": "drink", "label": "DRINK", "value": {"source": "field.drink"}},
        ],
        "back": [
            {"key": "code", "label": "Number", "value": {"source": "pass.code"}},
            {"key": "terms", "label": "Terms", "value": "Points end with the year after next."},
        ],
    },
    "barcode": {
        "format": "qr",
        "message": {"source": "pass.code"},
        "alternate_text": {"source": "pass.code"},
    },
    "locations": [{"latitude": "53.5511", "longitude": "9.9937", "relevant_text": "Come in"}],
    "sharing_prohibited": True,
}
GOOGLE = {
    "issuer_name": "Café Ferry",
    "title": "Café card",
    "logo_url": "https://passes.example/logo.png",
    "balance_label": "Points",
    "balance_format": "integer",
    "account_name": {"source": "holder.full_name"},
    "barcode": {"format": "qr"},
}


#: A ticket says most of what it says twice: for people, and for systems that act upon it.
TICKET = {
    "style": "eventTicket",
    "organization_name": "Ferry United",
    "description": "Ticket",
    "fields": {
        "primary": [{"key": "event", "label": "MATCH", "value": {"source": "field.event"}}],
        "secondary": [
            {
                "key": "starts",
                "label": "STARTS",
                "value": {"source": "field.starts", "format": "date"},
            }
        ],
        "auxiliary": [{"key": "seat", "label": "SEAT", "value": {"source": "field.seat"}}],
    },
    "barcode": {"format": "qr", "message": {"source": "pass.code"}},
    "relevant_dates": [{"date": {"source": "field.starts"}}],
    "grouping_identifier": {"source": "field.event"},
    "semantics": {
        "eventType": "PKEventTypeSports",
        "venueName": "Harbour Ground",
        "eventName": {"source": "field.event"},
        "eventStartDate": {"source": "field.starts", "format": "date"},
        "seats": [
            {"seatRow": {"source": "field.row"}, "seatNumber": {"source": "field.seat"}},
        ],
        "totalPrice": {"amount": {"source": "field.price"}, "currencyCode": "EUR"},
    },
    "links": {
        "bag_policy_url": "https://example.com/bags",
        "sell_url": {"source": "field.sell_url"},
    },
    "document": {
        "locations": [
            {"latitude": {"source": "field.north"}, "longitude": {"source": "field.east"}},
        ],
    },
}
TICKET_VALUES = {
    "event": "Ferry against Tug",
    "starts": "2030-01-31T19:00:00+01:00",
    "row": "7",
    "seat": "12",
    "price": "12.34",
    "sell_url": "https://example.com/sell/1",
    "north": 53,
    "east": 9,
}
CARD_VALUES = {"drink": "Flat white"}


#: These come from the database as they are.
HOLDER, CREATED_AT = UUID(int=5), datetime(2026, 1, 1, tzinfo=UTC)
PROGRAM = ProgramFacts(program_id=UUID(int=3), name="Café card", protocol=Protocol.MEMBERSHIP)


def images(total_bytes: int) -> dict[str, bytes]:
    """Images as large as noise makes them: what is compressed already cannot be squeezed."""
    each = total_bytes // len(IMAGES)
    return {name: _png(each, seed) for seed, name in enumerate(IMAGES)}


def _png(size: int, seed: int) -> bytes:
    rows = 64
    width = max((size - 400) // rows, 8)
    noise = random.Random(seed)
    pixels = b"".join(b"\0" + noise.randbytes(width) for _ in range(rows))
    header = struct.pack(">IIBBBBB", width, rows, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(pixels)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def identity() -> tuple[SigningIdentity, rsa.RSAPrivateKey, dict[str, str]]:
    """An identity below an authority of its own, its key, and all of it as PEM."""
    with tempfile.TemporaryDirectory() as directory:
        authority = DemoAuthority.create(Path(directory) / "authority")
        issued = authority.issue_pass_certificate(PASS_TYPE, TEAM)
        found = from_pem(issued.certificate_pem, issued.private_key_pem, authority.wwdr_pem)
        if not isinstance(found.private_key, rsa.RSAPrivateKey):
            raise TypeError("the authority issued no RSA key")
        pems = {
            "signerCert": issued.certificate_pem.decode(),
            "signerKey": issued.private_key_pem.decode(),
            "wwdr": authority.wwdr_pem.decode(),
        }
        return found, found.private_key, pems


def template(files: dict[str, bytes], *, with_google: bool) -> TemplateFacts:
    return _facts(files, {"apple": APPLE} | ({"google": GOOGLE} if with_google else {}))


def ticket_template(files: dict[str, bytes]) -> TemplateFacts:
    return _facts(files, {"apple": TICKET})


def _facts(files: dict[str, bytes], content: dict[str, Any]) -> TemplateFacts:
    return TemplateFacts(
        workspace_id=UUID(int=1),
        template_id=UUID(int=4),
        template_version=1,
        pass_type_identifier=PASS_TYPE,
        team_identifier=TEAM,
        google_issuer_id="3388000000012345678" if "google" in content else None,
        content=parse_template_content(content),
        asset_sha1={name: sha1_hex(body) for name, body in files.items()},
    )


def subject(
    facts: TemplateFacts, number: int, values: Mapping[str, Any] = CARD_VALUES
) -> RenderSubject:
    """One pass after the other; no two are alike."""
    return RenderSubject(
        workspace_id=facts.workspace_id,
        pass_id=UUID(int=(7 << 76) + (2 << 62) + number),
        external_id=f"member-{number}",
        serial_number=f"{number:032x}",
        authentication_token=f"token-of-the-pass-number-{number:016x}",
        code=f"CAFE{number:08d}",
        status=PassStatus.ACTIVE,
        status_reason=None,
        balance_minor=number,
        unit="points",
        unit_scale=0,
        field_values=values,
        expires_at=None,
        created_at=CREATED_AT,
        program=PROGRAM,
        template=facts,
        holder=HolderFacts(holder_id=HOLDER, full_name=f"Zoë O'Hara {number}"),
        web_service_url="https://passes.example/w/00000000-0000-0000-0000-000000000001",
    )
