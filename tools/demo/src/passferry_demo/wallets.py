"""The people's side: iPhones that hold passes, and Google Wallet."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any

import httpx

from passferry_demo.operator import StepRefused, Workspace
from passferry_demo.platform import Platform
from passferry_testing.virtual_iphone import HeldPass, InstallFailed, VirtualIPhone
from passferry_testing.virtual_iphone_fleet import PhoneFleet

ANDROID = (
    "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/131.0 Mobile Safari/537.36"
)
_SAVE_LINK = re.compile(r'href="(https?://[^"]+/gp/v/save/[^"]+)"')
RECONNECT_S = 0.2
INSTALL_PATIENCE_S = 20.0


@dataclass(slots=True)
class Wallets:
    """`phones` by (workspace slug, external id); Google objects likewise."""

    platform: Platform
    http: httpx.AsyncClient
    fleet: PhoneFleet
    phones: dict[tuple[str, str], VirtualIPhone] = field(default_factory=dict)
    google_objects: dict[tuple[str, str], str] = field(default_factory=dict)
    rings: int = 0

    async def follow_rings(self) -> None:
        """Bring what APNs accepts to the phones, until cancelled."""
        url = f"{self.platform.apns_control}/deliveries/stream"
        while True:
            with contextlib.suppress(httpx.HTTPError):
                async with self.http.stream("GET", url, timeout=None) as response:
                    await self.fleet.follow(self._rings_of(response))
            await asyncio.sleep(RECONNECT_S)

    async def _rings_of(self, response: httpx.Response) -> AsyncIterator[tuple[str, str]]:
        async for line in response.aiter_lines():
            if line.strip():
                ring = json.loads(line)
                self.rings += 1
                yield ring["token"], ring["topic"]

    async def install_on_iphones(
        self, workspace: Workspace, external_ids: Iterable[str]
    ) -> list[float]:
        """Open each link on a phone of its own; returns the seconds that each took."""
        work = [self._install(workspace, each) for each in external_ids]
        return await asyncio.gather(*work)

    async def _install(self, workspace: Workspace, external_id: str) -> float:
        phone = self.fleet.add_phone()
        self.phones[workspace.slug, external_id] = phone
        started_at = time.monotonic()
        while True:
            try:
                await phone.install(workspace.passes[external_id]["link"])
            except InstallFailed:
                # A link that was made a moment ago is on its way to the web service.
                if time.monotonic() - started_at > INSTALL_PATIENCE_S:
                    raise
                await asyncio.sleep(0.2)
            else:
                return time.monotonic() - started_at

    async def save_to_google(self, workspace: Workspace, external_id: str) -> None:
        """Open the link on an Android phone and press the button."""
        link = workspace.passes[external_id]["link"]
        for _ in range(50):
            page = await self.http.get(link, headers={"User-Agent": ANDROID})
            found = _SAVE_LINK.search(page.text)
            if found is not None:
                break
            await asyncio.sleep(0.1)
        else:
            raise StepRefused(f"no save link: {page.status_code} {page.text[:300]}")
        await self._press_save(found[1])
        object_id = workspace.passes[external_id]["google_object_id"]
        self.google_objects[workspace.slug, external_id] = object_id

    async def _press_save(self, save_link: str) -> None:
        """As a person does: again after a moment, should it not work at once."""
        for _ in range(20):
            saved = await self.http.get(save_link, headers={"Accept": "application/json"})
            if saved.is_success:
                return
            await asyncio.sleep(0.25)
        raise StepRefused(f"Google refused to save: {saved.status_code} {saved.text[:500]}")

    def shown(self, slug: str, external_id: str) -> int | None:
        """The balance on the iPhone's screen."""
        held = self._held(slug, external_id)
        return int(held.content.fields["balance"]) if held is not None else None

    def _held(self, slug: str, external_id: str) -> HeldPass | None:
        phone = self.phones.get((slug, external_id))
        return next(iter(phone.passes.values()), None) if phone is not None else None

    async def shown_by_google(self, slug: str, external_id: str) -> int | None:
        object_id = self.google_objects[slug, external_id]
        view = await self.http.get(f"{self.platform.google_url}/_control/phone/{object_id}")
        balance: Any = view.json().get("balance") if view.is_success else None
        return int(balance) if balance is not None else None
