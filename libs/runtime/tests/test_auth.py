"""API keys, roles, hierarchy and modes. Proves J67, J68, J69, J70 and J77 for the runtime's part."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

import httpx
import pytest
from fastapi import APIRouter, Depends
from prometheus_client import REGISTRY

from passferry_contracts.events.directory import ApiKeyGrant, WorkspaceAccessChanged
from passferry_contracts.types import Role, WorkspaceKind
from passferry_runtime.auth import (
    PLATFORM_ID,
    AccessDirectory,
    Authenticator,
    NewApiKey,
    Principal,
    Scope,
    new_api_key,
    require,
    require_platform,
)
from passferry_runtime.clock import FixedClock
from passferry_runtime.http import create_app

NOW = datetime(2026, 5, 14, tzinfo=UTC)
ROOT, PARENT, CHILD, SIBLING, STRANGER = (UUID(int=number) for number in range(1, 6))
UNKNOWN = UUID(int=99)
ROLES = (Role.VIEWER, Role.MEMBER, Role.MANAGER, Role.OWNER)
KEYS = {
    (workspace, role): new_api_key()
    for workspace in (ROOT, PARENT, CHILD, SIBLING, STRANGER)
    for role in ROLES
}
ADMINISTRATOR = new_api_key()
PLACES = {
    ROOT: (WorkspaceKind.ROOT, None),
    PARENT: (WorkspaceKind.PARENT, None),
    CHILD: (WorkspaceKind.CHILD, PARENT),
    SIBLING: (WorkspaceKind.CHILD, PARENT),
    STRANGER: (WorkspaceKind.ROOT, None),
}


def grant(key: NewApiKey, role: Role, **options: object) -> ApiKeyGrant:
    return ApiKeyGrant(key_id=key.key_id, secret_sha256=key.secret_sha256, role=role, **options)


def access(workspace_id: UUID, **options: object) -> WorkspaceAccessChanged:
    kind, parent = PLACES.get(workspace_id, (WorkspaceKind.PLATFORM, None))
    grants = [grant(KEYS[workspace_id, role], role) for role in ROLES if workspace_id in PLACES]
    fields = {
        "name": "Café",
        "kind": kind,
        "parent_workspace_id": parent,
        "api_keys": grants,
        "revision": 1,
        "changed_at": NOW,
    }
    return WorkspaceAccessChanged(workspace_id=workspace_id, **(fields | options))


def filled() -> AccessDirectory:
    directory = AccessDirectory()
    for workspace_id in PLACES:
        directory.apply(access(workspace_id))
    platform = [grant(ADMINISTRATOR, Role.ADMINISTRATOR)]
    directory.apply(access(PLATFORM_ID, api_keys=platform))
    return directory


def router() -> APIRouter:
    made = APIRouter(prefix="/w/{workspace_id}")
    for role in ROLES:
        scope = Annotated[Scope, Depends(require(role))]

        async def endpoint(scope: scope) -> str:  # type: ignore[valid-type]  # made per role
            return str(scope.workspace_id)

        endpoint.__annotations__["scope"] = scope
        made.add_api_route(f"/{role.value}", endpoint, methods=["GET", "POST"])
    return made


platform_router = APIRouter()


@platform_router.get("/platform")
async def platform(principal: Annotated[Principal, Depends(require_platform())]) -> str:
    return principal.actor


@asynccontextmanager
async def client_of(directory: AccessDirectory, **options: object) -> AsyncIterator:
    clock = options.pop("clock", FixedClock(NOW))
    app = create_app(
        title="Test",
        version="1",
        auth=Authenticator(directory, clock=clock, **options),
        routers=[router(), platform_router],
    )
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


@pytest.fixture
async def client():
    async with client_of(filled()) as opened:
        yield opened


def bearer(key: NewApiKey | str) -> dict[str, str]:
    return {"authorization": f"Bearer {key if isinstance(key, str) else key.presented}"}


async def answer(client, key, workspace_id, needed=Role.VIEWER, method="GET") -> tuple[int, str]:
    path = f"/w/{workspace_id}/{needed.value}"
    response = await client.request(method, path, headers=bearer(key))
    body = response.json()
    return response.status_code, body if response.status_code == 200 else body["code"]


@pytest.mark.parametrize("held", ROLES)
@pytest.mark.parametrize("needed", ROLES)
async def test_a_role_does_what_it_covers_and_no_more(client, held, needed):
    expected = (200, str(ROOT)) if held.rank >= needed.rank else (403, "forbidden")
    assert await answer(client, KEYS[ROOT, held], ROOT, needed) == expected
    assert await answer(client, KEYS[ROOT, held], ROOT, needed, "POST") == expected


@pytest.mark.parametrize("own", PLACES)
@pytest.mark.parametrize("asked", [*PLACES, UNKNOWN, PLATFORM_ID])
async def test_a_key_reaches_its_workspace_and_its_children_never_sideways_or_upwards(
    client, own, asked
):
    may = own == asked or (own == PARENT and asked in {CHILD, SIBLING})
    expected = (200, str(asked)) if may else (404, "workspace_not_found")
    assert await answer(client, KEYS[own, Role.OWNER], asked) == expected


async def test_the_refusal_does_not_tell_whether_a_workspace_exists(client):
    refusals = []
    for asked in (STRANGER, UNKNOWN):
        path = f"/w/{asked}/viewer"
        response = await client.get(path, headers=bearer(KEYS[ROOT, Role.OWNER]))
        body = {name: response.json()[name] for name in ("status", "code", "title", "detail")}
        refusals.append(body)
    assert refusals[0] == refusals[1]


async def test_reach_ends_after_one_level():
    directory = filled()
    grandchild = UUID(int=6)
    directory.apply(
        access(grandchild, kind=WorkspaceKind.CHILD, parent_workspace_id=CHILD, api_keys=[])
    )
    async with client_of(directory) as client:
        status, _ = await answer(client, KEYS[PARENT, Role.OWNER], grandchild)
    assert status == 404


@pytest.mark.parametrize("asked", PLACES)
async def test_a_platform_administrator_passes_everywhere(client, asked):
    assert await answer(client, ADMINISTRATOR, asked, Role.OWNER, "POST") == (200, str(asked))
    assert (await answer(client, ADMINISTRATOR, UNKNOWN))[0] == 404
    response = await client.get("/platform", headers=bearer(ADMINISTRATOR))
    assert response.json() == f"key:{ADMINISTRATOR.key_id}"


async def test_nobody_else_acts_for_the_platform(client):
    response = await client.get("/platform", headers=bearer(KEYS[ROOT, Role.OWNER]))
    assert (response.status_code, response.json()["code"]) == (403, "forbidden")
    assert (await client.get("/platform")).status_code == 401


async def test_the_administrators_role_counts_in_the_platform_workspace_only():
    directory = filled()
    key = new_api_key()
    directory.apply(access(ROOT, api_keys=[grant(key, Role.ADMINISTRATOR)], revision=2))
    async with client_of(directory) as client:
        assert (await answer(client, key, STRANGER))[0] == 404
        assert (await client.get("/platform", headers=bearer(key))).status_code == 403


def failures(reason: str) -> float:
    name = "passferry_authentication_failures_total"
    return REGISTRY.get_sample_value(name, {"reason": reason}) or 0.0


GOOD = KEYS[ROOT, Role.OWNER].presented


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "missing"),
        ({"authorization": ""}, "invalid"),
        ({"authorization": "Bearer"}, "invalid"),
        ({"authorization": f"ApplePass {GOOD}"}, "invalid"),
        ({"authorization": "Bearer pf_live_x_y_z"}, "invalid"),
        ({"authorization": f"Bearer {GOOD[:-1]}"}, "invalid"),
        ({"authorization": f"Bearer {GOOD}0"}, "invalid"),
        ({"authorization": f"Bearer {GOOD.upper()}"}, "invalid"),
        ({"authorization": f"Bearer {new_api_key().presented}"}, "invalid"),
        ({"authorization": "Bearer " + "x" * 5_000}, "invalid"),
        ({"authorization": b"Bearer pf_live_\xff_\xff_\xff"}, "invalid"),
        ({"x-api-key": "pf_live_nonsense"}, "invalid"),
        ({"authorization": "Basic dTpw", "x-api-key": GOOD}, "invalid"),
    ],
)
async def test_a_request_without_a_valid_key_is_refused_and_counted(client, headers, reason):
    # proves: J77
    before = failures(reason)
    response = await client.get(f"/w/{ROOT}/viewer", headers=headers)
    assert (response.status_code, response.json()["code"]) == (401, "unauthorized")
    assert response.headers["www-authenticate"] == "Bearer"
    assert failures(reason) == before + 1


async def test_a_key_is_taken_from_either_header_in_any_spelling_of_the_scheme(client):
    for headers in ({"x-api-key": GOOD}, {"authorization": f"bearer  {GOOD}"}):
        assert (await client.get(f"/w/{ROOT}/viewer", headers=headers)).status_code == 200


async def test_a_known_id_with_another_secret_is_refused_although_its_checksum_fits():
    key, other = KEYS[ROOT, Role.OWNER], new_api_key()
    directory = AccessDirectory()
    forged = ApiKeyGrant(key_id=other.key_id, secret_sha256=key.secret_sha256, role=Role.OWNER)
    directory.apply(access(ROOT, api_keys=[forged]))
    assert directory.authenticate(other.presented, NOW) is None


async def test_a_revoked_or_expired_key_is_refused_and_a_rotation_has_two_that_work():
    directory = filled()
    old, new, gone = new_api_key(), new_api_key(), new_api_key()
    grants = [
        grant(old, Role.OWNER, expires_at=NOW + timedelta(hours=1)),
        grant(new, Role.OWNER),
        grant(gone, Role.OWNER, revoked=True),
    ]
    directory.apply(access(ROOT, api_keys=grants, revision=2))
    clock = FixedClock(NOW)
    async with client_of(directory, clock=clock) as client:
        statuses = [(await answer(client, key, ROOT))[0] for key in (old, new, gone)]
        assert statuses == [200, 200, 401]
        clock.advance(timedelta(hours=1))
        statuses = [(await answer(client, key, ROOT))[0] for key in (old, new, gone)]
        assert statuses == [401, 200, 401]


async def test_a_suspended_workspace_is_read_and_not_changed():
    directory = filled()
    directory.apply(access(ROOT, suspended=True, revision=2))
    async with client_of(directory) as client:
        key = KEYS[ROOT, Role.OWNER]
        assert (await answer(client, key, ROOT))[0] == 200
        refused = (403, "workspace_suspended")
        assert await answer(client, key, ROOT, method="POST") == refused
        assert (await answer(client, ADMINISTRATOR, ROOT, method="POST"))[0] == 200


async def test_the_children_of_a_suspended_parent_are_suspended_and_only_they():
    directory = filled()
    directory.apply(access(PARENT, suspended=True, revision=2))
    suspended = {each for each in PLACES if directory.is_suspended(each)}
    assert suspended == {PARENT, CHILD, SIBLING}


def test_a_workspace_that_names_itself_as_its_parent_does_no_harm():
    directory = AccessDirectory()
    directory.apply(access(CHILD, parent_workspace_id=CHILD, suspended=True))
    assert directory.is_suspended(CHILD)


@pytest.mark.parametrize("mode", ["multi-tenant", "single-tenant", "anonymous"])
async def test_each_mode_lets_in_whom_it_should(mode):
    # proves: J68
    async with client_of(filled(), mode=mode, single_workspace_id=ROOT) as client:
        own = (await answer(client, KEYS[ROOT, Role.OWNER], ROOT))[0]
        foreign_key = (await answer(client, KEYS[STRANGER, Role.OWNER], STRANGER))[0]
        nobody = (await client.post(f"/w/{ROOT}/owner")).status_code
        elsewhere = (await client.get(f"/w/{STRANGER}/viewer")).status_code
        platform = (await client.get("/platform")).status_code
    assert (own, foreign_key, nobody, elsewhere, platform) == {
        "multi-tenant": (200, 200, 401, 401, 401),
        "single-tenant": (200, 401, 401, 401, 401),
        "anonymous": (200, 404, 200, 404, 403),
    }[mode]


async def test_in_single_tenant_mode_the_one_workspace_does_not_reach_its_children():
    # proves: J68
    async with client_of(filled(), mode="single-tenant", single_workspace_id=PARENT) as client:
        assert (await answer(client, KEYS[PARENT, Role.OWNER], PARENT))[0] == 200
        assert (await answer(client, KEYS[PARENT, Role.OWNER], CHILD))[0] == 404
        assert (await answer(client, ADMINISTRATOR, CHILD))[0] == 200


def test_only_roots_and_children_may_hold_passes():
    # proves: J67
    directory = filled()
    may = {each for each in (*PLACES, UNKNOWN, PLATFORM_ID) if directory.may_hold_passes(each)}
    assert may == {ROOT, CHILD, SIBLING, STRANGER}


def test_a_business_id_names_its_workspace_until_that_gives_it_up():
    directory = AccessDirectory()
    directory.apply(access(ROOT, business_ids=["shop-1"]))
    assert directory.workspace_of_business("shop-1") == ROOT
    directory.apply(access(STRANGER, business_ids=["shop-2"]))
    directory.apply(access(ROOT, business_ids=[], revision=2))
    assert directory.workspace_of_business("shop-1") is None
    assert directory.workspace_of_business("shop-2") == STRANGER


def test_an_older_revision_changes_nothing_and_a_removed_workspace_is_gone():
    directory = AccessDirectory()
    directory.apply(access(ROOT, suspended=True, revision=3))
    directory.apply(access(ROOT, suspended=False, revision=2))
    assert directory.is_suspended(ROOT)
    directory.remove(ROOT)
    assert not directory.is_known(ROOT)
    assert directory.workspace(ROOT) is None
    assert directory.authenticate(KEYS[ROOT, Role.OWNER].presented, NOW) is None


def test_removing_a_workspace_leaves_a_key_of_the_same_id_elsewhere():
    directory, key = AccessDirectory(), new_api_key()
    directory.apply(access(ROOT, api_keys=[grant(key, Role.OWNER)]))
    directory.apply(access(STRANGER, api_keys=[grant(key, Role.VIEWER)]))
    directory.remove(ROOT)
    found = directory.authenticate(key.presented, NOW)
    assert found is not None
    assert found.workspace_id == STRANGER


def test_a_new_key_is_random_and_keeps_only_its_hash():
    first, second = new_api_key(), new_api_key()
    assert first.presented.startswith("pf_live_")
    assert len({first.key_id, second.key_id, first.presented, second.presented}) == 4
    assert first.secret_sha256 not in first.presented
    assert len(first.presented.split("_")[3]) == 64
