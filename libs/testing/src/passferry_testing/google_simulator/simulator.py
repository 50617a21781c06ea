"""The Google Wallet simulator: one object that holds the platform and serves it over HTTP."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from passferry_testing.faults import FaultSchedule
from passferry_testing.google_simulator.accounts import Accounts
from passferry_testing.google_simulator.api import WalletApi
from passferry_testing.google_simulator.callbacks import (
    CallbackKeys,
    CallbackSender,
    CallbackSwitches,
)
from passferry_testing.google_simulator.catalogue import DEFAULT_USER, Catalogue, Held, Rules
from passferry_testing.google_simulator.discovery import load_discovery
from passferry_testing.google_simulator.faults import GoogleFault
from passferry_testing.google_simulator.http_application import application
from passferry_testing.google_simulator.request_log import RequestLog
from passferry_testing.google_simulator.save_page import MAX_JWT_CHARACTERS, SavePage
from passferry_testing.loopback_http import serve_http


class GoogleSimulator:
    """`async with GoogleSimulator() as google:` serves it at `google.base_url`.

    `requests_per_second` is the quota of one credential; None switches it off for load.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        requests_per_second: float | None = 20.0,
        legacy_enums: bool = False,
        seed: int = 0,
    ) -> None:
        self._port = port
        self._clock_offset_s = 0.0
        self._exit = contextlib.AsyncExitStack()
        self.base_url = ""
        self.rules = Rules()
        self.callback_switches = CallbackSwitches()
        self.faults: FaultSchedule[GoogleFault] = FaultSchedule(seed)
        self.log = RequestLog()
        self.accounts = Accounts(self.now)
        self.catalogue = Catalogue(load_discovery(), self.rules, self.now)
        self.save_page = SavePage(self.accounts, self.catalogue, self.now)
        self.keys = CallbackKeys(self.now)
        self.api = WalletApi(
            accounts=self.accounts,
            catalogue=self.catalogue,
            save_page=self.save_page,
            log=self.log,
            faults=self.faults,
            rules=self.rules,
            now=self.now,
            requests_per_second=requests_per_second,
            legacy_enums=legacy_enums,
        )
        self._seed = seed
        self._sender: CallbackSender | None = None

    async def __aenter__(self) -> Self:
        # Receivers are loopback addresses; those with TLS have a throw-away certificate.
        client = httpx.AsyncClient(trust_env=False, verify=False)
        await self._exit.enter_async_context(client)
        self._sender = CallbackSender(self.keys, self.callback_switches, client, self._seed)
        self._exit.push_async_callback(self._sender.close)
        port = await self._exit.enter_async_context(serve_http(application(self), port=self._port))
        self.base_url = f"http://127.0.0.1:{port}"
        self.api.base_url = self.base_url
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._exit.aclose()

    @property
    def sender(self) -> CallbackSender:
        assert self._sender is not None, "the simulator is not running"
        return self._sender

    @property
    def addresses(self) -> dict[str, str]:
        """Where things are: what a service needs in its configuration, and the control root."""
        return {
            "base_url": self.base_url,
            "api_url": f"{self.base_url}/walletobjects/v1",
            "token_url": self.token_url,
            "save_url": f"{self.base_url}/gp/v/save",
            "root_keys_url": f"{self.base_url}/gp/m/issuer/keys",
            "control_url": f"{self.base_url}/_control",
        }

    @property
    def token_url(self) -> str:
        return f"{self.base_url}/token"

    def now(self) -> float:
        """Seconds since the epoch by the simulator's clock."""
        return time.time() + self._clock_offset_s

    def advance_clock(self, seconds: float) -> None:
        self._clock_offset_s += seconds

    def create_service_account(
        self, directory: Path | None = None, issuer_id: str = "3388000000000000001"
    ) -> dict[str, str]:
        """Register a service account as user of `issuer_id`; returns its key file's content.

        With a `directory` the file is also written there, mode 0600, as
        `service-account-<issuer_id>.json`. The simulator must be running: the file names its
        token address.
        """
        info = self.accounts.create(issuer_id, token_uri=self.token_url)
        if directory is not None:
            path = directory / f"service-account-{issuer_id}.json"
            path.unlink(missing_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                json.dump(info, file, indent=2)
        return info

    def open_save_link(self, token: str, user: str = DEFAULT_USER) -> list[str]:
        """A user opens a save link and saves; returns the object ids. Raises SaveLinkRefused."""
        if len(token) > MAX_JWT_CHARACTERS:
            self.log.violate(f"save link of {len(token)} characters")
        held = self.save_page.open(token)
        for one in held:
            self.save(one.body["id"], user)
        return [one.body["id"] for one in held]

    def save(self, object_id: str, user: str = DEFAULT_USER) -> bool:
        """A user saves an object that exists; sends the callback."""
        if not self.catalogue.save(object_id, user):
            return False
        self.sender.announce(self.catalogue.class_of(object_id), object_id, "save")
        return True

    def delete(self, object_id: str, user: str = DEFAULT_USER) -> bool:
        """A user removes an object from the wallet; sends the callback."""
        if not self.catalogue.delete(object_id, user):
            return False
        self.sender.announce(self.catalogue.class_of(object_id), object_id, "del")
        return True

    def phone(self, object_id: str) -> dict[str, Any] | None:
        """What a phone that saved the object shows, or None when there is no such object."""
        held = self.catalogue.object(object_id)
        return _phone_view(held) if held else None

    def reset(self) -> None:
        """Forget resources, requests and faults; accounts and keys stay."""
        self.catalogue.clear()
        self.log.clear()
        self.faults.clear()
        self.sender.sent.clear()


def _phone_view(held: Held) -> dict[str, Any]:
    body = held.body
    points: Mapping[str, Any] = body.get("loyaltyPoints") or {}
    balance, text = _balance(points.get("balance") or {}, body.get("balance"))
    return {
        "object_id": body["id"],
        "class_id": body["classId"],
        "is_installed": bool(held.users),
        "users": len(held.users),
        "state": str(body.get("state", "ACTIVE")).upper(),
        "label": points.get("label"),
        "balance": balance,
        "balance_text": text,
        "barcode": body.get("barcode"),
        "messages": [message.get("header") for message in body.get("messages", [])],
    }


def _balance(points: Mapping[str, Any], money: Any) -> tuple[int | str | float | None, str | None]:
    """The number where there is one (money: in micros), and the text that people read."""
    for form in ("int", "string", "double"):
        if form in points:
            return points[form], str(points[form])
    money = points.get("money") or money
    if not money:
        return None, None
    micros = int(money["micros"])
    return micros, f"{micros // 10**6}.{micros % 10**6 // 10**4:02d} {money['currencyCode']}"
