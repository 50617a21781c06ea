"""What is said of an error, and what is not. proves: J71, J72"""

from __future__ import annotations

import ssl

import asyncpg
import pytest
from aiokafka.errors import KafkaConnectionError
from pydantic import BaseModel, ValidationError

from passferry_runtime.causes import MAX_CAUSES, cause_of, traceback_of
from passferry_runtime.crypto import KeyRing, KeyRingInvalid

pytestmark = pytest.mark.unit

PLANTED = "ana-77"


class Row(BaseModel):
    number: int


def key_violation():
    return asyncpg.PostgresError.new(
        {
            "C": "23505",
            "M": f"duplicate key {PLANTED}",
            "D": f"Key (external_id)=({PLANTED}) already exists.",
            "t": "holder",
            "n": "holder_external_id_key",
        }
    )


def caught(fail):
    with pytest.raises(Exception) as failed:
        fail()
    return failed.value


def raised(error):
    def fail():
        raise error

    return caught(fail)


@pytest.mark.parametrize(
    ("fail", "told"),
    [
        (lambda: int(PLANTED), "ValueError"),
        (lambda: {}[PLANTED], "KeyError"),
        (lambda: Row(number=PLANTED), "ValidationError"),
        (lambda: open(f"/nowhere/{PLANTED}"), "FileNotFoundError 2 No such file or directory"),  # noqa: PTH123, SIM115  # never opens
    ],
)
def test_the_text_of_a_foreign_error_is_not_told(fail, told):
    error = caught(fail)
    assert PLANTED in str(error)
    assert cause_of(error) == told


def test_of_postgres_the_state_and_the_names_of_the_schema_are_told():
    error = raised(key_violation())
    assert PLANTED in str(error)
    assert cause_of(error) == "UniqueViolationError 23505 holder holder_external_id_key"


def test_of_kafka_the_number_is_told():
    assert cause_of(KafkaConnectionError(PLANTED)).startswith("KafkaConnectionError")
    assert PLANTED not in cause_of(KafkaConnectionError(PLANTED))


def test_of_tls_the_reason_is_told_and_no_number_that_would_mean_something_else():
    error = ssl.SSLCertVerificationError(1, PLANTED)
    assert cause_of(error) == "SSLCertVerificationError"
    error.reason = "CERTIFICATE_VERIFY_FAILED"
    assert cause_of(error) == "SSLCertVerificationError CERTIFICATE_VERIFY_FAILED"


def test_our_own_errors_say_what_they_say_and_where():
    error = caught(lambda: KeyRing({}, active="k1"))
    assert isinstance(error, KeyRingInvalid)
    assert cause_of(error).startswith(f"KeyRingInvalid: {error} at passferry_runtime.crypto:")


def test_a_traceback_shows_each_error_that_led_to_it_and_ends_with_the_last():
    def fail():
        try:
            Row(number=PLANTED)
        except ValidationError as error:
            raise LookupError(PLANTED) from error

    told = traceback_of(caught(fail))
    assert "ValidationError" in told
    assert "in fail" in told
    assert told.endswith("LookupError")


def test_a_long_chain_or_a_circle_of_errors_is_cut():
    error = ValueError("the first")
    for number in range(50):
        following = ValueError(str(number))
        following.__cause__ = error
        error = following
    assert traceback_of(error).count("ValueError") == MAX_CAUSES
    error.__cause__ = error
    assert traceback_of(error) == "ValueError"
