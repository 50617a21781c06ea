"""Passes and templates of other tools become ours; on real Postgres."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from cryptography import x509

from passferry_contracts.events.passes import PassCreated
from passferry_contracts.events.rendered import PassRendered
from passferry_testing.pki import DemoAuthority
from passferry_testing.sample_pass import SamplePress, archive

pytestmark = pytest.mark.integration

FIXTURES = Path(__file__).parent.parent / "fixtures"
TOKEN = "token-of-the-old-service-0123456789"
TYPE, TEAM = "pass.com.example.cafe", "CAFE123456"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return DemoAuthority.create(tmp_path_factory.mktemp("pki"))


@pytest.fixture
async def office(harness, make, authority):
    known = [x509.load_pem_x509_certificate(authority.wwdr_pem)]
    async with make.open_office(harness, authority=authority, authorities=known) as opened:
        yield opened


class OldService:
    """Another tool that signs passes with the workspace's own certificate."""

    def __init__(self, authority, make, pass_type=TYPE):
        self.press = SamplePress(authority, pass_type_identifier=pass_type, team_identifier=TEAM)
        self.images = {}
        for name in make.images:
            side = 29 * int(name.partition("@")[2][:1] or 1)
            self.images[name] = make.png(side, side)

    def content(self, serial, points=42, till=4, **changes):
        return self.press.pass_json(
            serial,
            authenticationToken=TOKEN,
            webServiceURL="https://old.example/wallet",
            organizationName="Café Ferry",
            description="Card of the café",
            barcodes=[{"format": "PKBarcodeFormatQR", "message": f"C-{serial}"}],
            userInfo={"till": till},
            storeCard={
                "headerFields": [{"key": "points", "label": "POINTS", "value": points}],
                "secondaryFields": [{"key": "name", "label": "NAME", "value": f"Holder {serial}"}],
                "backFields": [{"key": "terms", "label": "Terms", "value": "Be kind."}],
            },
            **changes,
        )

    def pkpass(self, serial, spoil=None, **changes):
        return self.press.press(self.content(serial, **changes), files=self.images, spoil=spoil)

    def bundle(self, *passes):
        return archive([(f"{number}.pkpass", each) for number, each in enumerate(passes)])


@pytest.fixture
def old(authority, make):
    return OldService(authority, make)


@pytest.fixture
async def workspace_id(office, authority):
    made = await office.workspace()
    await office.give_identity(made, authority)
    return made


async def send(office, workspace_id, data, query="", status=200, **more):
    path = f"/workspaces/{workspace_id}/imports{query}"
    return await office.call("POST", path, status=status, content=data, **more)


async def into_program(office, workspace_id, data, query=""):
    """Import the layout, publish it, and import the passes into a program of it."""
    first = await send(office, workspace_id, data, query)
    template_id = first["templates"][0]["template_id"]
    await office.call("POST", f"/workspaces/{workspace_id}/templates/{template_id}/publish")
    program_id = await office.program(workspace_id, template_id=template_id, name="Moved")
    sign = "&" if query else "?"
    return program_id, await send(
        office, workspace_id, data, f"{query}{sign}program_id={program_id}"
    )


async def count(office, table):
    rows = await office.rows(f"SELECT count(*) AS n FROM pass_issuer.{table}")
    return rows[0]["n"]


async def test_a_pkpass_becomes_a_draft_template_and_says_what_it_leaves(office, workspace_id, old):
    # proves: J87, A15
    odd = {"labelColor": "chartreuse"}
    report = await send(office, workspace_id, old.pkpass("s-1", **odd))
    [template] = report["templates"]
    assert (template["outcome"], template["style"], template["protocol"]) == (
        "created",
        "storeCard",
        "MEMBERSHIP",
    )
    assert sorted(template["files"]) == sorted(old.images)
    [read] = report["passes"]
    assert [each["path"] for each in template["unmapped"]] == ["labelColor"]
    assert (read["outcome"], read["signature"], read["keeps_token"]) == ("read", "verified", True)
    path = f"/workspaces/{workspace_id}/templates/{template['template_id']}"
    shown = await office.call("GET", path)
    assert shown["status"] == "draft"
    # What has no member of its own stays in Apple's names.
    assert shown["apple"]["document"] == {"userInfo": {"till": 4}}
    assert set(shown["field_names"]) == {"points", "name"}
    assert [each["name"] for each in shown["files"]] == sorted(old.images)
    assert await office.call("POST", f"{path}/publish")
    # The layout again, of another pass: no second template.
    again = await send(office, workspace_id, old.pkpass("s-2", points=1, **odd))
    assert again["templates"][0] == template | {"outcome": "existed"}
    assert await count(office, "template") == 1


async def test_an_imported_pass_goes_on_under_its_serial_number_and_token(
    office, workspace_id, old, authority
):
    # proves: A13, A15, J87
    _, report = await into_program(office, workspace_id, old.pkpass("s-1", points=77))
    [taken] = report["passes"]
    assert (taken["outcome"], taken["error"]) == ("created", None)
    [created] = await office.events(PassCreated)
    assert (created.external_id, created.code) == ("s-1", "C-s-1")
    # It is on phones: it is asked to be signed at once.
    assert (UUID(workspace_id), TYPE) in office.signing_requests
    await office.press.sign_waiting(UUID(workspace_id), TYPE)
    rendered = (await office.events(PassRendered))[-1]
    assert rendered.apple.signature is not None
    assert rendered.apple.authentication_token_sha256 == hashlib.sha256(TOKEN.encode()).hexdigest()
    drawn = json.loads(rendered.apple.pass_json)
    assert (drawn["serialNumber"], drawn["passTypeIdentifier"]) == ("s-1", TYPE)
    assert drawn["authenticationToken"] == TOKEN
    assert drawn["webServiceURL"].endswith(f"/w/{workspace_id}")
    assert [name for name in drawn if name in {"storeCard", "coupon"}] == ["storeCard"]
    assert drawn["storeCard"]["headerFields"][0]["value"] == 77
    assert drawn["storeCard"]["secondaryFields"][0]["value"] == "Holder s-1"
    assert drawn["storeCard"]["backFields"][0]["value"] == "Be kind."
    assert set(json.loads(rendered.apple.manifest)) == {"pass.json", *old.images}


async def test_an_expiry_is_kept_with_its_zone_and_what_ended_is_left_behind(
    office, workspace_id, old
):
    # proves: A16
    data = old.bundle(
        old.pkpass("s-1", expirationDate="2031-12-31T23:59:59+01:00"),
        old.pkpass("s-2", voided=True),
        old.pkpass("s-3", expirationDate="2020-01-01T00:00:00Z"),
    )
    _, report = await into_program(office, workspace_id, data)
    assert [each["error"] and each["error"]["code"] for each in report["passes"]] == [
        None,
        "pass_voided",
        "pass_expired",
    ]
    assert report["passes"][0]["expires_at"] == "2031-12-31T23:59:59+01:00"
    drawn = json.loads((await office.events(PassRendered))[0].apple.pass_json)
    at = datetime.fromisoformat(drawn["expirationDate"])
    assert at == datetime(2031, 12, 31, 22, 59, 59, tzinfo=UTC)


async def test_a_time_that_does_not_exist_and_half_an_emoji_stop_no_other_pass(
    office, workspace_id, old
):
    old.images = old.images | {
        "de.lproj/pass.strings": rb'"Coffee" = "Kaffee \Ud83d\Ude00";',
        "fr.lproj/pass.strings": rb'"Coffee" = "\Ud83d";',
    }
    data = old.bundle(
        old.pkpass("s-1"), old.pkpass("s-2", expirationDate="9999-12-31T23:59:59-14:00")
    )
    _, report = await into_program(office, workspace_id, data)
    codes = [each["error"] and each["error"]["code"] for each in report["passes"]]
    assert codes == [None, "invalid"]


async def test_importing_twice_makes_nothing_twice(office, workspace_id, old):
    # proves: J87
    data = old.bundle(old.pkpass("s-1"), old.pkpass("s-2"))
    program_id, first = await into_program(office, workspace_id, data)
    assert first["counts"] == {"created": 2, "existed": 0, "refused": 0, "read": 0}
    more = old.bundle(old.pkpass("s-1"), old.pkpass("s-2", points=5), old.pkpass("s-3"))
    again = await send(office, workspace_id, more, f"?program_id={program_id}")
    assert again["counts"] == {"created": 1, "existed": 2, "refused": 0, "read": 0}
    assert [each["pass_id"] for each in again["passes"][:2]] == [
        each["pass_id"] for each in first["passes"]
    ]
    assert (await count(office, "pass"), await count(office, "template")) == (3, 1)


async def test_a_dry_run_says_what_would_happen_and_does_nothing(office, workspace_id, old):
    before = [await count(office, table) for table in ("template", "pass", "outbox", "audit_log")]
    report = await send(office, workspace_id, old.pkpass("s-1"), "?dry_run=true")
    assert report["dry_run"]
    assert report["templates"][0]["outcome"] == "created"
    assert report["templates"][0]["template_id"] is None
    after = [await count(office, table) for table in ("template", "pass", "outbox", "audit_log")]
    assert after == before
    program_id, _ = await into_program(office, workspace_id, old.pkpass("s-1"))
    query = f"?dry_run=true&program_id={program_id}"
    passes = (await send(office, workspace_id, old.pkpass("s-2"), query))["passes"]
    assert [(each["outcome"], each["pass_id"]) for each in passes] == [("created", None)]
    assert await count(office, "pass") == 1


async def test_a_text_that_differs_between_passes_is_a_field(office, workspace_id, old):
    spicy, mild = old.content("s-1"), old.content("s-2")
    mild["storeCard"]["backFields"][0]["value"] = "Be mild."
    data = old.bundle(*(old.press.press(each, files=old.images) for each in (spicy, mild)))
    await into_program(office, workspace_id, data)
    shown = [json.loads(each.apple.pass_json) for each in await office.events(PassRendered)]
    assert [each["storeCard"]["backFields"][0]["value"] for each in shown] == [
        "Be kind.",
        "Be mild.",
    ]


async def test_what_differs_in_apples_own_names_is_a_value_of_the_pass(office, workspace_id, old):
    data = old.bundle(old.pkpass("s-1", till=4), old.pkpass("s-2", till=5))
    _, report = await into_program(office, workspace_id, data)
    assert len(report["templates"]) == 1
    shown = [json.loads(each.apple.pass_json) for each in await office.events(PassRendered)]
    assert [each["userInfo"] for each in shown] == [{"till": 4}, {"till": 5}]


async def test_what_a_later_pass_says_otherwise_than_its_template_is_listed(
    office, workspace_id, old
):
    program_id, _ = await into_program(office, workspace_id, old.pkpass("s-1"))
    content = old.content("s-2", till=9)
    content["storeCard"]["backFields"][0]["value"] = "Be mild."
    late = old.press.press(content, files=old.images)
    report = await send(office, workspace_id, late, f"?program_id={program_id}")
    assert report["templates"][0]["outcome"] == "existed"
    [taken] = report["passes"]
    assert (taken["outcome"], [each["path"] for each in taken["unmapped"]]) == (
        "created",
        ["terms", "document/userInfo/till"],
    )


async def test_a_balance_moves_into_the_ledger_when_its_field_is_named(office, workspace_id, old):
    data = old.pkpass("s-1", points=120)
    await into_program(office, workspace_id, data, "?balance_field=points")
    [created] = await office.events(PassCreated)
    assert created.opening_balance_minor == 120


async def test_a_pass_type_of_somebody_else_is_refused_unless_it_is_meant(
    office, workspace_id, authority, make
):
    foreign = OldService(authority, make, pass_type="pass.com.example.other").pkpass("s-1")
    report = await send(office, workspace_id, foreign)
    assert report["templates"][0]["error"]["code"] == "foreign_pass_type"
    assert report["passes"][0]["error"]["code"] == "foreign_pass_type"
    assert await count(office, "template") == 0
    meant = await send(office, workspace_id, foreign, "?without_identity=true")
    assert meant["templates"][0]["outcome"] == "created"


async def test_a_pass_of_another_type_than_the_program_is_refused(
    office, workspace_id, old, authority, make
):
    program_id, _ = await into_program(office, workspace_id, old.pkpass("s-1"))
    other = OldService(authority, make, pass_type="pass.com.example.other").pkpass("s-9")
    query = f"?without_identity=true&program_id={program_id}"
    [refused] = (await send(office, workspace_id, other, query))["passes"]
    assert refused["error"]["code"] == "pass_type_mismatch"


async def test_only_a_signature_that_verifies_is_called_verified(
    office, workspace_id, old, make, tmp_path
):
    # proves: A13
    def unsigned(files):
        del files["signature"]

    def garbled(files):
        files["signature"] = b"0\x03\x02\x01\x01"

    stranger = OldService(DemoAuthority.create(tmp_path), make)
    data = old.bundle(
        old.pkpass("s-1"),
        old.pkpass("s-2", spoil=unsigned),
        old.pkpass("s-3", spoil=garbled),
        stranger.pkpass("s-4"),
    )
    passes = (await send(office, workspace_id, data))["passes"]
    assert [each["signature"] for each in passes] == ["verified", *["not_verified"] * 3]
    assert "WWDR" in passes[3]["signature_detail"]


async def test_a_signature_for_another_pass_type_is_not_verified(office, workspace_id, old):
    content = old.content("s-1") | {"passTypeIdentifier": "pass.com.example.stolen"}
    data = old.press.press(content, files=old.images)
    [read] = (await send(office, workspace_id, data, "?without_identity=true"))["passes"]
    assert read["signature"] == "not_verified"


async def test_a_pass_that_was_tampered_with_is_refused(office, workspace_id, old):
    def other_image(files):
        files["icon.png"] = files["icon@2x.png"]

    def stowaway(files):
        files["evil.png"] = b"x"

    def no_manifest(files):
        del files["manifest.json"]

    spoiled = [old.pkpass("s", spoil=each) for each in (other_image, stowaway, no_manifest)]
    report = await send(office, workspace_id, old.bundle(*spoiled, old.pkpass("s-1")))
    assert [each["error"] and each["error"]["code"] for each in report["passes"]] == [
        "manifest_mismatch",
        "manifest_mismatch",
        "manifest_missing",
        None,
    ]


async def test_an_image_that_is_a_bomb_or_none_is_left_out_and_named(
    office, workspace_id, old, make
):
    images = old.images | {
        "strip.png": make.png(4_000, 4_000),
        "background.png": b"<svg/>",
        "thumbnail.png": old.images["icon.png"][:-20],
    }
    data = old.press.press(old.content("s-1"), files=images)
    [template] = (await send(office, workspace_id, data))["templates"]
    unmapped = {each["path"] for each in template["unmapped"]}
    assert {"strip.png", "background.png", "thumbnail.png"} <= unmapped
    assert not {"strip.png", "background.png", "thumbnail.png"} & set(template["files"])


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "required"),
        (b"PK\x03\x04rubbish", "not_a_zip"),
        (b"\x89PNG\r\n\x1a\n", "not_utf8"),
        (archive([("../pass.json", b"{}")]), "name_invalid"),
        (archive([("a.zip", b"PK")]), "nested"),
        (archive([("readme.txt", b"hi")]), "no_pass"),
    ],
)
async def test_an_upload_that_is_none_is_refused_with_a_sentence(office, workspace_id, data, code):
    refused = await send(office, workspace_id, data, status=422)
    assert refused["code"] == code
    assert refused["errors"][0]["field"]


async def test_an_upload_beyond_the_bound_is_refused_before_it_is_read(office, workspace_id):
    refused = await send(office, workspace_id, b"PK" + bytes(20 * 1024 * 1024), status=413)
    assert refused["code"] == "body_too_large"


async def test_an_export_of_pass2u_becomes_a_template_and_passes(office, workspace_id):
    # proves: J87
    data = (FIXTURES / "pass2u-export.json").read_bytes()
    report = await send(office, workspace_id, data)
    [template] = report["templates"]
    assert {"models.0.images.0", "models.0.labelColor"} <= {
        each["path"] for each in template["unmapped"]
    }
    base = f"/workspaces/{workspace_id}"
    # What an export does not say is set before it is published.
    shown = await office.call("GET", f"{base}/templates/{template['template_id']}")
    assert (shown["status"], shown["pass_type_identifier"]) == ("draft", None)
    program_id = await office.program(workspace_id)
    query = f"?program_id={program_id}"
    first = await send(office, workspace_id, data, query)
    assert first["counts"] == {"created": 2, "existed": 0, "refused": 1, "read": 0}
    again = await send(office, workspace_id, data, query)
    assert again["counts"] == {"created": 0, "existed": 2, "refused": 1, "read": 0}
    rows = (FIXTURES / "pass2u-passes.csv").read_bytes()
    assert (await send(office, workspace_id, rows, query))["counts"]["existed"] == 2
    found = await office.call("GET", f"{base}/passes/external:DdwbQl8JhDaE")
    assert (found["code"], found["fields"]["field3"]) == ("BC-0001", "Ada Lovelace")
    assert found["serial_number"] != "DdwbQl8JhDaE"


async def test_the_same_idempotency_key_imports_once(office, workspace_id, old):
    headers = {"Idempotency-Key": "k-1"}
    first = await send(office, workspace_id, old.pkpass("s-1"), headers=headers)
    audits = await count(office, "audit_log")
    other = old.pkpass("s-2")
    refused = await send(office, workspace_id, other, headers=headers, status=422)
    assert refused["code"] == "idempotency_key_reused"
    assert await count(office, "audit_log") == audits
    assert first["templates"][0]["outcome"] == "created"


async def test_imports_of_one_workspace_touch_no_other(office, workspace_id, old, authority):
    # proves: J70
    data = old.pkpass("s-1")
    program_id, _ = await into_program(office, workspace_id, data)
    other = await office.workspace()
    await office.give_identity(other, authority)
    # The same file is a new template and a new pass there, and our program is not theirs.
    assert (await send(office, other, data))["templates"][0]["outcome"] == "created"
    refused = await send(office, other, data, f"?program_id={program_id}", status=422)
    assert refused["code"] == "program_unknown"
    theirs = await office.key(other, "owner")
    await send(office, workspace_id, data, status=404, key=theirs)
    member = await office.key(workspace_id, "member")
    await send(office, workspace_id, data, status=403, key=member)
    await send(office, workspace_id, data, f"?program_id={uuid4()}", status=422)


async def test_the_token_of_an_imported_pass_is_nowhere_but_in_its_pass_json(
    office, workspace_id, old, caplog
):
    # proves: A14
    headers = {"Idempotency-Key": "k-1"}
    await send(office, workspace_id, old.pkpass("s-1"), headers=headers)
    _, report = await into_program(office, workspace_id, old.pkpass("s-1"))
    assert TOKEN not in json.dumps(report)
    assert TOKEN not in caplog.text
    for table in ("audit_log", "idempotency", "template", "imported_template", "link", "holder"):
        rows = await office.rows(f"SELECT t::text AS row FROM pass_issuer.{table} t")
        assert not any(TOKEN in row["row"] for row in rows), table
    for envelope in await office.envelopes():
        text = envelope.data.model_dump_json()
        assert TOKEN not in text or envelope.data.event_type == "pass.rendered"


async def test_a_repeated_import_tells_counts_and_ids_and_nobodys_name(office, workspace_id):
    # proves: A14
    given = json.loads((FIXTURES / "pass2u-export.json").read_bytes())
    # More than an answer that is kept may have.
    odd = {f"a member that this export alone has, number {n}": "x" for n in range(200)}
    given["passes"] = [
        given["passes"][0] | odd | {"passId": f"planted-{n}", "barcodeId": f"b-{n}"}
        for n in range(60)
    ]
    program_id = await office.program(workspace_id)
    ask = json.dumps(given).encode(), f"?program_id={program_id}"
    headers = {"Idempotency-Key": "k-1"}
    first = await send(office, workspace_id, *ask, headers=headers)
    assert len(json.dumps(first)) > 1_000_000
    again = await send(office, workspace_id, *ask, headers=headers)
    assert again["counts"] == first["counts"]
    ids = [each["pass_id"] for each in first["passes"]]
    assert [each["pass_id"] for each in again["passes"]] == ids
    assert "planted" in json.dumps(first)
    assert "planted" not in json.dumps(again)
