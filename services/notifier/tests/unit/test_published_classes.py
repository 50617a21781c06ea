"""A published class that cannot be written at once, with fakes of the store and of Google.

proves: J7
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from passferry_contracts.events.directory import GoogleClass, TemplatePublished
from passferry_notifier.application.bring_classes import BringClasses, WaitingClass
from passferry_notifier.application.follow_renderings import FollowRenderings, _class_rows
from passferry_notifier.application.ports import GoogleAnswer, GoogleClassRow
from passferry_notifier.application.turns import Turns
from passferry_notifier.application.update_google import SendToGoogle
from passferry_notifier.domain.credentials import GoogleCredential
from passferry_notifier.domain.retry_policy import RetryPolicy
from passferry_runtime.clock import FixedClock, SystemClock

WORKSPACE = uuid4()
NOW = datetime(2026, 3, 1, tzinfo=UTC)


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
    #: Those that it answers nothing of.
    silent: set[str] = field(default_factory=set)
    retry_after_s: float | None = None
    asked: int = 0

    async def call(
        self, _credential: GoogleCredential, _method: str, _path: str, body: Any = None
    ) -> GoogleAnswer:
        self.asked += 1
        if body["id"] in self.silent:
            await asyncio.get_running_loop().create_future()
        if (status := self.refuses.get(body["id"])) is not None:
            if status < 0:
                raise ValueError("nobody thought of this")
            return GoogleAnswer(status, {}, retry_after_s=self.retry_after_s)
        self.held[body["id"]] = body["name"]
        return GoogleAnswer(200, {})


@dataclass
class FakeWaiting:
    reasons: dict[str, str] = field(default_factory=dict)
    until: dict[str, datetime | None] = field(default_factory=dict)
    on_wait: Callable[[], None] = lambda: None

    async def wait(
        self, row: GoogleClassRow, reason: str, *, until: datetime | None, **_more: Any
    ) -> None:
        self.reasons[row.class_id] = reason
        self.until[row.class_id] = until
        self.on_wait()

    async def give_up(self, row: GoogleClassRow) -> None:
        self.reasons.pop(row.class_id)


@dataclass
class FakeCredentials:
    #: Of all issuers but "none".
    has_account: bool = True

    async def until_known(self) -> None: ...

    def has_google(self, workspace_id: UUID) -> bool:
        return self.has_account

    def google(self, workspace_id: UUID, issuer_id: str) -> GoogleCredential | None:
        if issuer_id == "none" or not self.has_account:
            return None
        # Workspaces may share an account.
        key = "another key" if issuer_id == "9900" else "key"
        return GoogleCredential(
            workspace_id=workspace_id, key=key, issuer_id=issuer_id, service_account={}
        )


def follower(
    google: FakeGoogle,
    turns: Turns | None = None,
    waiting: FakeWaiting | None = None,
    *,
    is_suspended: bool = False,
    credentials: FakeCredentials | None = None,
    clock: FixedClock | None = None,
    **bounds: float,
) -> FollowRenderings:
    store: Any = FakeStore()
    held: Any = credentials or FakeCredentials()
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
            credentials=held,
            is_suspended=lambda _workspace_id: is_suspended,
            send=send,
            waiting=kept,
            clock=clock or SystemClock(),
            policy=RetryPolicy(),
            **bounds,
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


def that_waited(
    follow: FollowRenderings, *class_ids: str, attempts: int = 1, issuer_id: str = "3388"
) -> list[WaitingClass]:
    rows = _class_rows(published(*class_ids, issuer_id=issuer_id))
    store: Any = follow.store
    store.rows |= {each.class_id: each for each in rows}
    return [WaitingClass(row=row, attempts=attempts) for row in rows]


async def test_how_long_google_wants_to_be_left_alone_goes_for_all_classes_of_the_account() -> None:
    """proves: J15"""
    google, waiting, clock = FakeGoogle(retry_after_s=60.0), FakeWaiting(), FixedClock(NOW)
    follow = follower(google, waiting=waiting, clock=clock)
    bring = follow.bring_classes
    ours, theirs = (
        that_waited(follow, "3388.a", "3388.b", "3388.c"),
        that_waited(follow, "3388.other"),
    )
    google.refuses = {"3388.a": 429}
    await bring.again(ours)
    assert google.asked == 1
    # Another workspace's with the same account.
    await bring.again(theirs)
    assert google.asked == 1
    assert waiting.reasons == dict.fromkeys(
        ["3388.a", "3388.b", "3388.c", "3388.other"], "rate_limited"
    )
    rest_ends_at = NOW + timedelta(seconds=60)
    assert all(until is not None and until >= rest_ends_at for until in waiting.until.values())
    # Nobody said anything of another account.
    await bring.again(that_waited(follow, "9900.card", issuer_id="9900"))
    assert google.held == {"9900.card": "v1"}
    clock.advance(timedelta(seconds=60))
    google.refuses.clear()
    await bring.again([*ours, *theirs])
    assert google.held.keys() == {"9900.card", "3388.a", "3388.b", "3388.c", "3388.other"}


async def test_google_may_keep_a_class_waiting_for_an_hour_and_not_longer() -> None:
    google, waiting, clock = FakeGoogle(retry_after_s=1e9), FakeWaiting(), FixedClock(NOW)
    follow = follower(google, waiting=waiting, clock=clock)
    bring = follow.bring_classes
    google.refuses = {"3388.a": 429}
    [late] = that_waited(follow, "3388.a")
    await bring.again([late])
    until = waiting.until["3388.a"]
    assert until is not None
    assert until < NOW + timedelta(hours=1, minutes=1)
    clock.advance(timedelta(hours=1))
    await bring.again([late])
    assert google.asked == 2


async def test_a_class_that_google_does_not_answer_of_in_time_is_left_and_the_next_one_tried() -> (
    None
):
    google, waiting = FakeGoogle(silent={"3388.slow"}), FakeWaiting()
    follow = follower(google, waiting=waiting, class_timeout_s=0.05)
    bring = follow.bring_classes
    await bring.again(that_waited(follow, "3388.slow", "3388.good"))
    assert (waiting.reasons, google.held) == ({"3388.slow": "too_slow"}, {"3388.good": "v1"})


async def test_classes_that_had_fewer_attempts_are_tried_first() -> None:
    google = FakeGoogle()
    follow = follower(google)
    bring = follow.bring_classes
    await bring.again(
        [*that_waited(follow, "3388.often", attempts=7), *that_waited(follow, "3388.never")]
    )
    assert list(google.held) == ["3388.never", "3388.often"]


async def test_a_class_of_a_workspace_without_any_account_of_google_waits_for_one_alone() -> None:
    google, waiting, credentials = FakeGoogle(), FakeWaiting(), FakeCredentials(has_account=False)
    follow = follower(google, waiting=waiting, credentials=credentials)
    assert codes(await follow.take_templates([published("3388.card")])) == [None]
    assert waiting.reasons == {"3388.card": "no_google_account"}
    assert waiting.until == {"3388.card": None}
    # One that was there, and was removed.
    await follow.bring_classes.again(that_waited(follow, "3388.old", attempts=9))
    assert waiting.until["3388.old"] is None
    credentials.has_account = True
    await follow.bring_classes.again(that_waited(follow, "3388.card", attempts=0))
    assert google.held == {"3388.card": "v1"}


async def test_an_account_that_comes_while_its_lack_is_being_stored_is_not_waited_for() -> None:
    credentials = FakeCredentials(has_account=False)
    waiting = FakeWaiting(on_wait=lambda: setattr(credentials, "has_account", True))
    follow = follower(FakeGoogle(), waiting=waiting, credentials=credentials)
    assert codes(await follow.take_templates([published("3388.card")])) == [None]
    assert waiting.until["3388.card"] is not None
