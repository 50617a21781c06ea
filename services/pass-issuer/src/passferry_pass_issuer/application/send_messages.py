"""Puts messages on passes. A message is only a message: it changes no balance and no status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from passferry_contracts.events.deliveries import MessageIssued, MessageRequested
from passferry_contracts.registry import MESSAGE_ISSUED
from passferry_pass_issuer.application.life_ports import Messages, PassKey
from passferry_pass_issuer.application.ports import (
    Catalogue,
    PassChange,
    Passes,
    RevisionWriter,
)
from passferry_pass_issuer.application.render_revisions import RevisionStore
from passferry_pass_issuer.application.work import Work, Workbench
from passferry_pass_issuer.domain.wallet_pass import WalletPass, changed
from passferry_pass_issuer.metrics import MESSAGES
from passferry_runtime.errors import Conflict, NotFound, Rejected, RetryLater
from passferry_runtime.ids import uuid7

Verdict = RetryLater | Rejected | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    message_id: str
    header: str | None
    body: str
    notify: bool = True

    @property
    def shown(self) -> str:
        """As a field of the pass shows it."""
        return f"{self.header}\n{self.body}" if self.header else self.body


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenRequest:
    event_id: str
    data: MessageRequested


class Suspensions(Protocol):
    def is_suspended(self, workspace_id: UUID) -> bool: ...


@dataclass(frozen=True, kw_only=True)
class PutMessages:
    """What API and journeys share: told once per message and pass, shown where a template does."""

    messages: Messages
    revisions: RevisionWriter

    async def __call__(
        self, work: Work, given: Sequence[tuple[WalletPass, Message]]
    ) -> AbstractSet[tuple[PassKey, str]]:
        """Of locked, usable passes; returns which messages are new. The last of a pass is shown."""
        fresh = await self.messages.claim(
            work.transaction,
            {(row.workspace_id, row.pass_id, each.message_id) for row, each in given},
            now=work.now,
        )
        new: dict[tuple[PassKey, str], tuple[WalletPass, Message]] = {}
        for row, message in given:
            if (row.workspace_id, row.pass_id, message.message_id) in fresh:
                new.setdefault(
                    ((row.workspace_id, row.pass_id), message.message_id), (row, message)
                )
        event_ids = {key: str(uuid7()) for key in new}
        shown = await self._show(work, new, event_ids)
        for key, (row, message) in new.items():
            work.transaction.emit(
                MESSAGE_ISSUED,
                _issued(
                    work,
                    row.workspace_id,
                    message,
                    pass_id=row.pass_id,
                    has_google_part=shown.get(key[0], row).has_google_part,
                ),
                event_id=event_ids[key],
            )
        MESSAGES.labels(outcome="issued").inc(len(new))
        MESSAGES.labels(outcome="repeated").inc(len(given) - len(new))
        return new.keys()

    async def _show(
        self,
        work: Work,
        new: Mapping[tuple[PassKey, str], tuple[WalletPass, Message]],
        event_ids: Mapping[tuple[PassKey, str], str],
    ) -> Mapping[PassKey, WalletPass]:
        last = {key[0]: (key, row, message) for key, (row, message) in new.items()}
        changes = [
            PassChange(
                before=row,
                after=changed(row, latest_message=message.shown),
                causes=(
                    {"event_type": "message.issued", "event_id": event_ids[key], "reason": None},
                ),
                caused_at=work.now,
            )
            for key, row, message in last.values()
        ]
        stored = await self.revisions.store_showable(work.transaction, changes)
        # A pass that cannot be shown with it keeps what it showed; Google gets the message anyway.
        shown = [row for row in stored if isinstance(row, WalletPass)]
        await self.messages.show(work.transaction, shown)
        return {(row.workspace_id, row.pass_id): row for row in shown}


def _issued(
    work: Work,
    workspace_id: UUID,
    message: Message,
    *,
    pass_id: UUID | None = None,
    template_id: UUID | None = None,
    has_google_part: bool | None = None,
) -> MessageIssued:
    return MessageIssued(
        workspace_id=workspace_id,
        message_id=message.message_id,
        pass_id=pass_id,
        template_id=template_id,
        header=message.header,
        body=message.body,
        notify=message.notify,
        has_google_part=has_google_part,
        issued_at=work.now,
    )


@dataclass(frozen=True, kw_only=True)
class SendMessage:
    passes: Passes
    put: PutMessages

    async def __call__(
        self, work: Work, workspace_id: UUID, reference: str, message: Message
    ) -> tuple[UUID, bool]:
        """The pass, and whether the message was told now and not before."""
        found = await self.passes.find(work.transaction, workspace_id, reference, for_update=True)
        if found is None:
            raise NotFound("pass_not_found", "there is no such pass")
        if not found.is_usable:
            raise Conflict(f"pass_{found.status}", "a pass that ended gets no messages any more")
        is_new = bool(await self.put(work, [(found, message)]))
        if is_new:
            await _audit(work, workspace_id, found.pass_id, message)
        return found.pass_id, is_new


@dataclass(frozen=True, kw_only=True)
class SendClassMessage:
    """For everybody who has a pass of a template in Google Wallet; Apple knows no such thing."""

    catalogue: Catalogue
    messages: Messages

    async def __call__(
        self, work: Work, workspace_id: UUID, template_id: UUID, message: Message
    ) -> bool:
        """Whether the message was told now and not before."""
        published = await self.catalogue.newest_published(
            work.transaction, workspace_id, [template_id]
        )
        template = published.get(template_id)
        if template is None:
            raise NotFound("template_not_found", "there is no such published template")
        if template.google_issuer_id is None:
            raise Conflict("template_not_on_google", "only templates with a Google part have one")
        key = (workspace_id, template_id, message.message_id)
        if key not in await self.messages.claim(work.transaction, {key}, now=work.now):
            return False
        work.transaction.emit(
            MESSAGE_ISSUED, _issued(work, workspace_id, message, template_id=template_id)
        )
        MESSAGES.labels(outcome="issued").inc()
        await _audit(work, workspace_id, template_id, message)
        return True


async def _audit(work: Work, workspace_id: UUID, target: UUID, message: Message) -> None:
    # What it says may be personal.
    after = {"message_id": message.message_id, "notify": message.notify}
    await work.audit(workspace_id, "message.issued", target, after=after)


@dataclass(frozen=True, kw_only=True)
class ApplyMessageRequests:
    """`message.requested`: one transaction for a batch that may span workspaces."""

    workbench: Workbench
    directory: Suspensions
    store: RevisionStore
    put: PutMessages

    async def __call__(self, requests: Sequence[GivenRequest]) -> list[Verdict]:
        """A pass that is not known yet is a passing reason; one that ended gets no message."""
        outcomes: list[Verdict] = [None] * len(requests)
        open_requests: list[tuple[int, MessageRequested]] = []
        for index, request in enumerate(requests):
            if self.directory.is_suspended(request.data.workspace_id):
                outcomes[index] = Rejected("workspace_suspended", "the workspace is suspended")
            else:
                open_requests.append((index, request.data))
        if not open_requests:
            return outcomes
        keys = {(data.workspace_id, data.pass_id) for _, data in open_requests}
        actor = f"event:{MessageRequested.event_type}"
        async with self.workbench.open({key[0] for key in keys}, actor=actor) as work:
            rows = await self.store.lock(work.transaction, keys)
            given: list[tuple[WalletPass, Message]] = []
            for index, data in open_requests:
                row = rows.get((data.workspace_id, data.pass_id))
                if row is None:
                    outcomes[index] = RetryLater("pass_unknown", "no such pass yet")
                elif row.is_usable:
                    given.append((row, _message_of(data)))
                else:
                    MESSAGES.labels(outcome="pass_ended").inc()
            if given:
                await self.put(work, given)
        return outcomes


def _message_of(data: MessageRequested) -> Message:
    return Message(message_id=data.message_id, header=data.header, body=data.body)
