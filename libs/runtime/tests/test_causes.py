"""What is said of an error, and what is not. proves: J71, J72"""

from __future__ import annotations

import socket
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


def test_of_a_name_that_is_not_found_the_text_of_the_system_is_told():
    error = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    assert cause_of(error) == f"gaierror {socket.EAI_NONAME} Name or service not known"


def test_what_a_library_writes_into_an_error_of_the_system_is_not_told():
    error = ConnectionRefusedError(111, f"Connect call failed for {PLANTED}")
    assert cause_of(error) == "ConnectionRefusedError 111 Connection refused"


def test_of_an_error_that_others_led_to_the_first_is_told_too():
    def fail():
        try:
            try:
                raise ConnectionRefusedError(111, PLANTED)
            except OSError as error:
                raise LookupError(PLANTED) from error
        except LookupError as error:
            raise RuntimeError(PLANTED) from error

    error = caught(fail)
    assert cause_of(error) == "RuntimeError, from ConnectionRefusedError 111 Connection refused"
    assert traceback_of(error).endswith("RuntimeError")


def test_what_an_error_was_told_not_to_come_from_is_not_told():
    def fail():
        try:
            int(PLANTED)
        except ValueError:
            raise LookupError(PLANTED) from None

    assert cause_of(caught(fail)) == "LookupError"


def test_a_file_is_named_only_where_it_is_asked_for():
    error = FileNotFoundError(2, PLANTED, "/etc/passferry/roots")
    assert cause_of(error) == "FileNotFoundError 2 No such file or directory"
    told = cause_of(error, names_file=True)
    assert told == "FileNotFoundError 2 No such file or directory /etc/passferry/roots"
    group = ExceptionGroup("wrapped", [error])
    assert cause_of(group, names_file=True) == f"ExceptionGroup, from {told}"
