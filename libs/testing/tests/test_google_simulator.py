"""The Google Wallet simulator is as strict as the published contract, and signs its callbacks."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import stat
import struct
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key
from google.auth import jwt
from google.auth.crypt import RSASigner
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from passferry_testing.google_simulator import GoogleFault, GoogleSimulator
from passferry_testing.google_simulator.discovery import PINNED_REVISION, load_discovery
from passferry_testing.loopback_http import serve_http

ISSUER = "3388000000012345678"
CLASS_ID = f"{ISSUER}.cafe-loyalty"
OBJECT_ID = f"{ISSUER}.cafe-0001"
SCOPE = "https://www.googleapis.com/auth/wallet_object.issuer"


def loyalty_class(**changes: Any) -> dict[str, Any]:
    return {
        "id": CLASS_ID,
        "issuerName": "Fährhaus Kaffee",
        "programName": "Fährkarte",
        "programLogo": {"sourceUri": {"uri": "https://example.org/logo.png"}},
        "reviewStatus": "UNDER_REVIEW",
    } | changes


def loyalty_object(**changes: Any) -> dict[str, Any]:
    return {
        "id": OBJECT_ID,
        "classId": CLASS_ID,
        "state": "ACTIVE",
        "accountName": "Zoë O’Neill",
        "loyaltyPoints": {"label": "Points", "balance": {"int": 120}},
        "barcode": {"type": "QR_CODE", "value": "m-0001"},
    } | changes


class Issuer:
    """A client that knows nothing of the simulator but its addresses and its key file."""

    def __init__(self, google: GoogleSimulator, account: dict[str, str]) -> None:
        self._google = google
        self.account = account
        self.signer = RSASigner.from_service_account_info(account)
        self.http = httpx.AsyncClient(verify=False, trust_env=False, base_url=google.base_url)

    def assertion(self, **changes: Any) -> str:
        now = int(self._google.now())
        claims = {
            "iss": self.account["client_email"],
            "scope": SCOPE,
            "aud": self.account["token_uri"],
            "iat": now,
            "exp": now + 3600,
        }
        return jwt.encode(self.signer, claims | changes).decode()

    async def grant(self, assertion: str) -> httpx.Response:
        grant_type = "urn:ietf:params:oauth:grant-type:jwt-bearer"
        form = {"grant_type": grant_type, "assertion": assertion}
        return await self.http.post(self.account["token_uri"], data=form)

    async def log_in(self) -> None:
        token = (await self.grant(self.assertion())).json()["access_token"]
        self.http.headers["authorization"] = f"Bearer {token}"

    async def call(self, method: str, path: str, body: Any = None, **query: Any) -> httpx.Response:
        url = f"/walletobjects/v1/{path}"
        return await self.http.request(method, url, json=body, params=query)

    def save_token(self, payload: dict[str, Any], **changes: Any) -> str:
        claims = {
            "iss": self.account["client_email"],
            "aud": "google",
            "typ": "savetowallet",
            "iat": int(time.time()),
            "origins": ["example.org"],
            "payload": payload,
        }
        return jwt.encode(self.signer, claims | changes).decode()


@pytest.fixture
async def google() -> AsyncIterator[GoogleSimulator]:
    async with GoogleSimulator(requests_per_second=None) as simulator:
        yield simulator


@pytest.fixture
async def issuer(google: GoogleSimulator) -> AsyncIterator[Issuer]:
    client = Issuer(google, google.create_service_account(issuer_id=ISSUER))
    async with client.http:
        await client.log_in()
        yield client


async def insert_both(issuer: Issuer) -> None:
    assert (await issuer.call("POST", "loyaltyClass", loyalty_class())).status_code == 200
    assert (await issuer.call("POST", "loyaltyObject", loyalty_object())).status_code == 200


def test_the_contract_is_the_pinned_revision() -> None:
    assert load_discovery().revision == PINNED_REVISION


async def test_an_object_is_inserted_patched_and_shown_as_a_phone_shows_it(
    google: GoogleSimulator, issuer: Issuer
) -> None:
    await insert_both(issuer)

    patched = await issuer.call(
        "PATCH", f"loyaltyObject/{OBJECT_ID}", {"loyaltyPoints": {"balance": {"int": 135}}}
    )

    assert patched.status_code == 200
    assert patched.json()["loyaltyPoints"] == {"label": "Points", "balance": {"int": 135}}
    assert patched.json()["hasUsers"] is False
    assert patched.json()["classReference"]["reviewStatus"] == "APPROVED"
    phone = google.phone(OBJECT_ID)
    assert phone is not None
    assert (phone["balance"], phone["state"], phone["is_installed"]) == (135, "ACTIVE", False)
    assert google.log.summary()["schema_violations"] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"updateTrigger": 1}, 'Unknown name "updateTrigger"'),
        ({"loyaltyPoints": {"balance": {"int": "5"}}}, "loyaltyPoints.balance.int"),
        ({"loyaltyPoints": {"balance": {"int": 2**31}}}, "out of range"),
        ({"state": "REDEEMED"}, "not one of the allowed values"),
        ({"barcode": {"type": "QR_CODE", "data": "x"}}, 'Unknown name "data" at'),
        ({"messages": {}}, "expected a list"),
        ({"state": None}, "required"),
    ],
)
async def test_a_body_that_differs_from_the_schema_is_refused_and_counted(
    google: GoogleSimulator, issuer: Issuer, change: dict[str, Any], message: str
) -> None:
    await issuer.call("POST", "loyaltyClass", loyalty_class())

    answer = await issuer.call("POST", "loyaltyObject", loyalty_object() | change)

    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"]
    assert answer.json()["error"]["status"] == "INVALID_ARGUMENT"
    assert google.log.violation_count == 1


@pytest.mark.parametrize("balance", [{}, {"int": 1, "string": "1"}])
async def test_a_balance_has_exactly_one_form(issuer: Issuer, balance: dict[str, Any]) -> None:
    await issuer.call("POST", "loyaltyClass", loyalty_class())
    body = loyalty_object(loyaltyPoints={"balance": balance})
    assert (await issuer.call("POST", "loyaltyObject", body)).status_code == 400


async def test_money_micros_travel_as_text(issuer: Issuer, google: GoogleSimulator) -> None:
    gift_class = {"id": f"{ISSUER}.g", "issuerName": "Shop", "reviewStatus": "UNDER_REVIEW"}
    gift = {
        "id": f"{ISSUER}.g1",
        "classId": f"{ISSUER}.g",
        "state": "ACTIVE",
        "cardNumber": "123",
        "balance": {"micros": "12340000", "currencyCode": "EUR"},
    }
    assert (await issuer.call("POST", "giftCardClass", gift_class)).status_code == 200
    assert (await issuer.call("POST", "giftCardObject", gift)).status_code == 200
    phone = google.phone(f"{ISSUER}.g1")
    assert phone is not None
    assert phone["balance_text"] == "12.34 EUR"


async def test_missing_existing_and_classless_resources_have_their_own_answers(
    issuer: Issuer,
) -> None:
    missing = await issuer.call("PATCH", f"loyaltyObject/{OBJECT_ID}", {"state": "EXPIRED"})
    classless = await issuer.call("POST", "loyaltyObject", loyalty_object())
    await insert_both(issuer)
    twice = await issuer.call("POST", "loyaltyObject", loyalty_object())

    assert (missing.status_code, classless.status_code, twice.status_code) == (404, 404, 409)
    assert missing.json()["error"]["message"] == f"Wallet Object {OBJECT_ID} not found"
    assert classless.json()["error"]["message"] == f"Wallet Object Class {CLASS_ID} not found"
    assert twice.json()["error"]["errors"][0]["reason"] == "existingResource"


async def test_patch_merges_objects_and_replaces_arrays_whole(issuer: Issuer) -> None:
    await insert_both(issuer)
    path = f"loyaltyObject/{OBJECT_ID}"
    one = {"id": "a", "header": "A", "body": "a"}
    await issuer.call("PATCH", path, {"textModulesData": [one, one | {"id": "b"}]})

    answer = await issuer.call("PATCH", path, {"textModulesData": [one], "accountName": None})

    assert answer.json()["textModulesData"] == [one]
    assert "accountName" not in answer.json()
    assert answer.json()["barcode"]["value"] == "m-0001"


async def test_a_null_is_a_member_that_is_not_there(issuer: Issuer) -> None:
    await issuer.call("POST", "loyaltyClass", loyalty_class())
    body = loyalty_object(barcode=None, groupingInfo={"groupingId": "g", "sortIndex": None})
    inserted = (await issuer.call("POST", "loyaltyObject", body)).json()
    assert "barcode" not in inserted
    assert inserted["groupingInfo"] == {"groupingId": "g"}
    path = f"loyaltyObject/{OBJECT_ID}"
    change = {"groupingInfo": {"groupingId": None}, "passConstraints": {"nfcConstraint": None}}
    patched = (await issuer.call("PATCH", path, change)).json()
    assert (patched["groupingInfo"], patched["passConstraints"]) == ({}, {})
    assert (await issuer.call("PATCH", path, {"unheardOf": None})).status_code == 400


async def test_put_wipes_what_it_omits(issuer: Issuer) -> None:
    await insert_both(issuer)
    body = {"id": OBJECT_ID, "classId": CLASS_ID, "state": "INACTIVE"}
    answer = await issuer.call("PUT", f"loyaltyObject/{OBJECT_ID}", body)
    assert "loyaltyPoints" not in answer.json()


async def test_a_draft_class_holds_no_objects_and_an_approved_one_asks_for_review(
    issuer: Issuer,
) -> None:
    await issuer.call("POST", "loyaltyClass", loyalty_class(reviewStatus="DRAFT"))
    refused = await issuer.call("POST", "loyaltyObject", loyalty_object())
    path = f"loyaltyClass/{CLASS_ID}"
    submitted = await issuer.call("PATCH", path, {"reviewStatus": "UNDER_REVIEW"})
    silent = await issuer.call("PATCH", path, {"programName": "Other"})
    back = await issuer.call("PATCH", path, {"reviewStatus": "DRAFT"})

    assert refused.status_code == 400
    assert submitted.json()["reviewStatus"] == "APPROVED"
    assert (silent.status_code, back.status_code) == (400, 400)


async def test_messages_are_wrapped_and_end_at_ten(issuer: Issuer) -> None:
    await insert_both(issuer)
    path = f"loyaltyObject/{OBJECT_ID}/addMessage"
    answers = [
        await issuer.call("POST", path, {"message": {"id": str(n), "header": "H", "body": "B"}})
        for n in range(11)
    ]
    assert answers[9].json()["resource"]["messages"][9]["id"] == "9"
    assert answers[10].status_code == 400


@pytest.mark.parametrize("status", [403, 429])
async def test_the_fourth_notifying_change_in_a_day_is_over_quota(
    google: GoogleSimulator, issuer: Issuer, status: int
) -> None:
    google.rules.quota_status = status
    await insert_both(issuer)
    path = f"loyaltyObject/{OBJECT_ID}"
    loud = {"message": {"header": "H", "body": "B", "messageType": "TEXT_AND_NOTIFY"}}
    for n in range(2):
        change = {"loyaltyPoints": {"balance": {"int": n}}, "notifyPreference": "NOTIFY_ON_UPDATE"}
        patched = await issuer.call("PATCH", path, change)
        assert "notifyPreference" not in patched.json()
    assert (await issuer.call("POST", f"{path}/addMessage", loud)).status_code == 200

    over = await issuer.call("POST", f"{path}/addMessage", loud)
    quiet = await issuer.call("PATCH", path, {"loyaltyPoints": {"balance": {"int": 9}}})
    google.advance_clock(24 * 3600 + 1)
    await issuer.log_in()
    next_day = await issuer.call("POST", f"{path}/addMessage", loud)

    assert over.status_code == status
    assert "QuotaExceededException" in over.text
    assert (quiet.status_code, next_day.status_code) == (200, 200)


async def test_more_than_twenty_requests_in_a_second_are_limited() -> None:
    async with GoogleSimulator() as strict:
        issuer = Issuer(strict, strict.create_service_account(issuer_id=ISSUER))
        async with issuer.http:
            await issuer.log_in()
            calls = (issuer.call("GET", f"issuer/{ISSUER}") for _ in range(60))
            answers = await asyncio.gather(*calls)
    codes = [answer.status_code for answer in answers]
    assert codes.count(200) >= 20
    assert codes.count(429) >= 1


async def test_answers_can_use_the_legacy_spelling(google: GoogleSimulator, issuer: Issuer) -> None:
    google.api.legacy_enums = True
    await insert_both(issuer)
    message = {"header": "H", "body": "B", "messageType": "TEXT_AND_NOTIFY"}
    path = f"loyaltyObject/{OBJECT_ID}"
    answer = await issuer.call("POST", f"{path}/addMessage", {"message": message})
    resource = answer.json()["resource"]
    assert resource["state"] == "active"
    assert resource["messages"][0]["messageType"] == "textAndNotify"
    assert resource["classReference"]["reviewStatus"] == "approved"


async def test_lists_are_paged(issuer: Issuer) -> None:
    await issuer.call("POST", "loyaltyClass", loyalty_class())
    for n in range(5):
        await issuer.call("POST", "loyaltyObject", loyalty_object(id=f"{ISSUER}.o{n}"))

    seen, token = [], None
    for _ in range(3):
        query = {"classId": CLASS_ID, "maxResults": 2} | ({"token": token} if token else {})
        page = (await issuer.call("GET", "loyaltyObject", **query)).json()
        seen += [one["id"] for one in page["resources"]]
        token = page["pagination"].get("nextPageToken")

    assert seen == [f"{ISSUER}.o{n}" for n in range(5)]
    assert token is None


async def test_an_account_reaches_only_its_own_issuer(
    google: GoogleSimulator, issuer: Issuer
) -> None:
    stranger = Issuer(google, google.create_service_account(issuer_id="3388000000099999999"))
    await insert_both(issuer)
    async with stranger.http:
        anonymous = await stranger.call("GET", f"loyaltyObject/{OBJECT_ID}")
        await stranger.log_in()
        foreign = await stranger.call("GET", f"loyaltyObject/{OBJECT_ID}")
        google.advance_clock(3601)
        expired = await stranger.call("GET", f"loyaltyObject/{OBJECT_ID}")
    assert [anonymous.status_code, foreign.status_code, expired.status_code] == [401, 403, 401]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"aud": "https://example.org/token"}, "invalid_grant"),
        ({"scope": "openid"}, "invalid_scope"),
        ({"iss": "someone@example.org"}, "invalid_grant"),
        ({"iat": 1_000, "exp": 4_600}, "invalid_grant"),
        ({"exp": int(time.time()) + 86_400}, "invalid_grant"),
    ],
)
async def test_an_assertion_with_a_wrong_claim_gets_no_token(
    issuer: Issuer, change: dict[str, Any], error: str
) -> None:
    answer = await issuer.grant(issuer.assertion(**change))
    assert (answer.status_code, answer.json()["error"]) == (400, error)


async def test_an_assertion_signed_by_a_stranger_gets_no_token(
    google: GoogleSimulator, issuer: Issuer
) -> None:
    other = Issuer(google, google.create_service_account(issuer_id=ISSUER))
    forged = other.assertion(iss=issuer.account["client_email"])
    assert (await issuer.grant(forged)).json()["error"] == "invalid_grant"
    await other.http.aclose()


async def test_a_field_that_only_the_platform_sets_is_ignored_but_counted(
    google: GoogleSimulator, issuer: Issuer
) -> None:
    await insert_both(issuer)
    answer = await issuer.call("PATCH", f"loyaltyObject/{OBJECT_ID}", {"hasUsers": True})
    assert answer.json()["hasUsers"] is False
    assert google.log.violation_count == 1


async def test_faults_hit_chosen_calls_and_may_strike_after_the_change(
    google: GoogleSimulator, issuer: Issuer
) -> None:
    google.faults.add(
        [
            GoogleFault(scope="loyaltyobject.insert", status=503, count=1, when="after"),
            GoogleFault(scope="loyaltyobject.get", status=500, count=1),
        ]
    )
    await issuer.call("POST", "loyaltyClass", loyalty_class())
    lost = await issuer.call("POST", "loyaltyObject", loyalty_object())
    again = await issuer.call("POST", "loyaltyObject", loyalty_object())
    failed = await issuer.call("GET", f"loyaltyObject/{OBJECT_ID}")
    assert [lost.status_code, again.status_code, failed.status_code] == [503, 409, 500]


class Receiver:
    """A callback address that verifies with code of its own."""

    def __init__(self, robots: str | None = None, statuses: list[int] | None = None) -> None:
        self.bodies: list[dict[str, Any]] = []
        self._robots = robots
        self._statuses = statuses or []
        self.app = Starlette(
            routes=[
                Route("/robots.txt", self._serve_robots),
                Route("/google/{workspace}", self._receive, methods=["POST"]),
            ]
        )

    async def _serve_robots(self, request: Request) -> Response:
        if self._robots is None:
            return Response(status_code=404)
        return PlainTextResponse(self._robots)

    async def _receive(self, request: Request) -> Response:
        self.bodies.append(await request.json())
        return Response(status_code=self._statuses.pop(0) if self._statuses else 200)


def length_value(text: str) -> bytes:
    return struct.pack("<I", len(text.encode())) + text.encode()


def verify(key_value: str, signature: str, *parts: str) -> None:
    key = load_der_public_key(base64.b64decode(key_value))
    assert isinstance(key, ec.EllipticCurvePublicKey)
    signed = b"".join(map(length_value, parts))
    key.verify(base64.b64decode(signature), signed, ec.ECDSA(hashes.SHA256()))


async def test_saving_and_deleting_set_has_users_and_send_signed_callbacks(
    google: GoogleSimulator, issuer: Issuer
) -> None:
    receiver = Receiver()
    async with serve_http(receiver.app) as port:
        options = {"url": f"http://127.0.0.1:{port}/google/w1"}
        await issuer.call("POST", "loyaltyClass", loyalty_class(callbackOptions=options))
        token = issuer.save_token({"loyaltyObjects": [loyalty_object()]})

        page = await issuer.http.get(f"/gp/v/save/{token}")
        again = await issuer.http.get(f"/gp/v/save/{token}")
        await google.sender.settle()
        shown = (await issuer.call("GET", f"loyaltyObject/{OBJECT_ID}")).json()
        google.delete(OBJECT_ID)
        await google.sender.settle()

    assert (page.status_code, again.status_code) == (200, 200)
    assert shown["hasUsers"] is True
    phone = google.phone(OBJECT_ID)
    assert phone is not None
    assert phone["is_installed"] is False
    keys = await issuer.http.get("/gp/m/issuer/keys")
    assert "max-age" in keys.headers["cache-control"]
    good = [
        key
        for key in keys.json()["keys"]
        if key["protocolVersion"] == "ECv2SigningOnly"
        and int(key["keyExpiration"]) > time.time() * 1000
    ]
    events = []
    for body in receiver.bodies:
        assert len(body) == 4
        intermediate = body["intermediateSigningKey"]
        signed_key = intermediate["signedKey"]
        assert "\\u003d" in signed_key
        verify(
            good[0]["keyValue"],
            intermediate["signatures"][0],
            "GooglePayPasses",
            "ECv2SigningOnly",
            signed_key,
        )
        verify(
            json.loads(signed_key)["keyValue"],
            body["signature"],
            "GooglePayPasses",
            ISSUER,
            "ECv2SigningOnly",
            body["signedMessage"],
        )
        message = json.loads(body["signedMessage"])
        events.append((message["eventType"], message["objectId"], message["classId"]))
    assert events == [("save", OBJECT_ID, CLASS_ID), ("del", OBJECT_ID, CLASS_ID)]


async def test_callbacks_are_repeated_lost_and_retried(
    google: GoogleSimulator, issuer: Issuer
) -> None:
    receiver = Receiver(statuses=[500])
    async with serve_http(receiver.app) as port:
        google.callback_switches.default_url = f"http://127.0.0.1:{port}/google/w1"
        await insert_both(issuer)
        google.callback_switches.copies = 2
        google.save(OBJECT_ID)
        await google.sender.settle()
        google.callback_switches.loss = 1.0
        google.delete(OBJECT_ID)
        await google.sender.settle()
    assert len(receiver.bodies) == 3
    assert len({json.loads(body["signedMessage"])["nonce"] for body in receiver.bodies}) == 1
    assert sorted(one.status for one in google.sender.sent) == [0, 0, 200, 200]


async def test_a_path_closed_to_googlebot_gets_no_callback(
    google: GoogleSimulator, issuer: Issuer
) -> None:
    receiver = Receiver(robots="User-agent: *\nDisallow: /google\n")
    async with serve_http(receiver.app) as port:
        google.callback_switches.default_url = f"http://127.0.0.1:{port}/google/w1"
        await insert_both(issuer)
        google.save(OBJECT_ID)
        await google.sender.settle()
    assert receiver.bodies == []
    assert "robots" in google.sender.sent[0].detail


@pytest.mark.parametrize(
    ("payload", "change", "reason"),
    [
        ({"loyaltyObjects": [loyalty_object()]}, {"aud": "wallet"}, "aud"),
        ({"loyaltyObjects": [loyalty_object()]}, {"typ": "JWT"}, "typ"),
        ({"loyaltyObjects": [loyalty_object()]}, {"iat": "now"}, "iat"),
        ({"loyaltyObjects": [loyalty_object()]}, {"origins": None}, "origins"),
        ({"loyaltyObject": [loyalty_object()]}, {}, "unknown payload key"),
        ({"loyaltyObjects": [{"id": OBJECT_ID}]}, {}, "not found"),
        ({"loyaltyObjects": [loyalty_object(id="1.x")]}, {}, "not a user of issuer"),
        ({"loyaltyClasses": [loyalty_class()]}, {}, "no object"),
        ({"loyaltyObjects": [loyalty_object(points=1)]}, {}, "Unknown name"),
    ],
)
async def test_the_save_page_refuses_a_link_that_google_would_refuse(
    issuer: Issuer, payload: dict[str, Any], change: dict[str, Any], reason: str
) -> None:
    await issuer.call("POST", "loyaltyClass", loyalty_class())
    token = issuer.save_token(payload, **change)
    page = await issuer.http.get(f"/gp/v/save/{token}", headers={"accept": "application/json"})
    assert page.status_code == 400
    assert reason in page.json()["detail"]


async def test_the_save_page_refuses_a_changed_link(issuer: Issuer) -> None:
    token = issuer.save_token({"loyaltyObjects": [loyalty_object()]})
    header, claims, signature = token.split(".")
    flipped = ("A" if signature[0] != "A" else "B") + signature[1:]
    page = await issuer.http.get(f"/gp/v/save/{header}.{claims}.{flipped}")
    assert page.status_code == 400
    assert "does not verify" in page.text


async def test_a_fat_link_brings_its_class_and_a_second_one_changes_nothing(
    google: GoogleSimulator, issuer: Issuer
) -> None:
    payload = {"loyaltyObjects": [loyalty_object()], "loyaltyClasses": [loyalty_class()]}
    assert google.open_save_link(issuer.save_token(payload)) == [OBJECT_ID]
    newer = loyalty_object(loyaltyPoints={"balance": {"int": 999}})
    google.open_save_link(issuer.save_token({"loyaltyObjects": [newer]}), user="second")
    skinny = {"loyaltyObjects": [{"id": OBJECT_ID, "classId": CLASS_ID}]}
    google.open_save_link(issuer.save_token(skinny), user="third")
    phone = google.phone(OBJECT_ID)
    assert phone is not None
    assert (phone["balance"], phone["users"]) == (120, 3)


async def test_links_are_made_and_validated_through_the_api(issuer: Issuer) -> None:
    await issuer.call("POST", "loyaltyClass", loyalty_class())
    token = issuer.save_token({"loyaltyObjects": [loyalty_object()]})

    valid = await issuer.call("POST", "jwt/validate", {"jwtResource": {"jwt": token}})
    both = {"jwtResource": {"jwt": token}, "jsonResource": {"json": "{}"}}
    unclear = await issuer.call("POST", "jwt/validate", both)
    untouched = await issuer.call("GET", f"loyaltyObject/{OBJECT_ID}")
    inserted = await issuer.call("POST", "jwt", {"jwt": token})

    assert (valid.status_code, valid.json()) == (200, {})
    assert (unclear.status_code, untouched.status_code) == (400, 404)
    assert inserted.json()["saveUri"].endswith(f"/gp/v/save/{token}")
    assert inserted.json()["resources"]["loyaltyObjects"][0]["id"] == OBJECT_ID


async def test_unknown_methods_and_parameters_are_violations(
    google: GoogleSimulator, issuer: Issuer
) -> None:
    gone = await issuer.call("DELETE", f"loyaltyObject/{OBJECT_ID}")
    odd = await issuer.call("GET", "loyaltyObject", issuer=ISSUER)
    assert (gone.status_code, odd.status_code) == (404, 400)
    assert google.log.violation_count == 2


def test_a_key_file_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    google = GoogleSimulator()
    google.create_service_account(tmp_path, ISSUER)
    mode = (tmp_path / f"service-account-{ISSUER}.json").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


def _read(path: str) -> str:
    return Path(path).read_text()


async def test_it_runs_as_its_own_process_and_is_steered_over_http(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "passferry_testing.google_simulator", "--port", "0", "--issuer",
        ISSUER, "--state-dir", str(tmp_path), "--requests-per-second", "0",
        stdout=asyncio.subprocess.PIPE, env=dict(os.environ),
    )  # fmt: skip
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            ready = json.loads(await process.stdout.readline())
        account = json.loads(_read(ready["service_accounts"][ISSUER]))
        simulator = GoogleSimulator()
        simulator.base_url = ready["base_url"]
        issuer = Issuer(simulator, account)
        async with issuer.http as http:
            await issuer.log_in()
            await insert_both(issuer)
            control = ready["control_url"]
            await http.post(f"{control}/save", json={"object_id": OBJECT_ID})
            phone = (await http.get(f"{control}/phone/{OBJECT_ID}")).json()
            fault = {"rules": [{"scope": "loyaltyobject.get", "status": 503, "count": 1}]}
            await http.post(f"{control}/faults", json=fault)
            failed = await issuer.call("GET", f"loyaltyObject/{OBJECT_ID}")
            summary = (await http.get(f"{control}/summary")).json()
            wrong = await http.post(f"{control}/faults", json={"rule": []})
            await http.post(f"{control}/reset")
            left = (await http.get(f"{control}/objects")).json()
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()
    assert phone["is_installed"] is True
    assert failed.status_code == 503
    assert summary["schema_violations"] == 0
    assert summary["by_call"]["loyaltyobject.get 503"] == 1
    assert (wrong.status_code, left) == (422, {"objects": []})
    assert process.returncode == 0
