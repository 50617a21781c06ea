"""Serves the API's methods: authentication, quota, faults, then what the catalogue does."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from passferry_testing.faults import FaultSchedule
from passferry_testing.google_simulator.accounts import Account, Accounts
from passferry_testing.google_simulator.catalogue import (
    PAYLOAD_TYPES,
    TYPES,
    Catalogue,
    Held,
    ResourceType,
    Rules,
    platform_fields_in,
)
from passferry_testing.google_simulator.discovery import Route, load_discovery
from passferry_testing.google_simulator.faults import GoogleFault
from passferry_testing.google_simulator.refusals import (
    ApiRefusal,
    BadRequest,
    IssuerForbidden,
    RateLimited,
    ResourceNotFound,
    SaveLinkRefused,
    SchemaViolated,
    Unauthenticated,
)
from passferry_testing.google_simulator.request_log import LoggedRequest, RequestLog
from passferry_testing.google_simulator.save_page import SavePage

_MAX_PAGE = 1000
_MAX_BUCKETS = 10_000
_TOO_MANY = 429


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """One request as the transport read it; `path` has no leading slash."""

    method: str
    path: str
    query: Mapping[str, str]
    authorization: str | None
    body: bytes


@dataclass(frozen=True, slots=True)
class _Call:
    """A request that was routed, allowed and decoded."""

    route: Route
    resource_id: str
    query: Mapping[str, str]
    issuer_id: str
    body: Any


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float


class WalletApi:
    """Answers `ApiRequest`s with (status, JSON)."""

    def __init__(
        self, *, accounts: Accounts, catalogue: Catalogue, save_page: SavePage, log: RequestLog,
        faults: FaultSchedule[GoogleFault], rules: Rules, now: Callable[[], float],
        requests_per_second: float | None, legacy_enums: bool,
    ) -> None:  # fmt: skip
        self._accounts = accounts
        self._catalogue = catalogue
        self._save_page = save_page
        self._log = log
        self._faults = faults
        self._rules = rules
        self._now = now
        self._discovery = load_discovery()
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._actions: Mapping[str, Callable[[_Call, ResourceType], dict[str, Any]]] = {
            "insert": self._insert,
            "get": self._get,
            "list": self._list,
            "patch": self._patch,
            "update": self._update,
            "addmessage": self._add_message,
            "modifylinkedofferobjects": self._link_offers,
        }
        self._others: Mapping[str, Callable[[_Call], dict[str, Any]]] = {
            "jwt.insert": self._jwt_insert,
            "jwt.validate": self._jwt_validate,
            "issuer.get": self._issuer_get,
            "issuer.list": self._issuer_list,
        }
        self.requests_per_second = requests_per_second
        self.legacy_enums = legacy_enums
        self.base_url = ""

    async def answer(self, request: ApiRequest) -> tuple[int, dict[str, Any]]:
        """Handle one request; every outcome is logged."""
        started = time.perf_counter()
        found = self._discovery.route(request.method, request.path)
        call = f"{found[0].resource}.{found[0].action}" if found else "unknown"
        account = self._accounts.account_of(request.authorization)
        reason = ""
        try:
            status, answer = 200, await self._handle(request, found, call, account)
        except ApiRefusal as refusal:
            status, answer, reason = refusal.status, refusal.envelope(), refusal.reason
            if isinstance(refusal, SchemaViolated) or found is None:
                self._log.violate(f"{request.method} /{request.path}: {refusal.message}")
        self._log.add(
            LoggedRequest(
                number=self._log.total + 1,
                at=self._now(),
                method=request.method,
                path=f"/{request.path}",
                call=call,
                issuer_id=account.issuer_id if account else "",
                status=status,
                reason=reason,
                duration_ms=round((time.perf_counter() - started) * 1000, 3),
            )
        )
        return status, answer

    async def _handle(
        self, request: ApiRequest, found: tuple[Route, str | None] | None, call: str,
        account: Account | None,
    ) -> dict[str, Any]:  # fmt: skip
        if found is None:
            raise ResourceNotFound(f"Method not found: {request.method} /{request.path}")
        if account is None:
            raise Unauthenticated("Request had invalid authentication credentials.")
        route, resource_id = found
        body = self._decode(request, route)
        fault, delay_s = self._faults.decide(_subject(resource_id, body), call)
        await asyncio.sleep(delay_s)
        if fault and fault.when == "before":
            raise _injected(fault)
        self._take_from_bucket(account.client_email)
        self._note_platform_fields(call, body)
        answer = self._perform(
            _Call(route, resource_id or "", request.query, account.issuer_id, body)
        )
        if fault:
            raise _injected(fault)
        return answer

    def _decode(self, request: ApiRequest, route: Route) -> Any:
        for name in request.query:
            if name not in route.query:
                raise SchemaViolated(f'Unknown name "{name}": Cannot bind query parameter.')
        if route.request_schema is None:
            if request.body:
                raise SchemaViolated("This method takes no body")
            return None
        try:
            body = json.loads(request.body)
        except ValueError as broken:
            raise SchemaViolated("Invalid JSON payload received.") from broken
        if not isinstance(body, dict):
            raise SchemaViolated("Invalid JSON payload received: the root must be an object.")
        return body

    def _take_from_bucket(self, client_email: str) -> None:
        rate = self.requests_per_second
        if rate is None:
            return
        now = self._now()
        bucket = self._buckets.setdefault(client_email, _Bucket(rate, now))
        bucket.tokens = min(rate, bucket.tokens + (now - bucket.filled_at) * rate)
        bucket.filled_at = now
        if len(self._buckets) > _MAX_BUCKETS:
            self._buckets.popitem(last=False)
        if bucket.tokens < 1:
            raise RateLimited(_TOO_MANY)
        bucket.tokens -= 1

    def _note_platform_fields(self, call: str, body: Any) -> None:
        for name in platform_fields_in(body):
            self._log.violate(f"{call}: {name} is set by the platform only")

    def _perform(self, call: _Call) -> dict[str, Any]:
        resource_type = TYPES.get(call.route.resource)
        if resource_type is not None and call.route.action in self._actions:
            return self._actions[call.route.action](call, resource_type)
        other = self._others.get(f"{call.route.resource}.{call.route.action}")
        if other is None:
            raise ApiRefusal(501, "notImplemented", "This method is not simulated.")
        return other(call)

    def _show(self, held: Held) -> dict[str, Any]:
        body = self._catalogue.answer(held)
        if self.legacy_enums:
            spelled: dict[str, Any] = self._discovery.legacy_spelling(
                held.resource_type.schema, body
            )
            return spelled
        return body

    def _insert(self, call: _Call, resource_type: ResourceType) -> dict[str, Any]:
        held = self._catalogue.insert(resource_type, call.body, issuer_id=call.issuer_id)
        return self._show(held)

    def _get(self, call: _Call, resource_type: ResourceType) -> dict[str, Any]:
        held = self._catalogue.get(resource_type, call.resource_id, issuer_id=call.issuer_id)
        return self._show(held)

    def _patch(self, call: _Call, resource_type: ResourceType) -> dict[str, Any]:
        return self._show(
            self._catalogue.patch(
                resource_type, call.resource_id, call.body, issuer_id=call.issuer_id
            )
        )

    def _update(self, call: _Call, resource_type: ResourceType) -> dict[str, Any]:
        return self._show(
            self._catalogue.update(
                resource_type, call.resource_id, call.body, issuer_id=call.issuer_id
            )
        )

    def _add_message(self, call: _Call, resource_type: ResourceType) -> dict[str, Any]:
        held = self._catalogue.add_message(
            resource_type, call.resource_id, call.body, issuer_id=call.issuer_id
        )
        return {"resource": self._show(held)}

    def _link_offers(self, call: _Call, resource_type: ResourceType) -> dict[str, Any]:
        held = self._catalogue.modify_linked_offers(
            resource_type, call.resource_id, call.body, issuer_id=call.issuer_id
        )
        return self._show(held)

    def _list(self, call: _Call, resource_type: ResourceType) -> dict[str, Any]:
        class_id = None
        if resource_type.kind == "Class":
            issuer_id = call.query.get("issuerId", "")
        else:
            class_id = call.query.get("classId", "")
            issuer_id = class_id.partition(".")[0]
        if not issuer_id:
            raise BadRequest("issuerId (classes) or classId (objects) is required")
        if issuer_id != call.issuer_id:
            raise IssuerForbidden(issuer_id)
        held, following = self._catalogue.page(
            resource_type,
            issuer_id=issuer_id,
            class_id=class_id,
            offset=_page_offset(call.query.get("token")),
            limit=_page_limit(call.query.get("maxResults")),
        )
        pagination: dict[str, Any] = {"resultsPerPage": len(held)}
        if following is not None:
            pagination["nextPageToken"] = base64.urlsafe_b64encode(b"%d" % following).decode()
        return {"resources": [self._show(one) for one in held], "pagination": pagination}

    def _jwt_insert(self, call: _Call) -> dict[str, Any]:
        token = str(call.body.get("jwt", ""))
        held = self._open_token(token, call, is_dry_run=False)
        resources: dict[str, list[Any]] = {}
        for one in held:
            resources.setdefault(one.resource_type.payload_key, []).append(self._show(one))
        return {"saveUri": f"{self.base_url}/gp/v/save/{token}", "resources": resources}

    def _jwt_validate(self, call: _Call) -> dict[str, Any]:
        self._check_body(call)
        if len(call.body) != 1:
            raise BadRequest("Exactly one of jwtResource and jsonResource is required")
        if "jwtResource" in call.body:
            self._open_token(str(call.body["jwtResource"].get("jwt", "")), call, is_dry_run=True)
            return {}
        try:
            payload = json.loads(call.body["jsonResource"].get("json", ""))["payload"]
            pairs = [(PAYLOAD_TYPES[key], item) for key, items in payload.items() for item in items]
        except (ValueError, KeyError, TypeError, AttributeError) as broken:
            raise BadRequest("jsonResource.json is not a save link's claims") from broken
        for resource_type, item in pairs:
            self._catalogue.check(resource_type, item, complete=True)
        return {}

    def _open_token(self, token: str, call: _Call, *, is_dry_run: bool) -> list[Held]:
        self._check_body(call)
        try:
            return self._save_page.open(token, is_dry_run=is_dry_run)
        except SaveLinkRefused as refused:
            raise BadRequest(f"Invalid JWT: {refused.reason}") from refused

    def _issuer_get(self, call: _Call) -> dict[str, Any]:
        if call.resource_id != call.issuer_id:
            raise IssuerForbidden(call.resource_id)
        return _issuer(call.issuer_id)

    def _issuer_list(self, call: _Call) -> dict[str, Any]:
        return {"resources": [_issuer(call.issuer_id)]}

    def _check_body(self, call: _Call) -> None:
        schema = call.route.request_schema
        assert schema is not None
        violations = self._discovery.violations(schema, call.body, complete=True)
        if violations:
            raise SchemaViolated("; ".join(str(one) for one in violations))


def _subject(resource_id: str | None, body: Any) -> str:
    if resource_id:
        return resource_id
    return str(body.get("id", "")) if isinstance(body, dict) else ""


def _injected(fault: GoogleFault) -> ApiRefusal:
    return ApiRefusal(fault.status or 500, fault.reason, fault.message)


def _issuer(issuer_id: str) -> dict[str, Any]:
    return {"issuerId": issuer_id, "name": "Passferry demo issuer"}


def _page_offset(token: str | None) -> int:
    if token is None:
        return 0
    try:
        return max(0, int(base64.urlsafe_b64decode(token)))
    except ValueError as broken:
        raise BadRequest("Invalid page token") from broken


def _page_limit(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdigit() or not 0 < int(text) <= _MAX_PAGE:
        raise BadRequest(f"maxResults must be from 1 to {_MAX_PAGE}")
    return int(text)
