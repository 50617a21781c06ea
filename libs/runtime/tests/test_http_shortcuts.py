"""The way past the framework: what it answers, what it leaves, and what it cannot get around."""

from __future__ import annotations

import re

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request
from prometheus_client import REGISTRY
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

from passferry_runtime.auth import public
from passferry_runtime.errors import Conflict
from passferry_runtime.http import Shortcut, create_app


class Order(BaseModel):
    amount: int


def app_with_shortcut() -> FastAPI:
    router = APIRouter()

    @router.post("/orders/{name}")
    @public
    async def order(name: str, body: Order) -> dict[str, object]:
        return {"name": name, "amount": body.amount, "way": "ordinary"}

    async def answer(request: Request, path: re.Match[str], body: bytes) -> Response | None:
        if path[1] == "refused":
            raise Conflict("in_work", "wait")
        if not body.startswith(b'{"amount":1'):
            return None
        return JSONResponse({"name": path[1], "way": "short", "id": request.state.request_id})

    shortcut = Shortcut(
        method="POST",
        path=re.compile(r"/orders/([a-z]+)"),
        template="/orders/{name}",
        answer=answer,
    )
    return create_app(
        title="t", version="0", routers=[router], shortcuts=[shortcut], max_body_bytes=100
    )


def client() -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app_with_shortcut())
    return httpx.AsyncClient(transport=transport, base_url="http://test")


def observed() -> float:
    labels = {"route": "/orders/{name}", "method": "POST", "status_class": "2xx"}
    return REGISTRY.get_sample_value("passferry_http_request_seconds_count", labels) or 0.0


async def test_a_shortcut_answers_with_ids_headers_and_metrics_of_its_route() -> None:
    before = observed()
    async with client() as http:
        response = await http.post("/orders/ada", content=b'{"amount":1}')
    assert response.json()["way"] == "short"
    assert response.headers["x-request-id"] == response.json()["id"]
    assert response.headers["x-content-type-options"] == "nosniff"
    assert observed() == before + 1


async def test_what_a_shortcut_leaves_goes_the_ordinary_way_with_its_body() -> None:
    async with client() as http:
        left = await http.post("/orders/ada", json={"amount": 2})
        wrong = await http.post("/orders/ada", json={})
        elsewhere = await http.get("/orders/ada")
    assert left.json() == {"name": "ada", "amount": 2, "way": "ordinary"}
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "amount")
    assert elsewhere.status_code == 405


async def test_a_problem_of_a_shortcut_is_answered_as_any_other() -> None:
    async with client() as http:
        response = await http.post("/orders/refused", content=b'{"amount":1}')
    assert (response.status_code, response.json()["code"]) == (409, "in_work")


@pytest.mark.parametrize("is_declared", [True, False])
async def test_a_shortcut_does_not_get_around_the_limit_of_bodies(is_declared: bool) -> None:
    async def pieces() -> object:
        for _ in range(20):
            yield b'{"amount":1'

    content = b'{"amount":1' * 20 if is_declared else pieces()
    async with client() as http:
        response = await http.post("/orders/ada", content=content)
    assert (response.status_code, response.json()["code"]) == (413, "body_too_large")
