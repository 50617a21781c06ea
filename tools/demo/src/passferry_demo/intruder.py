"""Tries to reach one workspace from the other: every attempt must be blocked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from passferry_demo.story import Story


@dataclass(frozen=True, slots=True)
class Attempt:
    what: str
    status: int
    is_blocked: bool


class Intruder:
    """Acts with the café's credentials against the bookshop."""

    def __init__(self, story: Story) -> None:
        self._story = story

    async def try_everything(self) -> list[Attempt]:
        shop, cafe = self._story.bookshop, self._story.cafe
        base = f"/api/v1/workspaces/{shop.workspace_id}"
        external_id, theirs = next(iter(shop.passes.items()))
        pass_id = theirs["pass_id"]
        calls = [
            ("pass-issuer", "GET", f"{base}/passes"),
            ("pass-issuer", "GET", f"{base}/passes/{pass_id}"),
            ("pass-issuer", "POST", f"{base}/passes/{pass_id}/void"),
            ("ledger", "GET", f"{base}/balances"),
            ("ledger", "POST", f"{base}/passes/external:{external_id}/earn"),
            ("wallet-webservice", "GET", f"{base}/passes/{pass_id}/devices"),
            ("notifier", "GET", f"{base}/deliveries"),
            ("event-bridge", "GET", f"{base}/sinks/dittofeed"),
        ]
        found = []
        for service, method, path in calls:
            answer = await self._story.operator.call(
                service, method, path, cafe.api_key, json={}, headers={"Idempotency-Key": "x"}
            )
            is_blocked = answer.status_code in {403, 404}
            found.append(Attempt(f"{service} {method} {path}", answer.status_code, is_blocked))
        return found + await self._as_a_device() + await self._by_link()

    async def _as_a_device(self) -> list[Attempt]:
        """A token of the café's pass against the bookshop's, and against its own serial there."""
        story = self._story
        own = next(
            iter(story.wallets.phones["cafe", next(iter(story.cafe.passes))].passes.values())
        )
        token = own.content.authentication_token
        serial = next(iter(story.bookshop.passes.values()))["serial_number"]
        found = []
        for number in (serial, own.content.serial):
            url = (
                f"{story.platform.url('wallet-webservice')}/w/{story.bookshop.workspace_id}"
                f"/v1/passes/{story.bookshop.pass_type_identifier}/{number}"
            )
            answer = await story.http.get(url, headers={"Authorization": f"ApplePass {token}"})
            found.append(
                Attempt("a device's token elsewhere", answer.status_code, answer.status_code == 401)
            )
        return found

    async def _by_link(self) -> list[Attempt]:
        story = self._story
        link = str(next(iter(story.cafe.passes.values()))["link"])
        elsewhere = link.replace(str(story.cafe.workspace_id), str(story.bookshop.workspace_id))
        answer = await story.http.get(elsewhere)
        return [
            Attempt("a link in another workspace", answer.status_code, answer.status_code == 404)
        ]
