"""HTTP in front of the simulator: the API, the token endpoint, the save page and the controls."""

from __future__ import annotations

import asyncio
import html
import json
from collections.abc import Awaitable, Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route

from passferry_testing.google_simulator.accounts import GrantRefused
from passferry_testing.google_simulator.api import ApiRequest
from passferry_testing.google_simulator.catalogue import DEFAULT_USER, refusal_text
from passferry_testing.google_simulator.faults import GoogleFault
from passferry_testing.google_simulator.refusals import SaveLinkRefused, SchemaViolated
from passferry_testing.google_simulator.request_log import LoggedRequest

if TYPE_CHECKING:  # the simulator builds this application, so it is only named here
    from passferry_testing.google_simulator.simulator import GoogleSimulator

_MAX_BODY = 1 << 20
_MAX_LISTED = 10_000
_KEYS_MAX_AGE_S = 3600
_VERBS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


class _ControlBody(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SwitchesBody(_ControlBody):
    """Behaviours to turn on or off; what is absent stays as it is."""

    legacy_enums: bool | None = None
    requests_per_second: float | None = Field(default=None, gt=0)
    is_rate_limited: bool | None = None
    notifications_per_day: int | None = Field(default=None, ge=0)
    shared_notification_budget: bool | None = None
    quota_status: int | None = Field(default=None, ge=400, le=499)
    unreachable_images: list[str] | None = None
    callbacks: dict[str, float | int | str] = {}


class FaultsBody(_ControlBody):
    rules: list[GoogleFault] = []
    switches: SwitchesBody = SwitchesBody()


class UserActionBody(_ControlBody):
    object_id: str = ""
    save_link: str = ""
    user: str = DEFAULT_USER


class AccountBody(_ControlBody):
    issuer_id: str = Field(pattern=r"^[0-9]{1,32}$")


class ClockBody(_ControlBody):
    advance_s: float


def application(simulator: GoogleSimulator) -> Starlette:
    """Build the ASGI application for one simulator."""
    front = _Front(simulator)
    control = _Control(simulator)
    return Starlette(
        routes=[
            Route("/walletobjects/v1/{path:path}", front.api, methods=_VERBS),
            Route("/token", front.token, methods=["POST"]),
            Route("/gp/v/save/{token}", front.save),
            Route("/gp/m/issuer/keys", front.root_keys),
            Mount("/_control", routes=control.routes()),
        ]
    )


class _Front:
    """What Google shows to the world."""

    def __init__(self, simulator: GoogleSimulator) -> None:
        self._simulator = simulator

    async def api(self, request: Request) -> Response:
        body = await request.body()
        if len(body) > _MAX_BODY:
            return Response(status_code=413)
        status, answer = await self._simulator.api.answer(
            ApiRequest(
                method=request.method,
                path=request.url.path.lstrip("/"),
                query=dict(request.query_params),
                authorization=request.headers.get("authorization"),
                body=body,
            )
        )
        return JSONResponse(answer, status_code=status)

    async def token(self, request: Request) -> Response:
        form = await _form(request)
        fault, delay_s = self._simulator.faults.decide("", "token")
        await asyncio.sleep(delay_s)
        if fault:
            answer = {"error": fault.reason, "error_description": fault.message}
            return self._logged(request, "token", fault.status or 500, answer)
        try:
            granted = self._simulator.accounts.grant(
                form.get("grant_type", ""),
                form.get("assertion", ""),
                token_uri=self._simulator.token_url,
            )
        except GrantRefused as refused:
            answer = {"error": refused.error, "error_description": refused.description}
            return self._logged(request, "token", 400, answer)
        return self._logged(request, "token", 200, granted)

    async def save(self, request: Request) -> Response:
        """The user's browser opens the link, and the user saves. `?user=` tells users apart."""
        user = request.query_params.get("user", DEFAULT_USER)
        try:
            object_ids = self._simulator.open_save_link(request.path_params["token"], user)
        except SaveLinkRefused as refused:
            return self._page(request, 400, "Something went wrong", refused.reason)
        except SchemaViolated as violated:
            self._simulator.log.violate(f"save link: {violated.message}")
            return self._page(request, 400, "Something went wrong", refusal_text(violated))
        return self._page(request, 200, "Saved to Google Wallet", ", ".join(object_ids))

    async def root_keys(self, request: Request) -> Response:
        headers = {"cache-control": f"public, max-age={_KEYS_MAX_AGE_S}"}
        return JSONResponse(self._simulator.keys.root_keys(), headers=headers)

    def _page(self, request: Request, status: int, title: str, detail: str) -> Response:
        self._log(request, "save_page", status, "" if status == 200 else detail)
        if "application/json" in request.headers.get("accept", ""):
            return JSONResponse({"title": title, "detail": detail}, status_code=status)
        text = f"<title>{html.escape(title)}</title><h1>{html.escape(title)}</h1>"
        return HTMLResponse(f"<!doctype html>{text}<p>{html.escape(detail)}</p>", status)

    def _logged(self, request: Request, call: str, status: int, answer: Any) -> Response:
        self._log(request, call, status, answer.get("error", ""))
        return JSONResponse(answer, status_code=status)

    def _log(self, request: Request, call: str, status: int, reason: str) -> None:
        log = self._simulator.log
        # The token of a save link is the pass's whole content: its path is not repeated here.
        path = "/gp/v/save/…" if call == "save_page" else request.url.path
        log.add(
            LoggedRequest(
                log.total + 1, self._simulator.now(), request.method, path, call, "", status,
                reason, 0.0,
            )
        )  # fmt: skip


class _Control:
    """The test's and the demo's hand on the simulator."""

    def __init__(self, simulator: GoogleSimulator) -> None:
        self._simulator = simulator

    def routes(self) -> list[Route]:
        return [
            Route("/addresses", self._addresses),
            Route("/objects", self._objects),
            Route("/classes", self._classes),
            Route("/objects/{object_id}", self._object),
            Route("/phone/{object_id}", self._phone),
            Route("/requests", self._requests),
            Route("/summary", self._summary),
            Route("/callbacks", self._callbacks),
            Route("/service-accounts", _checked(AccountBody, self._account), methods=["POST"]),
            Route("/faults", _checked(FaultsBody, self._faults), methods=["POST"]),
            Route("/clock", _checked(ClockBody, self._clock), methods=["POST"]),
            Route("/save", _checked(UserActionBody, self._save), methods=["POST"]),
            Route("/delete", _checked(UserActionBody, self._delete), methods=["POST"]),
            Route("/tokens", self._revoke, methods=["DELETE"]),
            Route("/reset", self._reset, methods=["POST"]),
        ]

    async def _addresses(self, request: Request) -> Response:
        return JSONResponse(self._simulator.addresses)

    async def _objects(self, request: Request) -> Response:
        held = list(self._simulator.catalogue.objects())[:_MAX_LISTED]
        return JSONResponse({"objects": [self._simulator.catalogue.answer(one) for one in held]})

    async def _classes(self, request: Request) -> Response:
        held = list(self._simulator.catalogue.classes())[:_MAX_LISTED]
        return JSONResponse({"classes": [self._simulator.catalogue.answer(one) for one in held]})

    async def _object(self, request: Request) -> Response:
        held = self._simulator.catalogue.object(request.path_params["object_id"])
        if held is None:
            return JSONResponse({"error": "no such object"}, status_code=404)
        return JSONResponse(self._simulator.catalogue.answer(held))

    async def _phone(self, request: Request) -> Response:
        view = self._simulator.phone(request.path_params["object_id"])
        if view is None:
            return JSONResponse({"error": "no such object"}, status_code=404)
        return JSONResponse(view)

    async def _requests(self, request: Request) -> Response:
        since = int(request.query_params.get("since", "0"))
        requests = self._simulator.log.since(since, _MAX_LISTED)
        return JSONResponse({"summary": self._simulator.log.summary(), "requests": requests})

    async def _summary(self, request: Request) -> Response:
        objects = list(self._simulator.catalogue.objects())
        return JSONResponse(
            self._simulator.log.summary()
            | {
                "objects": len(objects),
                "installed": sum(bool(one.users) for one in objects),
                "callbacks_pending": self._simulator.sender.pending,
            }
        )

    async def _callbacks(self, request: Request) -> Response:
        return JSONResponse({"callbacks": self._simulator.sender.summary()})

    async def _account(self, body: AccountBody) -> Response:
        return JSONResponse(self._simulator.create_service_account(None, body.issuer_id))

    async def _faults(self, body: FaultsBody) -> Response:
        self._simulator.faults.add(body.rules)
        self._switch(body.switches)
        return JSONResponse(
            {"rules": [[rule.model_dump(), n] for rule, n in self._simulator.faults.fired]}
        )

    async def _clock(self, body: ClockBody) -> Response:
        self._simulator.advance_clock(body.advance_s)
        return JSONResponse({"now": self._simulator.now()})

    async def _save(self, body: UserActionBody) -> Response:
        if body.save_link:
            try:
                token = body.save_link.rsplit("/", 1)[-1]
                saved = self._simulator.open_save_link(token, body.user)
            except SaveLinkRefused as refused:
                return JSONResponse({"error": refused.reason}, status_code=400)
            except SchemaViolated as violated:
                self._simulator.log.violate(f"save link: {violated.message}")
                return JSONResponse({"error": violated.message}, status_code=400)
            return JSONResponse({"saved": saved})
        if self._simulator.catalogue.object(body.object_id) is None:
            return JSONResponse({"error": "no such object"}, status_code=404)
        changed = self._simulator.save(body.object_id, body.user)
        return JSONResponse({"saved": [body.object_id] if changed else []})

    async def _delete(self, body: UserActionBody) -> Response:
        changed = self._simulator.delete(body.object_id, body.user)
        return JSONResponse({"deleted": [body.object_id] if changed else []})

    async def _revoke(self, request: Request) -> Response:
        self._simulator.accounts.revoke_tokens()
        return JSONResponse({})

    async def _reset(self, request: Request) -> Response:
        self._simulator.reset()
        return JSONResponse({})

    def _switch(self, switches: SwitchesBody) -> None:
        api, rules = self._simulator.api, self._simulator.rules
        chosen = switches.model_dump(exclude_unset=True)
        for name in ("quota_status", "shared_notification_budget", "unreachable_images"):
            if name in chosen:
                setattr(rules, name, chosen[name])
        if "notifications_per_day" in chosen:
            rules.notifications_per_day = chosen["notifications_per_day"]
        if switches.legacy_enums is not None:
            api.legacy_enums = switches.legacy_enums
        if switches.is_rate_limited is False:
            api.requests_per_second = None
        elif switches.requests_per_second is not None:
            api.requests_per_second = switches.requests_per_second
        known = {one.name for one in fields(self._simulator.callback_switches)}
        for name, value in switches.callbacks.items():
            if name in known:
                setattr(self._simulator.callback_switches, name, value)


def _checked(
    model: type[Any], handler: Callable[[Any], Awaitable[Response]]
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            body = model.model_validate(json.loads(await request.body() or b"{}"))
        except (ValidationError, ValueError) as fault:
            return JSONResponse({"error": str(fault)}, status_code=422)
        return await handler(body)

    return endpoint


async def _form(request: Request) -> dict[str, str]:
    """Read a form body without a multipart parser."""
    return dict(parse_qsl((await request.body()).decode("utf-8", "replace")))
