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
from passferry_notifier.application.bring_classes import BringClasses, WaitingClass
from passferry_notifier.application.follow_renderings import FollowRenderings
from passferry_notifier.application.ports import GoogleAnswer, GoogleClassRow
from passferry_notifier.application.turns import Turns
from passferry_notifier.application.update_google import SendToGoogle
from passferry_notifier.domain.credentials import GoogleCredential
from passferry_notifier.domain.retry_policy import RetryPolicy
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
    asked: int = 0

    async def call(
        self, _credential: GoogleCredential, _method: str, _path: str, body: Any = None
    ) -> GoogleAnswer:
        self.asked += 1
        if (status := self.refuses.get(body["id"])) is not None:
            if status < 0:
                raise ValueError("nobody thought of this")
            return GoogleAnswer(status, {})
        self.held[body["id"]] = body["name"]
        return GoogleAnswer(200, {})


@dataclass
class FakeWaiting:
    reasons: dict[str, str] = field(default_factory=dict)

    async def wait(self, row: GoogleClassRow, reason: str, **_more: Any) -> None:
        self.reasons[row.class_id] = reason

    async def give_up(self, row: GoogleClassRow) -> None:
        self.reasons.pop(row.class_id)


class FakeCredentials:
    async def until_known(self) -> None: ...

    def google(self, workspace_id: UUID, issuer_id: str) -> GoogleCredential | None:
        if issuer_id == "none":
            return None
        return GoogleCredential(
            workspace_id=workspace_id, key="key", issuer_id=issuer_id, service_account={}
        )


def follower(
    google: FakeGoogle,
    turns: Turns | None = None,
    waiting: FakeWaiting | None = None,
    *,
    is_suspended: bool = False,
) -> FollowRenderings:
    store: Any = FakeStore()
    credentials: Any = FakeCredentials()
    kept: Any = waiting or FakeWaiting()
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
        bring_classes=BringClasses(
            credentials=credentials,
            is_suspended=lambda _workspace_id: is_suspended,
            send=send,
            waiting=kept,
            clock=SystemClock(),
            policy=RetryPolicy(),
        ),
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


@pytest.mark.parametrize(
    ("status", "reasons"),
    [(400, {}), (401, {"3388.card": "token_refused"}), (403, {"3388.card": "permission_denied"})],
)
async def test_a_class_that_is_refused_does_not_come_again_and_waits_for_its_credential_alone(
    status: int, reasons: dict[str, str]
) -> None:
    waiting = FakeWaiting()
    follow = follower(FakeGoogle(refuses={"3388.card": status}), waiting=waiting)
    assert codes(await follow.take_templates([published("3388.card")])) == [None]
    assert waiting.reasons == reasons


async def test_a_class_without_a_credential_waits_for_it_and_its_event_does_not() -> None:
    google, waiting = FakeGoogle(), FakeWaiting()
    follow = follower(google, waiting=waiting)
    assert codes(await follow.take_templates([published("1.card", issuer_id="none")])) == [None]
    assert google.held == {}
    assert waiting.reasons == {"1.card": "credential_missing"}


async def test_a_suspended_workspace_asks_google_nothing() -> None:
    google, waiting = FakeGoogle(), FakeWaiting()
    follow = follower(google, waiting=waiting, is_suspended=True)
    assert codes(await follow.take_templates([published("3388.card")])) == [None]
    assert (google.asked, waiting.reasons) == (0, {"3388.card": "workspace_suspended"})


async def waiting_for_a_credential(
    follow: FollowRenderings, google: FakeGoogle, class_ids: Sequence[str]
) -> list[WaitingClass]:
    google.refuses = dict.fromkeys(class_ids, 403)
    await follow.take_templates([published(each) for each in class_ids])
    assert google.asked == 1, "of the others it is known"
    google.asked = 0
    store: Any = follow.store
    return [WaitingClass(row=store.rows[each], attempts=1) for each in class_ids]


async def test_a_credential_that_is_refused_still_is_asked_of_one_class_only() -> None:
    google, waiting = FakeGoogle(), FakeWaiting()
    follow, class_ids = follower(google, waiting=waiting), ["3388.a", "3388.b", "3388.c"]
    classes = await waiting_for_a_credential(follow, google, class_ids)
    await follow.bring_classes.again(classes)
    assert google.asked == 1
    assert waiting.reasons == dict.fromkeys(class_ids, "permission_denied")
    google.refuses.clear()
    await follow.bring_classes.again(classes)
    assert google.held == dict.fromkeys(class_ids, "v1")


async def test_an_account_without_a_right_of_one_issuer_is_asked_for_another() -> None:
    google, waiting = FakeGoogle(refuses={"3388.card": 403}), FakeWaiting()
    follow = follower(google, waiting=waiting)
    batch = [published("3388.card"), published("4499.card", issuer_id="4499")]
    assert codes(await follow.take_templates(batch)) == [None, None]
    assert (waiting.reasons, google.held) == (
        {"3388.card": "permission_denied"},
        {"4499.card": "v1"},
    )


async def test_an_attempt_that_breaks_holds_up_no_other() -> None:
    google, waiting = FakeGoogle(), FakeWaiting()
    follow = follower(google, waiting=waiting)
    classes = await waiting_for_a_credential(follow, google, ["3388.broken", "3388.good"])
    google.refuses = {"3388.broken": -1}
    await follow.bring_classes.again(classes)
    assert waiting.reasons["3388.broken"] == "internal"
    assert google.held == {"3388.good": "v1"}


async def test_a_class_that_waited_goes_on_so_for_a_passing_reason_and_not_when_it_is_wrong() -> (
    None
):
    google, waiting = FakeGoogle(), FakeWaiting()
    follow = follower(google, waiting=waiting)
    classes = await waiting_for_a_credential(follow, google, ["3388.late", "3388.wrong"])
    google.refuses = {"3388.late": 503, "3388.wrong": 400}
    await follow.bring_classes.again(classes)
    assert waiting.reasons == {"3388.late": "status_503"}
