"""What the HTTP routes share: opening work, refusals as problems, idempotent answers, pages."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from fastapi import Request
from pydantic import BaseModel, ConfigDict, model_validator
from starlette.responses import JSONResponse

from passferry_pass_issuer.application.administer_programs import ChangeProgram, CreateProgram
from passferry_pass_issuer.application.administer_workspaces import (
    ApiKeys,
    ChangeWorkspace,
    CreateApiKey,
    CreateWorkspace,
    RevokeApiKey,
    Workspaces,
)
from passferry_pass_issuer.application.bundle_passes import BundlePasses
from passferry_pass_issuer.application.change_passes import ChangeFields, EndPass
from passferry_pass_issuer.application.check_inbound_signatures import KeepInboundSecrets
from passferry_pass_issuer.application.count_ends import CountEnds
from passferry_pass_issuer.application.count_funnel import FunnelStore
from passferry_pass_issuer.application.credential_ports import CredentialStore
from passferry_pass_issuer.application.edit_templates import (
    ChangeTemplate,
    CreateTemplate,
    StoreTemplateFile,
    Templates,
)
from passferry_pass_issuer.application.issue_passes import IssuePasses
from passferry_pass_issuer.application.keep_brand import KeepBrand
from passferry_pass_issuer.application.lint_templates import LintTemplate
from passferry_pass_issuer.application.ports import (
    Passes,
    Programs,
    SigningUnavailable,
    Transaction,
)
from passferry_pass_issuer.application.publish_and_roll_out import PublishAndRollOut
from passferry_pass_issuer.application.template_images import StoreTemplateImage
from passferry_pass_issuer.application.watch_credentials import WatchCredentials
from passferry_pass_issuer.application.work import Work, Workbench
from passferry_pass_issuer.domain.issuing import IssueRefused
from passferry_pass_issuer.domain.refusals import ContentRejected, Unreadable
from passferry_pass_issuer.entrypoints.credential_desk import CredentialDesk
from passferry_pass_issuer.entrypoints.job_desk import JobDesk
from passferry_pass_issuer.entrypoints.pass_life import PassLife
from passferry_runtime.crypto import DecryptionFailed
from passferry_runtime.errors import FieldError, Invalid, Problem
from passferry_runtime.http import state_of
from passferry_runtime.idempotency import fingerprint, parse_idempotency_key
from passferry_runtime.outbox import EventTooLarge
from passferry_runtime.postgres import CONTENDED, UNAVAILABLE

if TYPE_CHECKING:
    # The groups of routes that import this module say what they need themselves.
    from passferry_pass_issuer.entrypoints.http_imports import Imports
    from passferry_pass_issuer.entrypoints.http_links import Distribution

MAX_PAGE = 200
DEFAULT_PAGE = 50
#: More than any template needs.
MAX_BODY_DEPTH = 50
UNREADABLE_RETRY_S = 60

Body = dict[str, Any]
_HALF_SURROGATE = re.compile(r"[\ud800-\udfff]")


class RequestBody(BaseModel):
    """Members that we do not know are refused: a misspelt one would silently do nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _is_storable(cls, given: Any) -> Any:
        """JSON can write half a surrogate pair; UTF-8, and so whatever stores it, cannot. Nor can
        any depth be written again."""
        pending = [(given, 1)]
        while pending:
            item, depth = pending.pop()
            if depth > MAX_BODY_DEPTH:
                raise ValueError(f"is nested deeper than {MAX_BODY_DEPTH} levels")
            if isinstance(item, str) and not item.isascii() and _HALF_SURROGATE.search(item):
                raise ValueError("holds half a surrogate pair, which cannot be stored")
            if isinstance(item, dict):
                pending.extend((each, depth + 1) for each in (*item.keys(), *item.values()))
            elif isinstance(item, list):
                pending.extend((each, depth + 1) for each in item)
        return given


class Remembered(Protocol):
    @property
    def fingerprint(self) -> str: ...

    @property
    def status(self) -> int: ...

    @property
    def body(self) -> dict[str, Any]: ...


class Answers(Protocol):
    """What calls with an Idempotency-Key answered."""

    async def recall(
        self, transaction: Transaction, workspace_id: UUID, key: str, now: datetime
    ) -> Remembered | None: ...

    async def remember(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        key: str,
        now: datetime,
        *,
        fingerprint: str,
        status: int,
        body: dict[str, Any],
        subject_id: UUID | None = None,
    ) -> None: ...


@dataclass(frozen=True, kw_only=True)
class IssuerApi:
    """All that the routes use; `request.state.issuer`."""

    workbench: Workbench
    answers: Answers
    public_base_url: str
    workspaces: Workspaces
    api_keys: ApiKeys
    programs: Programs
    templates: Templates
    credentials: CredentialStore
    passes: Passes
    watch_credentials: WatchCredentials
    create_workspace: CreateWorkspace
    change_workspace: ChangeWorkspace
    create_api_key: CreateApiKey
    revoke_api_key: RevokeApiKey
    create_program: CreateProgram
    change_program: ChangeProgram
    create_template: CreateTemplate
    change_template: ChangeTemplate
    store_template_file: StoreTemplateFile
    lint_template: LintTemplate
    count_ends: CountEnds
    store_template_image: StoreTemplateImage
    keep_brand: KeepBrand
    desk: CredentialDesk
    publish_template: PublishAndRollOut
    issue_passes: IssuePasses
    change_fields: ChangeFields
    end_pass: EndPass
    life: PassLife
    distribution: Distribution
    keep_inbound_secrets: KeepInboundSecrets
    funnel: FunnelStore
    jobs: JobDesk
    bundle_passes: BundlePasses
    imports: Imports


def issuer_of(request: Request) -> IssuerApi:
    api: IssuerApi = state_of(request, "issuer")
    return api


@asynccontextmanager
async def working(
    request: Request, workspace_ids: Iterable[UUID], *, actor: str
) -> AsyncIterator[Work]:
    """One transaction for the request; what it refuses becomes a problem that names the field."""
    try:
        async with issuer_of(request).workbench.open(workspace_ids, actor=actor) as work:
            yield work
    except ContentRejected as refusal:
        raise problem_of(refusal) from refusal
    except DecryptionFailed as error:
        raise problem_of(Unreadable.of(error.context)) from error
    except EventTooLarge as error:
        raise Invalid("too_large", "what was asked for does not fit into one event") from error
    except CONTENDED as error:
        detail = "others were changing the same; nothing was done, try again"
        raise Problem(503, "busy", detail, retry_after_s=1) from error
    except SigningUnavailable as error:
        detail = "passes cannot be signed at the moment; nothing was done, try again"
        raise Problem(503, "signing_unavailable", detail, retry_after_s=2) from error
    except UNAVAILABLE as error:
        raise Problem(503, "database_unavailable", "try again shortly", retry_after_s=2) from error


def problem_of(refusal: ContentRejected) -> Problem:
    detail = f"{refusal.field} {refusal.detail}"
    errors = [FieldError(refusal.field, refusal.detail)]
    if isinstance(refusal, Unreadable):
        # No fault of the request: it goes through when whoever runs this has acted.
        return Problem(503, refusal.code, detail, errors=errors, retry_after_s=UNREADABLE_RETRY_S)
    status = refusal.status if isinstance(refusal, IssueRefused) else 422
    return Problem(status, refusal.code, detail, errors=errors)


async def answer_once(
    request: Request,
    work: Work,
    workspace_id: UUID,
    body: Mapping[str, Any],
    produce: Callable[[], Awaitable[Body]],
    *,
    status: int = 201,
    remembered: Callable[[Body], Body] = dict,
) -> JSONResponse:
    """Do `produce` once per Idempotency-Key; a repetition gets the answer of the first.

    A refusal is raised, so it rolls back and is not remembered: the corrected call may use the
    same key. An answer about a pass or a holder is forgotten when they are. `remembered` is
    what of the answer is kept, and told again.
    """
    key = _key_of(request)
    if key is None:
        return JSONResponse(await produce(), status)
    earlier = await answered(request, work, workspace_id, body)
    if earlier is not None:
        return earlier
    produced = await produce()
    await issuer_of(request).answers.remember(
        work.transaction,
        workspace_id,
        key,
        work.now,
        fingerprint=_mark(request, body),
        status=status,
        body=remembered(produced),
        subject_id=_subject_of(produced),
    )
    return JSONResponse(produced, status)


async def answered(
    request: Request, work: Work, workspace_id: UUID, body: Mapping[str, Any]
) -> JSONResponse | None:
    """What the same call was answered before; raises Invalid where its key was another call's."""
    key = _key_of(request)
    if key is None:
        return None
    earlier = await issuer_of(request).answers.recall(work.transaction, workspace_id, key, work.now)
    if earlier is None:
        return None
    if earlier.fingerprint != _mark(request, body):
        raise Invalid("idempotency_key_reused", "this Idempotency-Key was already used")
    return JSONResponse(earlier.body, earlier.status, {"Idempotency-Replayed": "true"})


def _key_of(request: Request) -> str | None:
    return parse_idempotency_key(request.headers.get("idempotency-key"), required=False)


def _mark(request: Request, body: Mapping[str, Any]) -> str:
    return fingerprint({"method": request.method, "path": request.url.path, "body": dict(body)})


def without(*names: str) -> Callable[[Body], Body]:
    """Leaves out what is shown once: a repetition has null in its place."""
    return lambda body: body | dict.fromkeys(names)


def _subject_of(body: Body) -> UUID | None:
    about = body.get("pass_id") or body.get("holder_id")
    return UUID(about) if isinstance(about, str) else None


def instant(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")


def page_of(items: Sequence[Body], limit: int, cursor: Sequence[str] | None) -> Body:
    """`cursor` stands for the last item; there is a next page only when this one is full."""
    is_last = cursor is None or len(items) < limit
    return {"data": list(items), "next_cursor": None if is_last else _encoded(cursor or ())}


def _encoded(parts: Sequence[str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(list(parts)).encode()).decode().rstrip("=")


def decode_cursor(cursor: str | None, parts: int) -> list[str] | None:
    """Raises `Invalid` for what is no cursor of ours."""
    if cursor is None:
        return None
    try:
        decoded = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except ValueError:
        decoded = None
    is_ours = isinstance(decoded, list) and len(decoded) == parts
    if not is_ours or not all(isinstance(part, str) for part in decoded):
        raise _no_cursor()
    return list(decoded)


def aged_cursor(cursor: str | None) -> tuple[datetime, UUID] | None:
    """A place in what is ordered by age: time and id."""
    parts = decode_cursor(cursor, 2)
    if parts is None:
        return None
    try:
        return datetime.fromisoformat(parts[0]).astimezone(UTC), UUID(parts[1])
    except (ValueError, OverflowError) as error:
        raise _no_cursor() from error


def id_cursor(cursor: str | None) -> UUID | None:
    parts = decode_cursor(cursor, 1)
    if parts is None:
        return None
    try:
        return UUID(parts[0])
    except ValueError as error:
        raise _no_cursor() from error


def _no_cursor() -> Invalid:
    return Invalid(
        "cursor_invalid", "take it from next_cursor", errors=[FieldError("cursor", "is not ours")]
    )
