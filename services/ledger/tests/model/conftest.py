"""The ledger once more: one thread, plain dictionaries, and nothing of the real one's rules.

Points are kept in pots by their dates beside loose ones, holds and entries in lists; what the real
ledger stores, this one works out. Only days in UTC are known here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

LARGEST = 2**63 - 1
#: First moment, and the moment after the last.
Span = tuple[datetime | None, datetime | None]
LOOSE: Span = (None, None)
ADDRESSES = (
    "pass_id",
    "external_id",
    "code",
    "idempotency_key",
    "recorded_by",
    "by_manager",
    "workspace_id",
)
NEVER_KEPT = ("pass_unknown", "other_pass_unknown", "key_reused", "pass_mismatch")
EARLIEST, LATEST = (each.replace(tzinfo=UTC) for each in (datetime.min, datetime.max))


@dataclass(frozen=True, kw_only=True)
class Scheme:
    protocol: str = "MEMBERSHIP"
    unit: str = "points"
    floor: int = 0
    most_per_entry: int | None = None
    most_per_day: int | None = None
    most_in_all: int | None = None
    points_per_euro: int | None = None
    least_redeemed: int | None = None
    most_redeemed: int | None = None
    lapse: tuple[str, int] | None = None
    wait_days: int = 0
    re_entry: bool = False
    hold_s: int = 604_800

    def span(self, now: datetime) -> Span:
        today = now.date()
        begins = today + timedelta(days=self.wait_days)
        ends = self._end(today)
        if ends is not None and self.wait_days and ends <= begins:
            ends = self._end(begins)
        return (_midnight(begins) if self.wait_days else None, ends and _midnight(ends))

    def _end(self, day: date) -> date | None:
        kind, number = self.lapse or ("never", 0)
        if kind == "after_days":
            return day + timedelta(days=number + 1)
        if kind == "end_of_month":
            for _ in range(number + 1):
                month = day.month
                while day.month == month:
                    day += timedelta(days=1)
            return day
        return None

    def idle_until(self, now: datetime) -> datetime | None:
        kind, number = self.lapse or ("never", 0)
        return _midnight(now.date() + timedelta(days=number + 1)) if kind == "rolling" else None


def soonness(span: Span) -> tuple[datetime, datetime]:
    """What lapses soonest comes first."""
    starts, ends = span
    return ends or LATEST, starts or EARLIEST


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


@dataclass
class KeptHold:
    left: int
    ends: datetime
    is_open: bool = True


@dataclass(kw_only=True, eq=False)
class Card:
    workspace_id: UUID
    pass_id: UUID
    external_id: str
    code: str
    scheme: Scheme
    is_upstream: bool = False
    loose: int = 0
    pots: dict[Span, int] = field(default_factory=dict)
    idle_until: datetime | None = None
    holds: dict[UUID, KeptHold] = field(default_factory=dict)
    version: int = 0
    changed_at: datetime | None = None
    is_open: bool = True
    was_in: bool = False
    day: date | None = None
    earned_today: int = 0
    spent_today: int = 0

    @property
    def balance(self) -> int:
        return self.loose + sum(self.pots.values())

    @property
    def held(self) -> int:
        return sum(each.left for each in self.holds.values() if each.is_open)

    def pending(self, now: datetime) -> int:
        return sum(n for (starts, _), n in self.pots.items() if starts and starts > now)

    def lapsed(self, now: datetime) -> int:
        over = {span: n for span, n in self.pots.items() if span[1] and span[1] <= now}
        owed = sum(n for span, n in over.items() if self.began_lately(span, now))
        of_pots = sum(over.values()) - min(max(-self.loose, 0), owed)
        is_idle = self.idle_until is not None and self.idle_until <= now
        return of_pots + (max(self.loose, 0) if is_idle else 0)

    def available(self, now: datetime) -> int:
        free = self.balance - self.pending(now) - max(self.held, self.lapsed(now))
        return min(max(free - self.scheme.floor, 0), LARGEST)

    def pour(self, span: Span, amount: int) -> None:
        """Into a pot, or out of it."""
        if span == LOOSE:
            self.loose += amount
            return
        self.pots[span] = self.pots.get(span, 0) + amount
        assert self.pots[span] >= 0
        if self.pots[span] == 0:
            del self.pots[span]

    def spend(self, amount: int, now: datetime, *, lapsed_too: bool = False) -> Moves:
        moves: Moves = []
        for span in sorted(self.pots, key=soonness):
            starts, ends = span
            if (starts and starts > now) or (ends and ends <= now and not lapsed_too):
                continue
            moves.append((span, -min(amount, self.pots[span])))
            amount += moves[-1][1]
        moves.append((LOOSE, -amount))
        return self.do(moves)

    def do(self, moves: Moves) -> Moves:
        kept = [(span, n) for span, n in moves if n]
        for span, n in kept:
            self.pour(span, n)
        return kept

    def began_lately(self, span: Span, now: datetime) -> bool:
        """After the last change: what was spent before is owed by it."""
        starts = span[0]
        if starts is None or starts > now:
            return False
        return self.changed_at is None or starts > self.changed_at

    def pay_debt(self, now: datetime) -> Moves:
        """By what began lately, then by what is good now."""
        lately = [span for span in self.pots if self.began_lately(span, now)]
        moves: Moves = []
        for span in sorted(lately, key=soonness):
            paid = min(max(-self.loose, 0), self.pots[span])
            moves += self.do([(span, -paid), (LOOSE, paid)])
        if self.loose < 0 and self.pots:
            debt, self.loose = -self.loose, 0
            moves += self.spend(debt, now)
        return moves

    def receive(self, parts: Iterable[tuple[Span, int]], now: datetime) -> Moves:
        if self.idle_until is not None and self.idle_until <= now:
            until, self.idle_until = self.idle_until, None
            if self.loose > 0:
                self.do([(LOOSE, -self.loose), ((None, until), self.loose)])
        moves: Moves = []
        debt = max(-self.loose, 0)
        for span, n in parts:
            paid = min(debt, n)
            debt -= paid
            moves += [(LOOSE, paid), (span, n - paid)]
        if self.idle_until is None:
            self.idle_until = self.scheme.idle_until(now)
        return self.do(moves)

    def be_active(self, now: datetime) -> None:
        if self.idle_until is None or self.idle_until > now or self.loose <= 0:
            self.idle_until = self.scheme.idle_until(now)


Moves = list[tuple[Span, int]]


@dataclass
class Leg:
    card: Card
    amount: int
    moves: Moves
    #: What reversals moved.
    undone: dict[Span, int] = field(default_factory=dict)

    def note(self, moves: Moves) -> None:
        for span, n in moves:
            self.undone[span] = self.undone.get(span, 0) + n

    def unreversed(self) -> dict[Span, int]:
        """Of its moves of pots, what no reversal has undone."""
        moved: dict[Span, int] = {}
        for span, n in self.moves:
            moved[span] = moved.get(span, 0) + n
        rest = {span: n + self.undone.get(span, 0) for span, n in moved.items() if span != LOOSE}
        return {span: max(n, 0) if self.amount > 0 else n for span, n in rest.items()}


@dataclass
class Fact:
    """An entry."""

    workspace_id: UUID
    kind: str
    legs: list[Leg]
    taken_back: int = 0


@dataclass(frozen=True, kw_only=True)
class Told:
    """An outcome, as far as it is compared."""

    code: str
    is_replayed: bool = False
    kind: str | None = None
    version: int | None = None
    previous_balance_minor: int | None = None
    balance_minor: int | None = None
    available_minor: int | None = None
    held_minor: int = 0
    is_exhausted: bool = False
    other: tuple[int, int, int, int, int] | None = None


class No(Exception):
    """A refusal."""


def refuse(code: str, *, when: bool = True) -> None:
    if when:
        raise No(code)


@dataclass
class ReferenceLedger:
    now: Callable[[], datetime]
    cards: list[Card] = field(default_factory=list)
    facts: dict[UUID, Fact] = field(default_factory=dict)
    #: By workspace and key: what was said, about which card, and the answer.
    memory: dict[tuple[UUID, str], tuple[dict[str, Any], Card, Told]] = field(default_factory=dict)
    references: dict[tuple[UUID, str], UUID] = field(default_factory=dict)

    def open(self, card: Card, balance: int) -> None:
        self.cards.append(card)
        if balance:
            card.receive([(card.scheme.span(self.now()), balance)], self.now())
            card.be_active(self.now())
            card.version, card.changed_at = 1, self.now()

    def find(self, command: Any) -> Card | None:
        for name in ("pass_id", "external_id", "code"):
            wanted = getattr(command, name)
            if wanted is not None:
                return self._named(command.workspace_id, name, wanted)
        return None

    def _named(self, workspace_id: UUID, name: str, wanted: object) -> Card | None:
        for card in self.cards:
            if card.workspace_id == workspace_id and getattr(card, name) == wanted:
                return card
        return None

    def say(self, command: Any, entry_id: UUID, *, is_suspended: bool) -> Told:
        """`entry_id` is the id of the entry that it becomes, if it becomes one."""
        card = self.find(command)
        if card is None:
            return Told(code="pass_unknown")
        names = ("pass_id", "external_id", "code")
        agrees = all(getattr(command, name) in (None, getattr(card, name)) for name in names)
        said = {name: value for name, value in asdict(command).items() if name not in ADDRESSES}
        key = (command.workspace_id, command.idempotency_key)
        if key in self.memory:
            said_before, card_before, told = self.memory[key]
            if said_before != said or card_before is not card or not agrees:
                return self._standing(card, "key_reused")
            return replace(told, is_replayed=True)
        if not agrees:
            return self._standing(card, "pass_mismatch")
        before, other = card.balance, self._other(command)
        other_before = 0 if other is None else other.balance
        try:
            fact, final = self._act(card, command, entry_id, is_suspended)
        except No as no:
            told = self._standing(card, str(no))
        else:
            told = self._applied(card, fact, before, other, other_before, is_exhausted=final)
            self._record(command, entry_id, fact)
        if told.code not in NEVER_KEPT:
            self.memory[key] = (said, card, told)
        return told

    def _record(self, command: Any, entry_id: UUID, fact: Fact) -> None:
        self.facts[entry_id] = fact
        if command.reference is not None:
            self.references[(command.workspace_id, command.reference)] = entry_id

    def _standing(self, card: Card, code: str) -> Told:
        return Told(
            code=code,
            version=card.version,
            previous_balance_minor=card.balance,
            balance_minor=card.balance,
            available_minor=card.available(self.now()),
            held_minor=card.held,
        )

    def _applied(
        self,
        card: Card,
        fact: Fact,
        before: int,
        other: Card | None,
        other_before: int,
        *,
        is_exhausted: bool,
    ) -> Told:
        now, beside = self.now(), None
        for leg in fact.legs:
            leg.card.version += 1
            leg.card.changed_at = now
        if other is not None and len(fact.legs) > 1:
            beside = (
                other.version, other_before, other.balance, other.available(now), other.held,
            )  # fmt: skip
        return replace(
            self._standing(card, "applied"),
            kind=fact.kind,
            previous_balance_minor=before,
            is_exhausted=is_exhausted,
            other=beside,
        )

    def _other(self, command: Any) -> Card | None:
        if command.to_pass_id is not None:
            return self._named(command.workspace_id, "pass_id", command.to_pass_id)
        if command.to_external_id is not None:
            return self._named(command.workspace_id, "external_id", command.to_external_id)
        fact = self._fact(command)
        card = self.find(command)
        legs = [] if fact is None else fact.legs
        return next((leg.card for leg in legs if leg.card is not card), None)

    def _fact(self, command: Any) -> Fact | None:
        entry_id = command.reverses or self.references.get(
            (command.workspace_id, command.reverses_reference)
        )
        return self.facts.get(entry_id) if entry_id is not None else None

    def _act(
        self, card: Card, command: Any, entry_id: UUID, is_suspended: bool
    ) -> tuple[Fact, bool]:
        kind = self._kind(card, command)
        refuse("balance_kept_upstream", when=card.is_upstream)
        refuse("account_closed", when=not card.is_open and kind not in ("reverse", "release"))
        refuse("workspace_suspended", when=is_suspended)
        refuse("unit_mismatch", when=command.unit not in (None, card.scheme.unit))
        amount = command.amount_minor
        if amount is None:
            refuse("amount_required", when=kind in ("load", "adjust", "hold"))
        else:
            refuse("amount_invalid", when=amount == 0 or (amount < 0 and kind != "adjust"))
        refuse("reference_used", when=(command.workspace_id, command.reference) in self.references)
        legs = getattr(self, f"_{kind}")(card, command, entry_id)
        for leg in legs:
            leg.moves = leg.moves + leg.card.pay_debt(self.now())
        is_coupon = card.scheme.protocol == "COUPON"
        is_final = is_coupon and kind in ("redeem", "capture")
        fact = Fact(card.workspace_id, kind, legs)
        return fact, is_final and card.balance <= card.scheme.floor

    def _kind(self, card: Card, command: Any) -> str:
        if command.kind != "use":
            return str(command.kind)
        protocol, is_bought = card.scheme.protocol, command.purchase_minor is not None
        if protocol == "MEMBERSHIP":
            return "earn" if is_bought or command.amount_minor is None else "redeem"
        refuse("action_not_supported", when=is_bought)
        if protocol == "EVENT_TICKET":
            refuse("action_not_supported", when=command.amount_minor is not None)
            return "check_in"
        return "redeem"

    # What each kind does. Every one checks first, and changes the card last.

    def _load(self, card: Card, command: Any, entry_id: UUID) -> list[Leg]:
        return self._credit(card, command.amount_minor, LOOSE)

    def _earn(self, card: Card, command: Any, entry_id: UUID) -> list[Leg]:
        amount = command.amount_minor
        if amount is None:
            amount = self._points(card, command)
        return self._credit(card, amount, card.scheme.span(self.now()))

    def _points(self, card: Card, command: Any) -> int:
        if command.purchase_minor is None:
            is_counted = command.kind == "use" and card.scheme.unit in ("stamps", "visits")
            refuse("amount_required", when=not is_counted)
            return 1
        if card.scheme.points_per_euro is None:
            raise No("no_earn_rule")
        refuse("purchase_unit_mismatch", when=command.purchase_unit not in (None, "EUR"))
        points: int = command.purchase_minor * card.scheme.points_per_euro // 100
        refuse("purchase_earns_nothing", when=points == 0)
        return points

    def _credit(self, card: Card, amount: int, span: Span) -> list[Leg]:
        now = self.now()
        refuse("amount_out_of_range", when=abs(card.balance + amount) > LARGEST)
        self._check_entry(card, amount)
        earned, spent = self._today(card)
        self._check_day(card, earned + amount)
        self._check_most(card, amount, "balance_limit_exceeded")
        card.day, card.earned_today, card.spent_today = now.date(), earned + amount, spent
        moves = card.receive([(span, amount)], now)
        card.be_active(now)
        return [Leg(card, amount, moves)]

    def _redeem(self, card: Card, command: Any, entry_id: UUID) -> list[Leg]:
        amount = self._amount_redeemed(card, command)
        refuse("amount_out_of_range", when=abs(card.balance - amount) > LARGEST)
        self._check_entry(card, amount)
        self._check_spending(card, amount)
        self._count_spent(card, amount)
        moves = card.spend(amount, self.now())
        card.be_active(self.now())
        return [Leg(card, -amount, moves)]

    def _amount_redeemed(self, card: Card, command: Any) -> int:
        scheme, amount = card.scheme, command.amount_minor
        if command.everything:
            amount = self._all(card)
            refuse("redemption_too_large", when=amount > (scheme.most_redeemed or LARGEST))
            return amount
        if amount is None:
            counts_uses = scheme.protocol == "COUPON" and scheme.unit != "EUR"
            refuse("amount_required", when=not (command.kind == "use" and counts_uses))
            amount = 1
        self._check_bounds(card, amount)
        return int(amount)

    def _check_bounds(self, card: Card, amount: int) -> None:
        refuse("redemption_too_small", when=amount < (card.scheme.least_redeemed or 0))
        refuse("redemption_too_large", when=amount > (card.scheme.most_redeemed or LARGEST))

    def _all(self, card: Card) -> int:
        amount = card.available(self.now())
        refuse("nothing_to_redeem", when=amount == 0)
        return amount

    def _adjust(self, card: Card, command: Any, entry_id: UUID) -> list[Leg]:
        amount, now = command.amount_minor, self.now()
        refuse("amount_out_of_range", when=abs(card.balance + amount) > LARGEST)
        self._check_entry(card, abs(amount))
        if amount > 0:
            self._check_most(card, amount, "balance_limit_exceeded")
            span = (None, card.scheme.span(now)[1])
            return [Leg(card, amount, card.receive([(span, amount)], now))]
        refuse("insufficient_balance", when=-amount > card.available(now))
        return [Leg(card, amount, card.spend(-amount, now))]

    def _transfer(self, card: Card, command: Any, entry_id: UUID) -> list[Leg]:
        other, now = self._other(command), self.now()
        if other is None:
            raise No("other_pass_unknown")
        refuse("transfer_to_itself", when=other is card)
        refuse("balance_kept_upstream", when=other.is_upstream)
        refuse("other_account_closed", when=not other.is_open)
        refuse("unit_mismatch", when=other.scheme.unit != card.scheme.unit)
        amount = self._all(card) if command.everything else command.amount_minor
        if amount is None:
            raise No("amount_required")
        out = max(abs(card.balance - amount), abs(other.balance + amount)) > LARGEST
        refuse("amount_out_of_range", when=out)
        self._check_entry(card, amount)
        self._check_day(card, self._today(card)[1] + amount)
        self._check_most(other, amount, "other_balance_limit_exceeded")
        refuse("insufficient_balance", when=amount > card.available(now))
        self._count_spent(card, amount)
        given = card.spend(amount, now)
        loose = [(span, -n) for span, n in given if span == LOOSE]
        dated = [(span, -n) for span, n in given if span != LOOSE]
        received = other.receive([*loose, *dated], now)
        card.be_active(now)
        return [Leg(card, -amount, given), Leg(other, amount, received)]

    def _hold(self, card: Card, command: Any, entry_id: UUID) -> list[Leg]:
        now, amount, ends = self.now(), command.amount_minor, command.hold_until
        if ends is None:
            ends = now + timedelta(seconds=card.scheme.hold_s)
        else:
            refuse("hold_until_invalid", when=not now < ends <= now + timedelta(days=31))
        is_full = sum(each.is_open for each in card.holds.values()) >= 100
        refuse("too_many_holds", when=is_full)
        self._check_bounds(card, amount)
        refuse("amount_out_of_range", when=card.held + amount > LARGEST)
        self._check_entry(card, amount)
        self._check_spending(card, amount)
        self._count_spent(card, amount)
        card.holds[entry_id] = KeptHold(amount, ends)
        return [Leg(card, 0, [])]

    def _capture(self, card: Card, command: Any, entry_id: UUID) -> list[Leg]:
        kept = self._open_hold(card, command)
        refuse("hold_ended", when=kept.ends <= self.now())
        amount = kept.left if command.amount_minor is None else command.amount_minor
        refuse("hold_exceeded", when=amount > kept.left)
        kept.left = kept.left - amount if command.keep_rest else 0
        kept.is_open = kept.left > 0
        moves = card.spend(amount, self.now(), lapsed_too=True)
        card.be_active(self.now())
        return [Leg(card, -amount, moves)]

    def _release(self, card: Card, command: Any, entry_id: UUID) -> list[Leg]:
        self._open_hold(card, command).is_open = False
        return [Leg(card, 0, [])]

    def _open_hold(self, card: Card, command: Any) -> KeptHold:
        kept = card.holds.get(command.hold_id)
        if kept is None:
            raise No("hold_unknown")
        refuse("hold_ended", when=not kept.is_open)
        return kept

    def _expire(self, card: Card, command: Any, entry_id: UUID) -> list[Leg]:
        now, amount = self.now(), command.amount_minor
        unheld = card.balance - card.held - card.pending(now)
        if amount is not None:
            refuse("insufficient_balance", when=amount > unheld - max(card.scheme.floor, 0))
            moves = card.spend(amount, now, lapsed_too=True)
        else:
            unneeded = card.lapsed(now) - card.held
            amount = min(unneeded, unheld - max(card.scheme.floor, 0))
            refuse("nothing_to_expire", when=amount <= 0)
            over = {span: n for span, n in card.pots.items() if span[1] and span[1] <= now}
            moves, left = [], amount
            for span in sorted(over, key=soonness):
                moves.append((span, -min(left, over[span])))
                left += moves[-1][1]
            moves = card.do([*moves, (LOOSE, -left)])
        if card.loose <= 0:
            card.idle_until = None
        return [Leg(card, -amount, moves)]

    def _close(self, card: Card, command: Any, entry_id: UUID) -> list[Leg]:
        refuse("holds_open", when=card.held > 0)
        card.is_open = False
        return [Leg(card, 0, [])]

    def _check_in(self, card: Card, command: Any, entry_id: UUID) -> list[Leg]:
        refuse("action_not_supported", when=card.scheme.protocol != "EVENT_TICKET")
        amount = 1 if card.available(self.now()) > 0 else 0
        if amount == 0 and not (card.was_in and card.scheme.re_entry):
            raise No("already_checked_in" if card.was_in else "nothing_to_redeem")
        card.was_in = True
        return [Leg(card, -amount, card.spend(amount, self.now()))]

    def _review(self, card: Card, command: Any, entry_id: UUID) -> list[Leg]:
        raise No("nothing_to_review")

    def _reverse(self, card: Card, command: Any, entry_id: UUID) -> list[Leg]:
        fact = self._fact(command)
        own = [] if fact is None else [leg for leg in fact.legs if leg.card is card]
        if fact is None or not own:
            raise No("entry_unknown")
        is_final = fact.kind in ("hold", "release", "reverse", "expire", "close")
        refuse("entry_not_reversible", when=is_final or own[0].amount == 0)
        left = abs(own[0].amount) - fact.taken_back
        refuse("already_reversed", when=left == 0)
        refuse("reversal_exceeds_entry", when=(command.amount_minor or 0) > left)
        amount = command.amount_minor or left
        for leg in fact.legs:
            self._check_reversal(fact, leg, amount)
        legs = [self._undo(fact, leg, amount) for leg in fact.legs]
        fact.taken_back += amount
        if fact.kind == "check_in":
            card.was_in = False
        return legs

    def _check_reversal(self, fact: Fact, leg: Leg, amount: int) -> None:
        card, now = leg.card, self.now()
        if leg.amount < 0:
            most = max(abs(card.balance + amount), sum(card.pots.values()) + amount)
            refuse("amount_out_of_range", when=most > LARGEST)
            return
        refuse("amount_out_of_range", when=abs(card.balance - amount) > LARGEST)
        own = self._own(leg)
        waiting = sum(n for (starts, _), n in own.items() if starts and starts > now)
        over = sum(n for (_, ends), n in own.items() if ends and ends <= now)
        unheld = card.balance - card.held - card.scheme.floor - card.pending(now) + waiting
        covered = min(card.available(now) + waiting + over, unheld)
        refuse("insufficient_balance", when=amount > covered)

    def _own(self, leg: Leg) -> dict[Span, int]:
        """What is left of the leg in pots."""
        return {span: min(n, leg.card.pots.get(span, 0)) for span, n in leg.unreversed().items()}

    def _undo(self, fact: Fact, leg: Leg, amount: int) -> Leg:
        if leg.amount > 0:
            return self._take_away(fact, leg, amount)
        # Loose points come back first, then those that were taken last.
        card, moves, left = leg.card, [], amount
        loose = -leg.amount - fact.taken_back + sum(leg.unreversed().values())
        for span, n in [(LOOSE, -max(loose, 0)), *reversed(leg.unreversed().items())]:
            moves.append((span, min(left, -n)))
            left -= moves[-1][1]
        assert left == 0
        leg.note(card.do(moves))
        if card.idle_until is None:
            card.idle_until = card.scheme.idle_until(self.now())
        return Leg(card, amount, moves)

    def _take_away(self, fact: Fact, leg: Leg, amount: int) -> Leg:
        """Its own loose points, its own in pots (those that lapse last first), then others."""
        card, now, own = leg.card, self.now(), self._own(leg)
        loose = leg.amount - fact.taken_back - sum(leg.unreversed().values())
        if card.idle_until is not None and card.idle_until <= now:
            loose = 0
        moves = [(LOOSE, -max(min(amount, loose, card.loose), 0))]
        left = amount + moves[0][1]
        for span in sorted(own, key=soonness, reverse=True):
            moves.append((span, -min(left, own[span])))
            left += moves[-1][1]
        moves = card.do(moves) + card.spend(left, now)
        leg.note(moves)
        return Leg(card, -amount, moves)

    def _today(self, card: Card) -> tuple[int, int]:
        is_today = card.day == self.now().date()
        return (card.earned_today, card.spent_today) if is_today else (0, 0)

    def _count_spent(self, card: Card, amount: int) -> None:
        earned, spent = self._today(card)
        card.day, card.earned_today, card.spent_today = self.now().date(), earned, spent + amount

    def _check_spending(self, card: Card, amount: int) -> None:
        self._check_day(card, self._today(card)[1] + amount)
        refuse("insufficient_balance", when=amount > card.available(self.now()))

    def _check_entry(self, card: Card, amount: int) -> None:
        most = card.scheme.most_per_entry
        refuse("entry_limit_exceeded", when=most is not None and amount > most)

    def _check_day(self, card: Card, counted: int) -> None:
        most = card.scheme.most_per_day
        refuse("day_limit_exceeded", when=most is not None and counted > most)

    def _check_most(self, card: Card, amount: int, code: str) -> None:
        most = card.scheme.most_in_all
        refuse(code, when=most is not None and card.balance + amount > most)


@dataclass(frozen=True)
class Reference:
    """Its parts, for a test to build."""

    ledger: type[ReferenceLedger] = ReferenceLedger
    card: type[Card] = Card
    scheme: type[Scheme] = Scheme
    told: type[Told] = Told


@pytest.fixture
def reference() -> Reference:
    return Reference()
