import asyncio
import base64
import contextlib
import gzip
import json
import os
import signal
import sys
import uuid

import httpx
import pytest

from passferry_testing.dittofeed_recorder import DittofeedRecorder, IngestionFault

BASE = "/api/public/apps"


@contextlib.asynccontextmanager
async def recorder_and_client(**options):
    async with DittofeedRecorder(**options) as dittofeed:
        key = dittofeed.add_write_key("cafe")
        headers = {"authorization": key.authorization}
        async with httpx.AsyncClient(base_url=dittofeed.url, headers=headers) as client:
            yield dittofeed, client


def track(**changes):
    item = {
        "type": "track",
        "messageId": str(uuid.uuid4()),
        "userId": "u1",
        "event": "pass.issued",
        "properties": {"passId": "p1"},
        "timestamp": "2026-01-02T03:04:05.678Z",
    }
    item.update(changes)
    return {name: value for name, value in item.items() if value is not ...}


async def send(client, *items, **body):
    return await client.post(f"{BASE}/batch", json={"batch": list(items), **body})


async def test_a_batch_is_answered_204_and_kept_in_order_per_workspace():
    """proves: J45 (order and ids as the bridge's tests see them)."""
    async with recorder_and_client() as (dittofeed, client):
        items = [track(), {"type": "identify", "messageId": "m2", "userId": "u1", "traits": {}}]
        answer = await send(client, *items, context={"library": {"name": "x"}})
        other = dittofeed.add_write_key("bakery")
        client.headers["authorization"] = other.authorization
        await send(client, track(messageId="m3"))
    assert (answer.status_code, answer.content) == (204, b"")
    kept = [record.item["messageId"] for record in dittofeed.recorded("cafe")]
    assert kept == [items[0]["messageId"], "m2"]
    assert dittofeed.recorded("cafe")[0].item["context"] == {"library": {"name": "x"}}
    assert [record.item["messageId"] for record in dittofeed.recorded("bakery")] == ["m3"]


async def test_duplicates_are_stored_twice_and_counted_once():
    """proves: J45 (duplicates carry the same id)."""
    async with recorder_and_client() as (dittofeed, client):
        await send(client, track(messageId="m1"))
        await send(client, track(messageId="m1"), track(messageId="m2"))
    cafe = dittofeed.summary()["workspaces"]["cafe"]
    assert (cafe["stored"], cafe["unique"], cafe["duplicates"]) == (3, 2, 1)


@pytest.mark.parametrize(
    "bad",
    [
        track(messageId=...),
        track(messageId="m", userId=...),
        track(messageId="m", event=...),
        track(messageId="m", type=...),
        track(messageId="m", type="alias"),
        track(messageId="m", properties=None),
        track(messageId="m", properties="x"),
        track(messageId="m", context=[]),
        {"type": "group", "messageId": "m", "userId": "u"},
        "not an object",
    ],
    ids=lambda bad: json.dumps(bad)[:60],
)
async def test_one_bad_item_fails_its_whole_batch(bad):
    """proves: J45 (why the bridge must bisect)."""
    async with recorder_and_client() as (dittofeed, client):
        answer = await send(client, track(), bad)
        assert answer.status_code == 400
        assert answer.json()["code"] == "FST_ERR_VALIDATION"
        assert dittofeed.recorded("cafe") == []


async def test_what_dittofeed_takes_silently_is_taken():
    accepted = [
        track(userId=5, messageId="a"),
        track(userId=""),
        track(userId=..., anonymousId="x"),
        track(timestamp="last tuesday"),
        track(timestamp=..., extra={"kept": True}),
    ]
    async with recorder_and_client() as (dittofeed, client):
        assert (await send(client)).status_code == 204
        assert (await send(client, *accepted)).status_code == 204
        records = dittofeed.recorded("cafe")
    assert records[0].item["userId"] == "5"
    assert records[0].stored_timestamp == "2026-01-02T03:04:05.678Z"
    assert records[3].stored_timestamp.startswith("1970-01-01")
    assert records[4].item["extra"] == {"kept": True}
    assert not records[4].stored_timestamp.startswith("1970")


async def test_write_keys_decide_the_workspace_and_wrong_ones_are_refused():
    async with recorder_and_client() as (dittofeed, client):
        parent = dittofeed.add_write_key("parent", is_eligible=False)
        wrong = "Basic " + base64.b64encode(b"x:y").decode()
        refused = await client.post(
            f"{BASE}/batch", json={"batch": [track()]}, headers={"authorization": wrong}
        )
        single = await client.post(f"{BASE}/track", json=track(), headers={"authorization": wrong})
        ineligible = await client.post(
            f"{BASE}/batch",
            json={"batch": [track()]},
            headers={"authorization": parent.authorization},
        )
        del client.headers["authorization"]
        absent = await send(client, track())
    assert (refused.status_code, refused.json()["message"]) == (401, "InvalidWriteKey")
    assert (single.status_code, single.json()["message"]) == (401, "Invalid write key.")
    assert (ineligible.status_code, ineligible.json()["message"]) == (401, "WorkspaceIneligible")
    assert (absent.status_code, absent.json()["code"]) == (400, "FST_ERR_VALIDATION")


async def test_single_calls_are_recorded_with_their_type_and_alias_never_works():
    async with recorder_and_client() as (dittofeed, client):
        for call in ("identify", "track", "page", "screen", "group"):
            answer = await client.post(f"{BASE}/{call}", json=track(type=..., groupId="g"))
            assert answer.status_code == 204
        assert (await client.post(f"{BASE}/alias", json=track())).status_code == 400
        assert (await client.post(f"{BASE}/other", json=track())).status_code == 404
        kinds = [record.item["type"] for record in dittofeed.recorded("cafe")]
    assert kinds == ["identify", "track", "page", "screen", "group"]


async def test_bodies_are_bounded_and_must_be_plain_json():
    async with recorder_and_client() as (_, client):
        large = track(properties={"x": "y" * (5 * 1024 * 1024)})
        body = json.dumps({"batch": [track()]}).encode()
        json_type = {"content-type": "application/json"}
        answers = [
            await send(client, large),
            await client.post(f"{BASE}/batch", content=gzip.compress(body), headers=json_type),
            await client.post(f"{BASE}/batch", content=body),
            await client.post(f"{BASE}/batch", content=b"[]", headers=json_type),
        ]
    assert [answer.status_code for answer in answers] == [413, 400, 415, 400]
    assert answers[0].json()["code"] == "FST_ERR_CTP_BODY_TOO_LARGE"


async def test_faults_give_any_status_for_a_while():
    fault = IngestionFault(action="answer", status=429, retry_after_s=3, count=2)
    async with recorder_and_client(faults=[fault]) as (dittofeed, client):
        answers = [await send(client, track()) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [429, 429, 204]
        assert answers[0].headers["retry-after"] == "3"
        assert len(dittofeed.recorded("cafe")) == 1


async def test_an_answer_can_be_lost_after_the_items_were_stored():
    async with recorder_and_client() as (dittofeed, client):
        dittofeed.faults.add([IngestionFault(action="answer_lost", count=1)])
        dittofeed.faults.add([IngestionFault(action="no_answer", count=1)])
        for stored in (1, 1):
            with pytest.raises(httpx.ReadTimeout):
                await client.post(f"{BASE}/batch", json={"batch": [track()]}, timeout=0.3)
            assert len(dittofeed.recorded("cafe")) == stored
        assert (await send(client, track())).status_code == 204


async def test_the_control_paths_show_items_and_take_keys_and_faults():
    async with recorder_and_client() as (dittofeed, client):
        key = (await client.post("/write-keys", json={"workspace": "bakery"})).json()
        headers = {"authorization": key["authorization"]}
        for name in ("m1", "m2"):
            body = {"batch": [track(messageId=name)]}
            await client.post(f"{BASE}/batch", json=body, headers=headers)
        page = (await client.get("/recorded", params={"workspace": "bakery", "since": 1})).json()
        assert [item["item"]["messageId"] for item in page["items"]] == ["m2"]
        assert page["next"] == 2
        rule = {"action": "answer", "status": 500, "subject_prefix": "bak"}
        assert (await client.post("/faults", json={"rules": [rule]})).status_code == 200
        assert (
            await client.post(f"{BASE}/batch", json={"batch": []}, headers=headers)
        ).status_code == 500
        assert (await send(client, track())).status_code == 204
        summary = (await client.get("/summary")).json()
        assert summary["answers"] == {"204": 3, "500": 1}
        assert (await client.post("/faults", json={"rules": [{}]})).status_code == 400
        await client.post("/write-keys", json={"workspace": "bakery", "revoke": True})
        gone = await client.post(f"{BASE}/batch", json={"batch": []}, headers=headers)
        assert gone.status_code == 401
        await client.post("/reset")
        assert dittofeed.recorded("bakery") == []


async def test_a_reader_can_wait_for_items():
    async with recorder_and_client() as (dittofeed, client):
        waiting = asyncio.create_task(dittofeed.wait_for("cafe", 2, 5))
        await send(client, track(), track())
        assert len(await waiting) == 2
        with pytest.raises(TimeoutError):
            await dittofeed.wait_for("cafe", 3, 0.05)


async def test_it_runs_as_a_process_and_ends_when_told():
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "passferry_testing.dittofeed_recorder",
        stdout=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        addresses = json.loads(await asyncio.wait_for(process.stdout.readline(), 20))
        async with httpx.AsyncClient(base_url=addresses["url"]) as client:
            assert (await client.get("/health")).json() == {"status": "ok"}
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
