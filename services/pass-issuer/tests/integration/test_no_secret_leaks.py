"""Plants secrets in the running service and looks for them everywhere that it leaves traces."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
import uuid
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import asyncpg
import httpx
import pytest
from aiokafka import AIOKafkaConsumer
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from passferry_contracts.events.balances import PassBalanceChanged
from passferry_contracts.events.wallet import PassLinkOpened
from passferry_contracts.registry import PASS_BALANCE_CHANGED, TOPICS, WALLET_ACTIVITY
from passferry_contracts.types import Platform
from passferry_pass_issuer.domain import secret_contexts
from passferry_runtime.crypto import KeyRing
from passferry_testing.harness import eventually
from passferry_testing.pki import DemoAuthority, export_p12, new_provider_key

pytestmark = pytest.mark.integration

PASSWORD = "planted-Passw0rd-of-the-p12"
EMAIL, BIRTHDAY = "planted.person@holder.example", "1977-03-09"


@pytest.fixture
def topics():
    return tuple(TOPICS.values())


def forms_of(secret: bytes) -> set[bytes]:
    """How a secret may stand in a text: itself, in hex, and in base64 wherever it begins."""
    found = {secret, secret.hex().encode()}
    for offset in range(3):
        encoded = base64.b64encode(bytes(offset) + secret)
        # The edges mix with what stands beside it.
        found.add(encoded[4 if offset else 0 : len(encoded) - 4])
    return found


def marks_of(private_key_pem: str | bytes) -> list[bytes]:
    """Parts of a private key that stand in no certificate and in no other key."""
    text = private_key_pem.encode() if isinstance(private_key_pem, str) else private_key_pem
    key = load_pem_private_key(text, None)
    if isinstance(key, rsa.RSAPrivateKey):
        number = key.private_numbers().p
    else:
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        number = key.private_numbers().private_value
    lines = [line for line in text.split(b"\n") if line and not line.startswith(b"-----")]
    middle = number.to_bytes((number.bit_length() + 7) // 8, "big")[2:26]
    return [middle, lines[len(lines) // 2][:60]]


class Issuer:
    """The running process, and every answer that it gave to what it refused."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http
        self.refusals: list[bytes] = []

    async def ask(self, method, path, *, status=201, **more):
        answer = await self.http.request(method, f"/api/v1{path}", **more)
        assert answer.status_code == status, answer.text
        if status >= 400:
            self.refusals.append(answer.content + repr(answer.headers).encode())
        return answer.json() if answer.content else None


@asynccontextmanager
async def running_process(harness, tmp_path, authority):
    await harness.migrate("pass-issuer", "passferry_pass_issuer.migrations")
    (tmp_path / "wwdr.pem").write_bytes(authority.wwdr_pem)
    for name in ("own", "shared"):
        (tmp_path / f"{name}.json").write_text(KeyRing.generate(name))
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PASSFERRY_")
    } | {
        **harness.environment("pass-issuer"),
        "PASSFERRY_KEY_RING_FILE": str(tmp_path / "own.json"),
        "PASSFERRY_CREDENTIALS_KEY_RING_FILE": str(tmp_path / "shared.json"),
        "PASSFERRY_PUBLIC_BASE_URL": "https://passes.example",
        "PASSFERRY_WWDR_DIRECTORY": str(tmp_path),
        "PASSFERRY_INSTANCE_FILE": str(tmp_path / "instance.json"),
        "PASSFERRY_LOG_LEVEL": "DEBUG",
    }
    environment.pop("PASSFERRY_REDIS_URL", None)
    command = [sys.executable, "-m", "passferry_pass_issuer"]
    log = tmp_path / "log"
    administrator = tmp_path / "administrator"
    made = await asyncio.create_subprocess_exec(
        *command, "administrator", "--api-key-file", str(administrator), env=environment
    )
    assert await made.wait() == 0
    with log.open("wb") as written:
        process = await asyncio.create_subprocess_exec(
            *command, env=environment, stdout=written, stderr=written
        )
    try:
        await eventually((tmp_path / "instance.json").exists, timeout_s=60, what="it has started")
        port = json.loads((tmp_path / "instance.json").read_text())["http_port"]
        key = administrator.read_text().strip()
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {key}"}
        ) as http:

            async def is_ready() -> bool:
                return (await http.get("/healthz/ready")).status_code == 200

            await eventually(is_ready, timeout_s=60, what="it is ready")
            yield Issuer(http), key, log
    finally:
        process.terminate()
        await process.wait()


async def plant(issuer: Issuer, harness, make, authority, tmp_path) -> dict[str, list[bytes]]:
    """Uses all of the API that takes or gives a secret, rightly and wrongly."""
    planted: dict[str, list[bytes]] = {"p12 password": [PASSWORD.encode()]}
    workspace = (await issuer.ask("POST", "/workspaces", json={"name": "Café"}))["workspace_id"]
    base = f"/workspaces/{workspace}"
    owner = await issuer.ask(
        "POST", f"{base}/api-keys", json={"role": "owner"}, headers={"Idempotency-Key": "k-1"}
    )
    planted["api key"] = [owner["api_key"].split("_")[3].encode()]
    await credentials(issuer, base, make, authority, planted)
    [waiting] = (await issuer.ask("GET", f"{base}/signing-identities/requests", status=200))["data"]
    planted["key of a request"] = marks_of(
        await opened_request(harness, tmp_path, workspace, waiting["signing_request_id"])
    )
    secret = await issuer.ask("POST", f"{base}/inbound-secrets", json={})
    planted["inbound secret"] = [secret["secret"].removeprefix("whsec_").encode()[:32]]
    program_id = await program(issuer, base, make)
    body = {
        "program_id": program_id,
        "external_id": "card-1",
        "holder": {"full_name": "Ada Shown", "email": EMAIL, "birthday": BIRTHDAY},
    }
    headers = {"Idempotency-Key": "i-1"}
    issued = await issuer.ask("POST", f"{base}/passes", json=body, headers=headers)
    planted["link token"] = [issued["link"].rsplit("/", 1)[1].encode()]
    planted["holder's address"], planted["holder's birthday"] = (
        [EMAIL.encode()],
        [BIRTHDAY.encode()],
    )
    wrong = body | {"external_id": "x", "holder": {"email": EMAIL, "birthday": BIRTHDAY + "x"}}
    await issuer.ask("POST", f"{base}/passes", status=422, json=wrong)
    await rung(harness, workspace, issued)
    return planted


async def credentials(issuer: Issuer, base: str, make, authority, planted) -> None:
    issued = authority.issue_pass_certificate(make.pass_type, make.team)
    path = f"{base}/signing-identities"
    p12 = export_p12(issued, PASSWORD)
    encoded = base64.b64encode(p12).decode()
    planted["pass key"] = marks_of(issued.private_key_pem)
    planted["p12"] = [p12[300:330]]
    await issuer.ask("POST", path, json={"p12_base64": encoded, "password": PASSWORD})
    files = {"p12": ("pass.p12", p12)}
    await issuer.ask("POST", path, files=files, data={"password": PASSWORD})
    key = load_pem_private_key(issued.private_key_pem, None)
    encryption = BestAvailableEncryption(PASSWORD.encode())
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption).decode()
    clear = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    certificate = issued.certificate_pem.decode()
    for wrong in (
        {"p12_base64": encoded, "password": PASSWORD + "x"},
        {"p12_base64": encoded[:200], "password": PASSWORD},
        {"p12_base64": encoded, "password": {"it": PASSWORD}},
        {"certificate_pem": clear, "private_key_pem": clear},
        {"certificate_pem": certificate, "private_key_pem": locked, "password": PASSWORD + "y"},
        {"certificate_pem": certificate, "private_key_pem": clear * 40, "password": PASSWORD},
        {"certificate_pem": certificate, "private_key_pem": [clear], "password": PASSWORD},
        {"certificate_pem": certificate, "private_key_pem": clear, "team_identifier": "OTHER12345"},
    ):
        await issuer.ask("POST", path, status=422, json=wrong)
    torn = json.dumps({"password": PASSWORD, "private_key_pem": clear})[:-1]
    kind = {"content-type": "application/json"}
    await issuer.ask("POST", path, status=422, content=torn, headers=kind)
    asked = {"pass_type_identifier": make.pass_type, "key": "rsa2048"}
    await issuer.ask("POST", f"{path}/requests", json=asked)

    p8 = new_provider_key()[0].decode()
    planted["p8"] = marks_of(p8)
    body = {"key_id": "KEY0000001", "team_id": make.team, "p8": p8}
    await issuer.ask("POST", f"{base}/provider-keys", json=body)
    for wrong in ({"key_id": p8}, {"p8": p8[:150]}, {"p8": {"text": p8}}):
        await issuer.ask("POST", f"{base}/provider-keys", status=422, json=body | wrong)

    google = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = google.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    planted["service account"] = marks_of(pem)
    account = {
        "type": "service_account",
        "private_key_id": "k1",
        "private_key": pem,
        "client_email": "wallet@cafe.example",
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    body = {"issuer_id": make.issuer_id, "service_account": account}
    await issuer.ask("POST", f"{base}/google-accounts", json=body)
    for wrong in ({"type": pem}, {"private_key": pem[:400]}, {"private_key_id": pem}):
        given = body | {"service_account": account | wrong}
        await issuer.ask("POST", f"{base}/google-accounts", status=422, json=given)
    await issuer.ask("POST", f"{base}/google-accounts", status=422, json={"service_account": pem})


async def opened_request(harness, tmp_path, workspace: str, request_id: str) -> bytes:
    ring = KeyRing.from_file(tmp_path / "own.json")
    rows = await rows_of(
        harness, "SELECT private_key_ciphertext AS sealed FROM pass_issuer.signing_request"
    )
    context = secret_contexts.signing_request_key(uuid.UUID(workspace), uuid.UUID(request_id))
    return ring.decrypt(rows[0]["sealed"], context=context)


async def program(issuer: Issuer, base: str, make) -> str:
    made = await issuer.ask("POST", f"{base}/templates", json=make.template_json())
    path = f"{base}/templates/{made['template_id']}"
    for name in make.images:
        side = 29 * int(name.partition("@")[2][:1] or 1)
        await issuer.ask("PUT", f"{path}/files/{name}", status=200, content=make.png(side, side))
    await issuer.ask("POST", f"{path}/publish", status=200)
    body = {"name": "P", "protocol": "MEMBERSHIP", "template_id": made["template_id"]}
    return (await issuer.ask("POST", f"{base}/programs", json=body))["program_id"]


async def rung(harness, workspace: str, issued) -> None:
    """The pass is signed for Apple, saved to Google, and gets a balance; one event fails."""
    now = datetime.now(UTC)
    names = {"workspace_id": uuid.UUID(workspace), "pass_id": uuid.UUID(issued["pass_id"])}
    opened = [
        PassLinkOpened(**names, platform=platform, needs_rendering=True, occurred_at=now)
        for platform in (Platform.APPLE, Platform.GOOGLE)
    ]
    await harness.publish(WALLET_ACTIVITY, *opened)
    changed = PassBalanceChanged(
        **names,
        external_id=issued["external_id"],
        program_id=uuid.UUID(issued["program_id"]),
        version=1,
        previous_balance_minor=0,
        new_balance_minor=40,
        change_minor=40,
        unit=issued["unit"],
        reason="earn",
        changed_at=now,
    )
    await harness.publish(PASS_BALANCE_CHANGED, changed)

    async def is_signed() -> bool:
        rows = await rows_of(
            harness,
            "SELECT balance_minor = 40 AND signature IS NOT NULL AND save_link IS NOT NULL AS done"
            " FROM pass_issuer.pass",
        )
        return all(row["done"] for row in rows)

    await eventually(is_signed, timeout_s=60, what="the pass is signed")

    async def is_sent() -> bool:
        return not await rows_of(harness, "SELECT 1 FROM pass_issuer.outbox LIMIT 1")

    await eventually(is_sent, timeout_s=60, what="all is sent")


async def rows_of(harness, sql: str):
    connection = await asyncpg.connect(harness.admin_url)
    try:
        return await connection.fetch(sql)
    finally:
        await connection.close()


async def dumped(harness, *, without: dict[str, str]) -> bytes:
    """Every table of every schema as text; `without` empties a column of a table."""
    tables = await rows_of(
        harness,
        "SELECT schemaname, tablename FROM pg_tables"
        " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')",
    )
    lines = []
    for table in tables:
        name = f'"{table["schemaname"]}"."{table["tablename"]}"'
        shown = "t"
        if table["tablename"] in without:
            shown = f"jsonb_strip_nulls(to_jsonb(t) - '{without[table['tablename']]}'::text)"
        rows = await rows_of(harness, f"SELECT {shown}::text AS line FROM {name} t")
        lines += [f"{name} {row['line']}" for row in rows]
    assert len(tables) > 20
    return "\n".join(lines).encode()


async def told_on_kafka(harness) -> list[tuple[str, bytes]]:
    """(topic, key, headers and value) of every record of the installation."""
    prefix = harness.kafka.topic_prefix
    names = [f"{prefix}{name}" for name in TOPICS]
    consumer = AIOKafkaConsumer(
        *names,
        bootstrap_servers=harness.kafka.brokers,
        group_id=None,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        partitions = sorted(consumer.assignment())
        assert {each.topic for each in partitions} == set(names)
        ends = await consumer.end_offsets(partitions)
        found = []
        while any([await consumer.position(each) < ends[each] for each in partitions]):
            for partition, records in (await consumer.getmany(timeout_ms=500)).items():
                for record in records:
                    whole = b" ".join(
                        [record.key or b"", record.value or b"", repr(record.headers).encode()]
                    )
                    found.append((partition.topic.removeprefix(prefix), whole))
        return found
    finally:
        await consumer.stop()


def leaks(planted: dict[str, list[bytes]], place: bytes) -> list[str]:
    return [
        name
        for name, secrets in planted.items()
        if any(form in place for secret in secrets for form in forms_of(secret))
    ]


async def test_no_planted_secret_leaves_a_trace_in_dump_log_topics_and_errors(
    harness, make, tmp_path
):
    # proves: A14, J2, J72, J78
    authority = DemoAuthority.create(tmp_path / "pki")
    async with running_process(harness, tmp_path, authority) as (issuer, administrator, log):
        planted = await plant(issuer, harness, make, authority, tmp_path)
        planted["administrator"] = [administrator.split("_")[3].encode()]
        told = await told_on_kafka(harness)
        pass_json = await own_pass_json(told)
        planted["pass token"] = [pass_json["authenticationToken"].encode()]
        # The pass's own token stands in its pass.json: in the row that keeps it, and on its topic.
        whole = await dumped(harness, without={})
        assert leaks(planted, whole) == ["pass token"]
        assert leaks(planted, await dumped(harness, without={"pass": "pass_json"})) == []
    leaking = {(topic, name) for topic, record in told for name in leaks(planted, record)}
    assert leaking == {("pass.rendered", "pass token")}
    assert {topic for topic, _ in told} >= {
        "workspace.credentials",
        "workspace.access",
        "link.changed",
        "pass.created",
        "pass.rendered",
    }
    written = log.read_bytes()
    assert b"service_started" in written
    assert leaks(planted, written) == []
    assert len(issuer.refusals) > 15
    for refusal in issuer.refusals:
        assert leaks(planted, refusal) == [], refusal


async def own_pass_json(told):
    [*_, newest] = [record for topic, record in told if topic == "pass.rendered"]
    start = newest.index(b'{"')
    rendered, _ = json.JSONDecoder().raw_decode(newest[start:].decode(errors="replace"))
    return json.loads(rendered["apple"]["pass_json"])


def test_a_leak_in_any_form_is_found():
    planted = {"key": [b"a-secret-of-thirty-two-characters"]}
    secret = planted["key"][0]
    for place in (
        b"x" + secret + b"y",
        (b"1" + secret).hex().encode(),
        *(base64.b64encode(b"x" * n + secret + b"y") for n in range(4)),
    ):
        assert leaks(planted, place) == ["key"]
    assert leaks(planted, b"nothing") == []
