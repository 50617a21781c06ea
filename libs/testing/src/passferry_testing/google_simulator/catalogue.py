"""The classes and objects that the platform holds, and the rules by which they change."""

from __future__ import annotations

import copy
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from passferry_testing.google_simulator.discovery import (
    PLATFORM_FIELDS,
    VERTICALS,
    Discovery,
    normal_enum,
)
from passferry_testing.google_simulator.refusals import (
    AlreadyExists,
    ApiRefusal,
    BadRequest,
    IssuerForbidden,
    NotificationQuotaExceeded,
    ResourceNotFound,
    SchemaViolated,
)

Kind = Literal["Class", "Object"]
Resource = dict[str, Any]

#: Who saves when a test does not care who.
DEFAULT_USER = "user"

_RESOURCE_ID = re.compile(r"([0-9]+)\.([A-Za-z0-9._-]+)")
_NOTIFICATION_WINDOW_S = 24 * 3600
_MAX_MESSAGES = 10
_MAX_MERCHANT_LOCATIONS = 10
_BALANCE_FORMS = ("string", "int", "double", "money")
_MAX_USERS = 10_000


@dataclass(frozen=True, slots=True)
class ResourceType:
    """A vertical's class or object, such as loyalty + Object."""

    vertical: str
    kind: Kind

    @property
    def schema(self) -> str:
        return f"{self.vertical[0].upper()}{self.vertical[1:]}{self.kind}"

    @property
    def payload_key(self) -> str:
        """Its key in a save link's payload: `loyaltyClasses`."""
        return f"{self.vertical}{self.kind}{'es' if self.kind == 'Class' else 's'}"

    @property
    def class_type(self) -> ResourceType:
        return ResourceType(self.vertical, "Class")


TYPES = {
    f"{vertical}{kind}".lower(): ResourceType(vertical, kind)
    for vertical in VERTICALS
    for kind in ("Class", "Object")
}
PAYLOAD_TYPES = {resource_type.payload_key: resource_type for resource_type in TYPES.values()}


@dataclass
class Rules:
    """Switches for what the real platform does differently from time to time."""

    notifications_per_day: int | None = 3
    #: One budget for messages and field updates together; the docs do not say, so the strict way.
    shared_notification_budget: bool = True
    quota_status: int = 429
    #: Prefixes of image addresses that Google cannot fetch: writing one fails the whole request.
    unreachable_images: list[str] = field(default_factory=list)


@dataclass
class Held:
    """One stored resource."""

    resource_type: ResourceType
    body: Resource
    users: set[str] = field(default_factory=set)
    #: (time, "update" or "message") of notifying changes, oldest first.
    notified: deque[tuple[float, str]] = field(default_factory=deque)

    @property
    def is_class(self) -> bool:
        return self.resource_type.kind == "Class"


class Catalogue:
    """All resources of all issuers. `now` gives seconds since the epoch."""

    def __init__(self, discovery: Discovery, rules: Rules, now: Callable[[], float]) -> None:
        self._discovery = discovery
        self._rules = rules
        self._now = now
        #: Ids are unique per issuer over all verticals, classes and objects apart.
        self._held: dict[Kind, dict[str, Held]] = {"Class": {}, "Object": {}}

    def clear(self) -> None:
        for held in self._held.values():
            held.clear()

    def objects(self) -> Iterator[Held]:
        yield from self._held["Object"].values()

    def classes(self) -> Iterator[Held]:
        yield from self._held["Class"].values()

    def object(self, object_id: str) -> Held | None:
        return self._held["Object"].get(object_id)

    def class_of(self, object_id: str) -> Resource:
        """The class that a stored object belongs to."""
        class_id: str = self._held["Object"][object_id].body["classId"]
        return self._held["Class"][class_id].body

    def insert(self, resource_type: ResourceType, body: Any, *, issuer_id: str) -> Held:
        """Store a new resource; raises AlreadyExists when the id is taken."""
        self.check(resource_type, body, complete=True)
        clean = _without_nulls(_without_platform_fields(body))
        resource_id = clean["id"]
        own_issuer(resource_id, issuer_id)
        if resource_id in self._held[resource_type.kind]:
            raise AlreadyExists(f"{_title(resource_type)} {resource_id} already exists")
        clean.pop("notifyPreference", None)
        held = Held(resource_type, clean)
        self._admit(held, before=None)
        self._held[resource_type.kind][resource_id] = held
        return held

    def get(self, resource_type: ResourceType, resource_id: str, *, issuer_id: str) -> Held:
        own_issuer(resource_id, issuer_id)
        held = self._held[resource_type.kind].get(resource_id)
        if held is None or held.resource_type != resource_type:
            reason = "classNotFound" if resource_type.kind == "Class" else "resourceNotFound"
            raise ResourceNotFound(f"{_title(resource_type)} {resource_id} not found", reason)
        return held

    def patch(
        self, resource_type: ResourceType, resource_id: str, body: Any, *, issuer_id: str
    ) -> Held:
        """Merge: objects key by key, arrays as a whole; null clears a field."""
        self.check(resource_type, body, complete=False)
        held = self.get(resource_type, resource_id, issuer_id=issuer_id)
        merged = _merged(held.body, _without_platform_fields(body))
        _check_balances(merged)
        return self._replace(held, merged, sent=body)

    def update(
        self, resource_type: ResourceType, resource_id: str, body: Any, *, issuer_id: str
    ) -> Held:
        """Full replacement: what the body omits is gone."""
        self.check(resource_type, body, complete=True)
        held = self.get(resource_type, resource_id, issuer_id=issuer_id)
        return self._replace(held, _without_nulls(_without_platform_fields(body)), sent=body)

    def add_message(
        self, resource_type: ResourceType, resource_id: str, body: Any, *, issuer_id: str
    ) -> Held:
        """Append one message; TEXT_AND_NOTIFY spends the notification budget."""
        self._check_schema("AddMessageRequest", body, complete=False)
        message = body.get("message")
        if not message:
            raise BadRequest("Missing required field: message")
        held = self.get(resource_type, resource_id, issuer_id=issuer_id)
        messages = held.body.get("messages", [])
        if len(messages) >= _MAX_MESSAGES:
            raise BadRequest(f"At most {_MAX_MESSAGES} messages are allowed; remove old ones first")
        if normal_enum(message.get("messageType")) == "TEXTANDNOTIFY":
            self._spend_notification(held, "message")
        held.body["messages"] = [*messages, copy.deepcopy(message)]
        return held

    def modify_linked_offers(self, resource_type: ResourceType, resource_id: str, body: Any, *,
                             issuer_id: str) -> Held:  # fmt: skip
        self._check_schema("ModifyLinkedOfferObjectsRequest", body, complete=False)
        held = self.get(resource_type, resource_id, issuer_id=issuer_id)
        change = body.get("linkedOfferObjectIds", {})
        removed = set(change.get("removeLinkedOfferObjectIds", []))
        kept = [one for one in held.body.get("linkedOfferIds", []) if one not in removed]
        held.body["linkedOfferIds"] = kept + change.get("addLinkedOfferObjectIds", [])
        return held

    def page(
        self, resource_type: ResourceType, *, issuer_id: str, class_id: str | None,
        offset: int, limit: int | None,
    ) -> tuple[list[Held], int | None]:  # fmt: skip
        """Resources of an issuer (objects: of one class), and the offset of the next page."""
        chosen = [
            held
            for resource_id, held in self._held[resource_type.kind].items()
            if held.resource_type == resource_type
            and resource_id.startswith(f"{issuer_id}.")
            and (class_id is None or held.body["classId"] == class_id)
        ]
        end = len(chosen) if limit is None else offset + limit
        return chosen[offset:end], end if end < len(chosen) else None

    def save(self, object_id: str, user: str) -> bool:
        """A user saves the object; False when this user had it already."""
        held = self._held["Object"][object_id]
        if user in held.users or len(held.users) >= _MAX_USERS:
            return False
        held.users.add(user)
        return True

    def delete(self, object_id: str, user: str) -> bool:
        """A user removes the object from the wallet; False when this user did not have it."""
        held = self._held["Object"].get(object_id)
        if held is None or user not in held.users:
            return False
        held.users.remove(user)
        return True

    def answer(self, held: Held) -> Resource:
        """The resource as the API shows it, with the fields that only the platform sets."""
        body = copy.deepcopy(held.body)
        if not held.is_class:
            body["hasUsers"] = bool(held.users)
            if held.resource_type.vertical != "generic":
                parent = self._held["Class"].get(held.body["classId"])
                body["classReference"] = copy.deepcopy(parent.body) if parent else {}
        return body

    def check(self, resource_type: ResourceType, body: Any, *, complete: bool) -> None:
        """Check a body against its schema and the platform's limits; raises BadRequest."""
        self._check_schema(resource_type.schema, body, complete=complete)
        if "id" in body and not _RESOURCE_ID.fullmatch(body["id"]):
            raise BadRequest(f"Invalid resource ID: {body['id']}", "invalidResource")
        if len(body.get("messages") or []) > _MAX_MESSAGES:
            raise BadRequest(f"At most {_MAX_MESSAGES} messages are allowed")
        if len(body.get("merchantLocations") or []) > _MAX_MERCHANT_LOCATIONS:
            raise BadRequest(f"At most {_MAX_MERCHANT_LOCATIONS} merchant locations are allowed")
        _check_balances(body)
        for address in _image_addresses(body):
            if not address.startswith(("https://", "http://")):
                raise BadRequest(f"Image cannot be loaded: {address}", "imageNotLoadable")
            if address.startswith(tuple(self._rules.unreachable_images)):
                raise BadRequest(f"Image cannot be loaded: {address}", "imageNotLoadable")

    def _check_schema(self, schema: str, body: Any, *, complete: bool) -> None:
        violations = self._discovery.violations(schema, body, complete=complete)
        if violations:
            raise SchemaViolated("; ".join(str(one) for one in violations[:10]))

    def _replace(self, held: Held, body: Resource, *, sent: Resource) -> Held:
        if body.get("id", held.body["id"]) != held.body["id"]:
            raise BadRequest(f"Invalid resource ID: {body['id']} is not the one addressed")
        body["id"] = held.body["id"]
        body.pop("notifyPreference", None)  # ephemeral: it concerns this request only
        changed = Held(held.resource_type, body, held.users, held.notified)
        if held.is_class and held.resource_type.vertical != "generic":
            _check_review(sent.get("reviewStatus"), held.body.get("reviewStatus"))
        self._admit(changed, before=held.body)
        if normal_enum(sent.get("notifyPreference")) == "NOTIFYONUPDATE":
            self._spend_notification(held, "update")
        held.body = body
        return held

    def _admit(self, held: Held, *, before: Resource | None) -> None:
        """The checks that look beyond the body, before it is stored."""
        if held.is_class:
            if held.resource_type.vertical != "generic":
                if before is None:
                    _check_review(held.body["reviewStatus"], None)
                if normal_enum(held.body["reviewStatus"]) == "UNDERREVIEW":
                    held.body["reviewStatus"] = "APPROVED"  # at once, as the platform does
            return
        class_id = held.body["classId"]
        issuer_id = held.body["id"].partition(".")[0]
        if not class_id.startswith(f"{issuer_id}."):
            raise BadRequest("classId belongs to another issuer than the object")
        parent = self._held["Class"].get(class_id)
        if parent is None or parent.resource_type != held.resource_type.class_type:
            raise ResourceNotFound(f"Wallet Object Class {class_id} not found", "classNotFound")
        if normal_enum(parent.body.get("reviewStatus")) == "DRAFT":
            raise BadRequest(f"Class {class_id} is a draft and cannot hold objects")

    def _spend_notification(self, held: Held, kind: str) -> None:
        limit = self._rules.notifications_per_day
        now = self._now()
        while held.notified and held.notified[0][0] <= now - _NOTIFICATION_WINDOW_S:
            held.notified.popleft()
        shared = self._rules.shared_notification_budget
        spent = sum(shared or spent_kind == kind for _, spent_kind in held.notified)
        if limit is not None:
            if spent >= limit:
                raise NotificationQuotaExceeded(self._rules.quota_status)
            held.notified.append((now, kind))


def own_issuer(resource_id: str, issuer_id: str) -> None:
    """Refuse an id that is malformed or of an issuer that the account is no user of."""
    found = _RESOURCE_ID.fullmatch(resource_id)
    if not found:
        raise BadRequest(f"Invalid resource ID: {resource_id}", "invalidResource")
    if found[1] != issuer_id:
        raise IssuerForbidden(found[1])


def platform_fields_in(body: Any) -> list[str]:
    """Names in `body` that only the platform may set."""
    return sorted(PLATFORM_FIELDS.intersection(body)) if isinstance(body, dict) else []


def refusal_text(refusal: ApiRefusal) -> str:
    return f"{refusal.status} {refusal.reason}: {refusal.message}"


def _title(resource_type: ResourceType) -> str:
    return "Wallet Object Class" if resource_type.kind == "Class" else "Wallet Object"


def _check_balances(body: Resource) -> None:
    for name in ("loyaltyPoints", "secondaryLoyaltyPoints"):
        balance = (body.get(name) or {}).get("balance")
        if balance is not None and _given(balance, _BALANCE_FORMS) != 1:
            raise BadRequest(f"{name}.balance must have exactly one of {_BALANCE_FORMS}")


def _check_review(sent: object, before: object) -> None:
    wanted, present = normal_enum(sent), normal_enum(before)
    if wanted not in ("UNDERREVIEW", "DRAFT"):
        raise BadRequest("reviewStatus must be UNDER_REVIEW (or DRAFT on a class never submitted)")
    if wanted == "DRAFT" and present not in ("", "DRAFT"):
        raise BadRequest("An approved class cannot return to DRAFT")


def _without_platform_fields(body: Resource) -> Resource:
    return {
        name: copy.deepcopy(value) for name, value in body.items() if name not in PLATFORM_FIELDS
    }


def _without_nulls(node: Any) -> Any:
    """A null is a member that was not sent."""
    if isinstance(node, dict):
        return {name: _without_nulls(value) for name, value in node.items() if value is not None}
    if isinstance(node, list):
        return [_without_nulls(value) for value in node]
    return node


def _given(node: Resource, names: Iterable[str]) -> int:
    return sum(node.get(name) is not None for name in names)


def _merged(present: Resource, change: Resource) -> Resource:
    merged = dict(present)
    for name, value in change.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, dict):
            before = merged.get(name)
            merged[name] = _merged(before if isinstance(before, dict) else {}, value)
        else:
            merged[name] = value
    return merged


def _image_addresses(node: Any) -> Iterable[str]:
    if isinstance(node, dict):
        source = node.get("sourceUri")
        if isinstance(source, dict) and isinstance(source.get("uri"), str):
            yield source["uri"]
        for value in node.values():
            yield from _image_addresses(value)
    elif isinstance(node, list):
        for value in node:
            yield from _image_addresses(value)
