"""A published class that cannot be written at once, with fakes of the store and of Google.

proves: J7
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from passferry_contracts.events.directory import GoogleClass, TemplatePublished
from passferry_notifier.application.follow_renderings import FollowRenderings
from passferry_notifier.application.ports import GoogleAnswer, GoogleClassRow
from passferry_notifier.application.turns import Turns
from passferry_notifier.application.update_google import BringClasses, SendToGoogle
from passferry_notifier.domain.credentials import GoogleCredential
from passferry_runtime.clock import SystemClock

WORKSPACE = uuid4()


@dataclass
class FakeStore:
    rows: dict[str, GoogleClassRow] = field(default_factory=dict)

    async def store_classes(self, rows: Sequence[GoogleClassRow]) -> None:
        for row in rows:
            known = self.rows.get(row.class_id)
            if known is None or known.template_version < row.template_version:
                self.rows[row.class_id] = row

    async def class_of(self, workspace_id: UUID, class_id: str) -> GoogleClassRow | None:
        return self.rows.get(class_id)

    async def class_synced(self, workspace_id: UUID, class_id: str, body_sha256: str) -> None:
        self.rows[class_id] = replace(self.rows[class_id], synced_sha256=body_sha256)


@dataclass
class FakeGoogle:
    #: What it answers for a class instead of taking it.
    refuses: dict[str, int] = field(default_factory=dict)
    held: dict[str, Any] = field(default_factory=dict)

    async def call(
        self, _credential: GoogleCredential, _method: str, _path: str, body: Any = None
    ) -> GoogleAnswer:
        if (status := self.refuses.get(body["id"])) is not None:
            return GoogleAnswer(status, {})
        self.held[body["id"]] = body["name"]
        return GoogleAnswer(200, {})


class FakeCredentials:
    async def until_known(self) -> None: ...

    def google(self, workspace_id: UUID, issuer_id: str) -> GoogleCredential | None:
        if issuer_id == "none":
            return None
        return GoogleCredential(
            workspace_id=workspace_id, key="key", issuer_id=issuer_id, service_account={}
        )


def follower(google: FakeGoogle, turns: Turns | None = None) -> FollowRenderings:
    store: Any = FakeStore()
    credentials: Any = FakeCredentials()
    unused: Any = None
    send = SendToGoogle(
        store=store,
        gateway=google,
        budget=unused,
        clock=SystemClock(),
        turns=turns or Turns(),
    )
    return FollowRenderings(
        store=store,
        update_google=unused,
        bring_classes=BringClasses(credentials=credentials, send=send),
        clock=SystemClock(),
        lease_s=1.0,
    )


def published(
    class_id: str, *tiers: str, version: int = 1, issuer_id: str = "3388", **more: Any
) -> TemplatePublished:
    first, *others = (
        GoogleClass(
            issuer_id=issuer_id,
            vertical="loyalty",
            class_id=each,
            class_body={"id": each, "name": f"v{version}"},
        )
        for each in (class_id, *tiers)
    )
    return TemplatePublished(
        workspace_id=WORKSPACE,
        template_id=more.get("template_id") or uuid4(),
        template_version=version,
        name="Card",
        assets={},
        google_class=first,
        google_tier_classes=others,
        published_at=SystemClock().now(),
    )


def codes(outcomes: Sequence[Any]) -> list[str | None]:
    return [None if each is None else each.code for each in outcomes]


@pytest.mark.parametrize(
    ("status", "code"), [(503, "status_503"), (429, "rate_limited"), (0, "unknown")]
)
async def test_a_class_that_google_cannot_take_now_comes_again_and_its_neighbours_do_not(
    status: int, code: str
) -> None:
    google = FakeGoogle(refuses={"3388.late": status})
    follow, late = follower(google), published("3388.late")
    batch = [published("3388.one"), late, published("3388.two")]
    assert codes(await follow.take_templates(batch)) == [None, code, None]
    assert google.held == {"3388.one": "v1", "3388.two": "v1"}
    google.refuses.clear()
    assert codes(await follow.take_templates([late])) == [None]
    assert google.held["3388.late"] == "v1"


async def test_a_class_that_somebody_else_writes_for_long_comes_again() -> None:
    google, turns = FakeGoogle(), Turns(patience_s=0.05)
    follow = follower(google, turns)
    late = published("3388.late")
    async with turns.of_class(WORKSPACE, "3388.late"):
        assert codes(await follow.take_templates([late])) == ["class_taken"]
    assert codes(await follow.take_templates([late])) == [None]
    assert google.held == {"3388.late": "v1"}


async def test_the_class_of_a_tier_brings_its_whole_version_back() -> None:
    follow = follower(FakeGoogle(refuses={"3388.gold": 500}))
    assert codes(await follow.take_templates([published("3388.card", "3388.gold")])) == [
        "status_500"
    ]


async def test_of_two_versions_the_newer_one_comes_again() -> None:
    follow, template_id = follower(FakeGoogle(refuses={"3388.card": 503})), uuid4()
    batch = [published("3388.card", version=each, template_id=template_id) for each in (1, 2)]
    assert codes(await follow.take_templates(batch)) == [None, "status_503"]


async def test_an_older_version_that_comes_again_does_not_overwrite_the_newer_one() -> None:
    google, template_id = FakeGoogle(refuses={"3388.card": 503}), uuid4()
    follow = follower(google)
    older, newer = (
        published("3388.card", version=each, template_id=template_id) for each in (1, 2)
    )
    assert codes(await follow.take_templates([older])) == ["status_503"]
    google.refuses.clear()
    assert codes(await follow.take_templates([newer])) == [None]
    assert codes(await follow.take_templates([older])) == [None]
    assert google.held == {"3388.card": "v2"}


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_a_class_that_is_refused_for_good_or_for_its_credential_does_not_come_again(
    status: int,
) -> None:
    follow = follower(FakeGoogle(refuses={"3388.card": status}))
    assert codes(await follow.take_templates([published("3388.card")])) == [None]


async def test_a_class_without_a_credential_waits_for_nobody() -> None:
    google = FakeGoogle()
    assert codes(
        await follower(google).take_templates([published("1.card", issuer_id="none")])
    ) == [None]
    assert google.held == {}
