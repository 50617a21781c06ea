"""The checks that APNs makes on a request, in its order, with its reasons."""

import json
import re
import uuid

from passferry_testing.apns_simulator.http2 import Request
from passferry_testing.apns_simulator.verdicts import Push, Refusal, Sender

MAX_PAYLOAD_BYTES = 4096
MAX_COLLAPSE_ID_BYTES = 64
DEVICE_PATH = "/3/device/"
BACKGROUND_PRIORITIES = frozenset({b"1", b"5"})
_APNS_ID = re.compile(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TOKEN = re.compile(r"(?:[0-9a-f]{2}){8,100}", re.IGNORECASE)
_TOPIC = re.compile(r"[A-Za-z0-9.-]{1,255}")
_EXPIRATION = re.compile(rb"\d{1,19}")
_EMPTY_PAYLOADS: tuple[object, ...] = ({}, {"aps": {}})

Headers = dict[bytes, bytes]


def requested_apns_id(request: Request) -> str:
    """The apns-id to answer with: the sender's if it is well formed, else a new one."""
    for name, value in request.headers:
        if name == b"apns-id" and _APNS_ID.fullmatch(value):
            return value.decode()
    return str(uuid.uuid4())


def check_route(request: Request) -> Refusal | None:
    path = request.pseudo[b":path"]
    if not path.startswith(DEVICE_PATH.encode()):
        return Refusal(404, "BadPath")
    if request.pseudo[b":method"] != b"POST":
        return Refusal(405, "MethodNotAllowed")
    if len(path) == len(DEVICE_PATH):
        return Refusal(400, "MissingDeviceToken")
    return None


def check_headers(request: Request) -> Headers | Refusal:
    """Collect the apns-* and authorization headers; none may come twice."""
    collected: Headers = {}
    for name, value in request.headers:
        if name.startswith(b"apns-") or name == b"authorization":
            if name in collected:
                return Refusal(400, "DuplicateHeaders")
            collected[name] = value
    return collected


def check_push(request: Request, headers: Headers, sender: Sender, apns_id: str) -> Push | Refusal:
    """Judge everything but the device: header values, topic, payload."""
    topic = headers.get(b"apns-topic", b"").decode("latin-1")
    for check in (_check_apns_id, _check_push_type, _check_expiration, _check_collapse_id):
        refusal = check(headers)
        if refusal is not None:
            return refusal
    refusal = _check_topic(topic, sender) or _check_payload(request)
    if refusal is not None:
        return refusal
    token = request.pseudo[b":path"].decode("latin-1")[len(DEVICE_PATH) :]
    if not _TOKEN.fullmatch(token):
        return Refusal(400, "BadDeviceToken")
    return _push(token.lower(), topic, apns_id, headers)


def _push(token: str, topic: str, apns_id: str, headers: Headers) -> Push:
    push_type = headers.get(b"apns-push-type")
    expiration = headers.get(b"apns-expiration")
    collapse_id = headers.get(b"apns-collapse-id")
    return Push(
        token=token,
        topic=topic,
        apns_id=apns_id,
        priority=int(headers[b"apns-priority"]),
        push_type=None if push_type is None else push_type.decode(),
        expiration=None if expiration is None else int(expiration),
        collapse_id=None if collapse_id is None else collapse_id.decode("utf-8", "replace"),
    )


def _check_apns_id(headers: Headers) -> Refusal | None:
    apns_id = headers.get(b"apns-id")
    if apns_id is not None and not _APNS_ID.fullmatch(apns_id):
        return Refusal(400, "BadMessageId")
    return None


def _check_push_type(headers: Headers) -> Refusal | None:
    # The real service takes a pass push without a type; one of another type is our mistake.
    if headers.get(b"apns-push-type", b"background") != b"background":
        return Refusal(400, "InvalidPushType")
    # An absent priority means 10, which is an error for background pushes.
    if headers.get(b"apns-priority", b"10") not in BACKGROUND_PRIORITIES:
        return Refusal(400, "BadPriority")
    return None


def _check_expiration(headers: Headers) -> Refusal | None:
    expiration = headers.get(b"apns-expiration")
    if expiration is not None and not _EXPIRATION.fullmatch(expiration):
        return Refusal(400, "BadExpirationDate")
    return None


def _check_collapse_id(headers: Headers) -> Refusal | None:
    if len(headers.get(b"apns-collapse-id", b"")) > MAX_COLLAPSE_ID_BYTES:
        return Refusal(400, "BadCollapseId")
    return None


def _check_topic(topic: str, sender: Sender) -> Refusal | None:
    if not topic:
        return Refusal(400, "MissingTopic")
    if not _TOPIC.fullmatch(topic):
        return Refusal(400, "BadTopic")
    if topic not in sender.topics:
        return Refusal(400, "TopicDisallowed")
    return None


def _check_payload(request: Request) -> Refusal | None:
    if request.body_bytes == 0:
        return Refusal(400, "PayloadEmpty")
    if request.body_bytes > MAX_PAYLOAD_BYTES:
        return Refusal(413, "PayloadTooLarge")
    if request.body in (b"{}", b'{"aps":{}}'):
        return None
    try:
        payload = json.loads(request.body)
    except ValueError:
        return Refusal(400, "PayloadEmpty")
    # Stricter than the real service, which ignores the content: a pass push carries none.
    return None if payload in _EMPTY_PAYLOADS else Refusal(400, "BadPayload")
