"""The way past the framework for commands that are as they should be: see ADR 0014."""

from __future__ import annotations

import re
from uuid import UUID

from fastapi import Request
from fastapi.responses import Response

from passferry_ledger.entrypoints.command_bodies import ACTIONS, Action
from passferry_ledger.entrypoints.http_commands import router, submit
from passferry_ledger.entrypoints.pass_addresses import EXTERNAL, MAX_EXTERNAL_ID, address_of
from passferry_runtime.auth import Authenticator
from passferry_runtime.http import Shortcut

_PATH = r"/api/v1/workspaces/([0-9a-f-]{36})/passes/([^/]{1,%d})/%s"
_KEY = b"idempotency-key"


def command_shortcuts() -> list[Shortcut]:
    """The actions of a till, the busiest first."""
    names = ("redeem", "earn", "use", "load")
    return [_shortcut(ACTIONS[name]) for name in names]


def _shortcut(action: Action) -> Shortcut:
    async def answer(request: Request, path: re.Match[str], body: bytes) -> Response | None:
        if not _is_plain(request):
            return None
        try:
            workspace_id = UUID(path[1])
            said = action.body.model_validate_json(body)
        except ValueError:
            return None
        authenticator: Authenticator = request.state.authenticator
        scope = authenticator.scope_of(request, workspace_id, action.role)
        return await submit(
            request,
            scope,
            action.kind,
            said,
            address_of(workspace_id, path[2]),
            key=request.headers[_KEY.decode()],
            dry_run=False,
        )

    return Shortcut(
        method="POST",
        path=re.compile(_PATH % (len(EXTERNAL) + MAX_EXTERNAL_ID, action.name)),
        template=f"{router.prefix}/{action.name}",
        answer=answer,
    )


def _is_plain(request: Request) -> bool:
    """JSON under one key, with nothing in the query and no other wish."""
    headers = request.scope["headers"]
    names = [name for name, _ in headers]
    return (
        not request.scope["query_string"]
        and names.count(_KEY) == 1
        and b"dry-run" not in names
        and (b"content-type", b"application/json") in headers
    )
