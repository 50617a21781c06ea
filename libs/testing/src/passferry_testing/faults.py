"""Which requests a simulator mistreats: rules with counts and seeded probabilities."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

MAX_RULES = 1000
MAX_DELAY_MS = 600_000
MAX_TRACKED_SUBJECTS = 1_000_000
_SPAN = 1 << 64

DelayMs = Annotated[float, Field(ge=0, le=MAX_DELAY_MS)]


class FaultRule(BaseModel):
    """The part that all simulators' faults share: whom it hits, how often, and how much later.

    `subject_prefix` and `scope` select requests (for APNs: hex token and topic; for the
    Dittofeed recorder: workspace and call). The rule passes over the first `skip` matches, then
    fires at most `count` times, each with `probability`. `delay_ms` is a fixed number or a
    [low, high] pair, drawn uniformly.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    subject_prefix: str = ""
    scope: str = ""
    skip: int = Field(default=0, ge=0)
    count: int | None = Field(default=None, ge=0)
    probability: float = Field(default=1.0, ge=0.0, le=1.0)
    delay_ms: DelayMs | tuple[DelayMs, DelayMs] = 0.0

    @property
    def is_only_delay(self) -> bool:
        """Whether the request is answered normally afterwards, so that later rules still apply."""
        return False

    @model_validator(mode="after")
    def _delay_is_ordered(self) -> Self:
        if isinstance(self.delay_ms, tuple) and self.delay_ms[0] > self.delay_ms[1]:
            raise ValueError("delay_ms: the first number must not be above the second")
        return self


Rule = TypeVar("Rule", bound=FaultRule)


class FaultSchedule(Generic[Rule]):
    """Decides per request which rule fires.

    Chance depends only on the seed, the rule's position, the subject and how many requests that
    subject has made, so that a run repeats whatever the order in which requests interleave.
    """

    def __init__(self, seed: int = 0, rules: Iterable[Rule] = ()) -> None:
        self.seed = seed
        self._rules: list[Rule] = []
        self._matched: list[int] = []
        self._fired: list[int] = []
        self._requests_by_subject: Counter[str] = Counter()
        self.add(rules)

    def add(self, rules: Iterable[Rule]) -> None:
        for rule in rules:
            if len(self._rules) >= MAX_RULES:
                raise ValueError(f"more than {MAX_RULES} fault rules")
            self._rules.append(rule)
            self._matched.append(0)
            self._fired.append(0)

    def clear(self) -> None:
        self._rules.clear()
        self._matched.clear()
        self._fired.clear()
        self._requests_by_subject.clear()

    @property
    def fired(self) -> list[tuple[Rule, int]]:
        """Each rule with the number of times that it fired."""
        return list(zip(self._rules, self._fired, strict=True))

    def decide(self, subject: str, scope: str) -> tuple[Rule | None, float]:
        """Return the rule that ends this request's normal treatment, and the delay in seconds."""
        if not self._rules:
            return None, 0.0
        ordinal = self._ordinal(subject)
        delay_ms = 0.0
        for position, rule in enumerate(self._rules):
            if not self._fires(position, rule, subject, scope, ordinal):
                continue
            delay_ms += self._delay_ms(position, rule, subject, ordinal)
            if not rule.is_only_delay:
                return rule, delay_ms / 1000
        return None, delay_ms / 1000

    def _ordinal(self, subject: str) -> int:
        if len(self._requests_by_subject) > MAX_TRACKED_SUBJECTS:
            self._requests_by_subject.clear()
        self._requests_by_subject[subject] += 1
        return self._requests_by_subject[subject]

    def _fires(self, position: int, rule: Rule, subject: str, scope: str, ordinal: int) -> bool:
        if not subject.startswith(rule.subject_prefix) or rule.scope not in ("", scope):
            return False
        self._matched[position] += 1
        if self._matched[position] <= rule.skip:
            return False
        if rule.count is not None and self._fired[position] >= rule.count:
            return False
        if rule.probability < 1.0:
            chance = self._chance("fire", position, subject, ordinal)
            if chance >= rule.probability:
                return False
        self._fired[position] += 1
        return True

    def _delay_ms(self, position: int, rule: Rule, subject: str, ordinal: int) -> float:
        if not isinstance(rule.delay_ms, tuple):
            return rule.delay_ms
        low, high = rule.delay_ms
        return low + (high - low) * self._chance("delay", position, subject, ordinal)

    def _chance(self, purpose: str, position: int, subject: str, ordinal: int) -> float:
        text = f"{self.seed}:{purpose}:{position}:{subject}:{ordinal}"
        digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
        return int.from_bytes(digest) / _SPAN
