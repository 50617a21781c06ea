"""How the simulated push service can be told to misbehave."""

from typing import Literal, Self

from pydantic import Field, model_validator

from passferry_testing.faults import FaultRule

Action = Literal["delay", "answer", "answer_lost", "refuse_stream", "cut", "no_answer", "goaway"]
Loss = Literal["reset", "cut", "silence"]


class ApnsFault(FaultRule):
    """One rule. `subject_prefix` is a hex prefix of push tokens, `scope` a topic.

    - `delay`: answer normally, `delay_ms` later (delays of several rules add up).
    - `answer`: answer with `status` and `reason`; without a reason the body is empty. 410 takes
      `timestamp_ms`, any answer `retry_after_s`. The push is not accepted.
    - `answer_lost`: accept and record the push, then lose the answer as `loss` says: reset the
      stream, cut the connection, or stay silent.
    - `refuse_stream`: RST_STREAM with REFUSED_STREAM, not accepted.
    - `cut`: cut the connection, not accepted.
    - `no_answer`: neither accept nor answer; the stream stays open.
    - `goaway`: accept this push, send GOAWAY with its stream as the last, ignore later streams,
      finish the earlier ones and close. `reason` goes into the GOAWAY's JSON.
    """

    action: Action
    status: int = Field(default=503, ge=200, le=599)
    reason: str | None = None
    timestamp_ms: int | None = None
    retry_after_s: int | None = Field(default=None, ge=0)
    loss: Loss = "reset"

    @property
    def is_only_delay(self) -> bool:
        return self.action == "delay"

    @model_validator(mode="after")
    def _delay_has_a_length(self) -> Self:
        if self.action == "delay" and self.delay_ms == 0:
            raise ValueError("delay_ms: a delay needs a length")
        return self
