"""The HTTP application: problems, limits, ids, and routes that must say who may call them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from prometheus_client import REGISTRY
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import PlainTextResponse

from passferry_contracts.types import Role
from passferry_runtime.auth import public, require, require_platform
from passferry_runtime.errors import (
    Conflict,
    FieldError,
    Forbidden,
    Invalid,
    NotFound,
    Problem,
    TooLarge,
    TooMany,
    Unauthorized,
    Unavailable,
)
from passferry_runtime.http import create_app, long_body, state_of
from passferry_runtime.problems import (
    MAX_FIELD_ERRORS,
    MAX_TEXT_CHARACTERS,
    MEDIA_TYPE,
    problem_response,
)
from passferry_runtime.route_access import UnguardedRoute, access_table

PROBLEMS = [
    (Unauthorized("no_key", "send a key"), 401),
    (Forbidden("forbidden", "no"), 403),
    (NotFound("pass_not_found", "no such pass"), 404),
    (Conflict("in_work", "wait"), 409),
    (TooLarge("image_too_large", "smaller"), 413),
    (Invalid("amount_invalid", "no", errors=[FieldError("amount", "too small")]), 422),
    (TooMany("slow_down", "later", retry_after_s=7), 429),
    (Unavailable("database_away", "later", retry_after_s=2), 503),
    (Problem(418, "teapot", "short and stout", title="Teapot"), 418),
]


class Item(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str = Field(max_length=5)
    amount_minor: int = Field(strict=True, gt=0)


def router() -> APIRouter:
    made = APIRouter()

    @made.post("/items/{item_id}")
    @public
    async def make(item_id: int, item: Item, request: Request) -> dict[str, object]:
        return {"name": item.name, "shop": state_of(request, "shop")}

    @made.post("/raw")
    @public
    async def raw(request: Request) -> dict[str, int]:
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
        return {"size": size}

    @made.post("/items/{item_id}/file")
    @public
    @long_body(5_000)
    async def file(item_id: int, request: Request) -> dict[str, int]:
        return {"size": sum([len(chunk) async for chunk in request.stream()])}

    @made.get("/problems/{number}")
    @public
    async def problem(number: int) -> None:
        raise PROBLEMS[number][0]

    @made.get("/broken")
    @public
    async def broken() -> None:
        raise RuntimeError("internal secret")

    @made.get("/refused")
    @public
    async def refused() -> None:
        raise HTTPException(415, "only JSON", headers={"Accept-Post": "application/json"})

    return made


def application(**options: object) -> FastAPI:
    options = {"routers": [router()], "state": {"shop": "café"}, "max_body_bytes": 1_000} | options
    return create_app(title="Test", version="1", **options)


@asynccontextmanager
async def client_of(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


@pytest.fixture
async def client():
    async with client_of(application()) as opened:
        yield opened


def check_problem(response: httpx.Response, status: int, code: str) -> dict:
    assert response.status_code == status
    assert response.headers["content-type"] == MEDIA_TYPE
    body = response.json()
    assert {"type", "title", "status", "detail", "code", "instance", "trace_id"} <= set(body)
    assert (body["status"], body["code"]) == (status, code)
    assert body["instance"] == response.request.url.path[:MAX_TEXT_CHARACTERS]
    assert response.headers["x-request-id"]
    return body


@pytest.mark.parametrize("number", range(len(PROBLEMS)))
async def test_every_problem_is_told_as_problem_json(client, number):
    problem, status = PROBLEMS[number]
    response = await client.get(f"/problems/{number}")
    body = check_problem(response, status, problem.code)
    assert body["detail"] == problem.detail
    assert body.get("errors") == ([vars_of(e) for e in problem.errors] or None)
    retry_after = None if problem.retry_after_s is None else str(problem.retry_after_s)
    assert response.headers.get("retry-after") == retry_after
    assert ("www-authenticate" in response.headers) == (status == 401)


def vars_of(error: FieldError) -> dict[str, str]:
    return {"field": error.field, "message": error.message}


async def test_what_the_framework_refuses_is_told_the_same_way(client):
    check_problem(await client.get("/nowhere"), 404, "not_found")
    response = await client.put("/items/1")
    check_problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "POST"
    response = await client.get("/refused")
    check_problem(response, 415, "media_type_unsupported")
    assert response.headers["accept-post"] == "application/json"


async def test_a_fault_of_ours_says_nothing_about_its_cause(client):
    response = await client.get("/broken")
    check_problem(response, 500, "internal_error")
    assert "secret" not in response.text


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (b'{"name": "x", "amount_minor": 0}', "amount_minor"),
        (b'{"name": "x", "amount_minor": 1.0}', "amount_minor"),
        (b'{"name": "x", "amount_minor": "1"}', "amount_minor"),
        (b'{"name": "too long", "amount_minor": 1}', "name"),
        (b'{"name": "x", "amount_minor": 1, "other": 1}', "other"),
        (b'{"amount_minor": 1}', "name"),
        (b"{not json", "body"),
        (b"[]", "body"),
        (b"", "body"),
        (b'{"name": "x", "amount_minor": 1, "\\ud800": 1}', "body"),
    ],
)
async def test_a_bad_body_gets_a_problem_that_names_the_field(client, content, field):
    headers = {"content-type": "application/json"}
    response = await client.post("/items/1", content=content, headers=headers)
    body = check_problem(response, 422, "validation_failed")
    assert field in [error["field"] for error in body["errors"]]


async def test_a_body_nested_too_deep_is_refused_and_not_a_fault_of_ours(client):
    async with client_of(application(max_body_bytes=1_000_000)) as wide:
        headers = {"content-type": "application/json"}
        response = await wide.post("/items/1", content=b"[" * 200_000, headers=headers)
    assert response.status_code in {400, 422}
    assert response.headers["content-type"] == MEDIA_TYPE


async def test_a_bad_path_parameter_is_named(client):
    response = await client.post("/items/x", json={"name": "x", "amount_minor": 1})
    body = check_problem(response, 422, "validation_failed")
    assert body["errors"][0]["field"] == "item_id"


async def test_the_number_and_the_length_of_field_errors_are_bounded(client):
    async with client_of(application(max_body_bytes=1_000_000)) as wide:
        many = {f"{number}" + "x" * 2_000: 1 for number in range(100)}
        response = await wide.post("/items/1", json=many)
    body = check_problem(response, 422, "validation_failed")
    assert len(body["errors"]) == MAX_FIELD_ERRORS
    assert len(response.content) < 60_000


def test_text_that_json_cannot_hold_does_not_break_the_problem_itself():
    problem = Invalid("odd", "half \ud800", errors=[FieldError("\udfff", "odd")])
    response = problem_response(problem, instance="/x")
    assert b"half \\\\ud800" in response.body


async def test_state_is_at_hand_in_each_request(client):
    response = await client.post("/items/1", json={"name": "x", "amount_minor": 1})
    assert response.json() == {"name": "x", "shop": "café"}


async def chunks(count: int, size: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"x" * size


@pytest.mark.parametrize("path", ["/raw", "/items/1"])
async def test_a_body_over_the_limit_is_refused_however_it_is_sent(client, path):
    headers = {"content-type": "application/json"}
    declared = await client.post(path, content=b"x" * 1_001, headers=headers)
    check_problem(declared, 413, "body_too_large")
    chunked = await client.post(path, content=chunks(11, 100), headers=headers)
    assert "content-length" not in chunked.request.headers
    check_problem(chunked, 413, "body_too_large")


async def test_a_body_at_the_limit_is_read_however_it_is_sent(client):
    assert (await client.post("/raw", content=b"x" * 1_000)).json() == {"size": 1_000}
    assert (await client.post("/raw", content=chunks(10, 100))).json() == {"size": 1_000}


async def test_a_route_of_long_bodies_has_a_limit_of_its_own(client):
    assert (await client.post("/items/1/file", content=b"x" * 5_000)).json() == {"size": 5_000}
    declared = await client.post("/items/1/file", content=b"x" * 5_001)
    check_problem(declared, 413, "body_too_large")
    chunked = await client.post("/items/1/file", content=chunks(51, 100))
    check_problem(chunked, 413, "body_too_large")
    # Neither another method nor a path that only begins alike shares it.
    for method, path in (("PUT", "/items/1/file"), ("POST", "/items/1/file/more")):
        other = await client.request(method, path, content=b"x" * 1_001)
        check_problem(other, 413, "body_too_large")


async def test_a_body_that_lies_about_its_length_is_still_bounded(client):
    headers = {"content-length": "1"}
    response = await client.post("/raw", content=chunks(11, 100), headers=headers)
    check_problem(response, 413, "body_too_large")


async def test_an_over_long_address_or_header_is_refused(client):
    check_problem(await client.get("/" + "x" * 5_000), 414, "address_too_long")
    response = await client.get("/nowhere", params={"q": "x" * 5_000})
    check_problem(response, 414, "address_too_long")
    response = await client.get("/nowhere", headers={"x-long": "x" * 20_000})
    check_problem(response, 431, "headers_too_large")


async def test_a_request_id_is_kept_when_it_is_harmless_and_made_otherwise(client):
    kept = await client.get("/nowhere", headers={"x-request-id": "order-7"})
    assert kept.headers["x-request-id"] == "order-7"
    for odd in ("", "x" * 65, "a b", "<script>"):
        made = (await client.get("/nowhere", headers={"x-request-id": odd})).headers
        assert made["x-request-id"] not in {"", odd}


async def test_a_trace_goes_on_and_answers_carry_security_headers(client):
    traceparent = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    response = await client.get("/broken", headers={"traceparent": traceparent})
    assert response.json()["trace_id"] == "a" * 32
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"


async def test_an_address_with_a_slash_too_many_is_not_redirected(client):
    check_problem(await client.get("/broken/"), 404, "not_found")


def requests_counted(**labels: str) -> float:
    return REGISTRY.get_sample_value("passferry_http_request_seconds_count", labels) or 0.0


async def test_requests_are_counted_by_template_and_never_by_what_a_caller_invents(client):
    template = {"route": "/items/{item_id}", "method": "POST", "status_class": "2xx"}
    before = requests_counted(**template)
    await client.post("/items/1", json={"name": "x", "amount_minor": 1})
    await client.post("/items/2", json={"name": "x", "amount_minor": 1})
    assert requests_counted(**template) == before + 2
    unmatched = {"route": "unmatched", "method": "other", "status_class": "4xx"}
    before = requests_counted(**unmatched)
    await client.request("INVENTED", "/nowhere/1")
    await client.request("INVENTED2", "/nowhere/2")
    assert requests_counted(**unmatched) == before + 2


async def test_a_nested_router_is_counted_by_its_whole_template():
    outer = APIRouter()
    outer.include_router(router(), prefix="/api/v1")
    async with client_of(application(routers=[outer])) as client:
        labels = {"route": "/api/v1/raw", "method": "POST", "status_class": "2xx"}
        before = requests_counted(**labels)
        await client.post("/api/v1/raw", content=b"x")
    assert requests_counted(**labels) == before + 1


def unguarded() -> APIRouter:
    made = APIRouter()

    @made.get("/open")
    async def forgotten() -> None: ...

    return made


def nested(inner: APIRouter, **options: object) -> APIRouter:
    outer = APIRouter()
    outer.include_router(inner, **options)
    return outer


def plain() -> APIRouter:
    made = APIRouter()
    made.add_route("/plain", lambda request: PlainTextResponse("open"))
    return made


def websocket() -> APIRouter:
    made = APIRouter()

    @made.websocket("/socket")
    async def socket(websocket: object) -> None: ...

    return made


@pytest.mark.parametrize(
    "forgetful",
    [
        unguarded(),
        nested(unguarded(), prefix="/deep"),
        nested(nested(unguarded())),
        websocket(),
    ],
)
def test_a_route_that_says_nothing_about_access_is_not_served(forgetful):
    # proves: J69
    with pytest.raises(UnguardedRoute):
        application(routers=[forgetful])


def test_a_route_made_by_hand_is_served_and_listed_as_such():
    assert access_table(plain().routes)["GET", "/plain"] == "by_hand"


def test_the_access_of_every_route_can_be_listed_however_it_is_guarded():
    # proves: J69
    inner = APIRouter(dependencies=[Depends(require(Role.MEMBER))])

    @inner.get("/w/{workspace_id}/a")
    async def a(workspace_id: UUID) -> None: ...

    outer = nested(inner, prefix="/v1")

    @outer.post("/admin", dependencies=[Depends(require_platform())])
    async def admin() -> None: ...

    @outer.get("/open")
    @public
    async def is_open() -> None: ...

    outer.include_router(unguarded(), prefix="/late", dependencies=[Depends(require(Role.OWNER))])
    assert access_table(application(routers=[outer], docs=False).routes) == {
        ("GET", "/v1/w/{workspace_id}/a"): Role.MEMBER,
        ("POST", "/admin"): Role.ADMINISTRATOR,
        ("GET", "/open"): "public",
        ("GET", "/late/open"): Role.OWNER,
    }


def test_the_description_says_who_may_call_and_how_refusals_look():
    made = APIRouter()

    @made.post("/w/{workspace_id:str}/a", dependencies=[Depends(require(Role.MEMBER))])
    async def a(workspace_id: UUID, item: Item) -> None:
        """Does it."""

    @made.get("/open")
    @public
    async def is_open() -> None: ...

    document = application(routers=[made]).openapi()
    guarded, opened = document["paths"]["/w/{workspace_id}/a"]["post"], document["paths"]["/open"]
    assert guarded["security"] == [{"bearer": []}, {"apiKey": []}]
    assert guarded["description"] == "Does it.\n\nNeeds the role `member`."
    assert set(guarded["responses"]) == {"200", "4XX"}
    assert opened["get"]["security"] == []
    assert "HTTPValidationError" not in document["components"]["schemas"]
