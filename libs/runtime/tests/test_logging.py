"""Log lines and what must never be in them."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from passferry_runtime.logging import (
    MAX_TRACEBACK_CHARACTERS,
    JsonFormatter,
    configure_logging,
    get_logger,
)
from passferry_runtime.settings import SettingsInvalid
from passferry_runtime.tracing import span

HEX_64 = "ab" * 32
PEM = "-----BEGIN PRIVATE KEY-----\nMIIEvQ+/xyz\n-----END PRIVATE KEY-----"
PLANTED = {
    "ApplePass vxwxd7J8AlNNFPS8k0a0FfUFtq0ewzFdc": "vxwxd7J8AlNNFPS8k0a0FfUFtq0ewzFdc",
    "Bearer abc.def-ghi": "abc.def-ghi",
    "Basic dXNlcjpwYXNzd29yZA==": "dXNlcjpwYXNzd29yZA==",
    "pf_live_0011223344556677_secretsecret_00000000": "secretsecret",
    PEM: "MIIEvQ",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEvQcutshort": "MIIEvQcutshort",
    f"push token {HEX_64}": HEX_64,
    "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJhIn0.c2ln": "eyJpc3MiOiJhIn0",
    "a duplicate\nDETAIL:  Key (external_id)=(ana-77) already exists.": "ana-77",
}


@pytest.fixture
def lines(monkeypatch):
    """Everything that is logged, as it would be written."""
    written: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record):
            written.append(self.format(record))

    handler = Handler()
    handler.setFormatter(JsonFormatter("ledger", "1.2.3"))
    logger = logging.getLogger("test.runtime")
    logger.propagate = False
    logger.setLevel("INFO")
    logger.addHandler(handler)
    yield written
    logger.removeHandler(handler)


log = get_logger("test.runtime")


def test_a_line_holds_the_event_the_service_the_trace_and_the_fields(lines):
    with span("work", parent="00-" + "1" * 32 + "-" + "2" * 16 + "-01") as own:
        log.info("pass_issued", workspace_id="w-1", amount_minor=5, missing=None)
    line = json.loads(lines[0])
    assert line["event"] == "pass_issued"
    assert (line["service"], line["version"], line["level"]) == ("ledger", "1.2.3", "info")
    assert (line["trace_id"], line["span_id"]) == ("1" * 32, own[36:52])
    assert (line["workspace_id"], line["amount_minor"], line["missing"]) == ("w-1", 5, None)
    assert line["timestamp"].endswith("+00:00")


@pytest.mark.parametrize("text", PLANTED)
def test_a_secret_is_taken_out_wherever_it_was_put(lines, text):
    secret = PLANTED[text]
    log.info("planted", field=f"before {text} after")
    log.info("planted", listed=[text], nested={"deeper": {"deepest": text}})
    logging.getLogger("test.runtime").error(text)
    logging.getLogger("test.runtime").warning("from a library: %s", text)
    try:
        raise SettingsInvalid([text])
    except SettingsInvalid:
        log.exception("planted")
    assert len(lines) == 5
    for line in lines:
        assert secret not in line
        assert "[redacted]" in line


@pytest.mark.parametrize("planted", ["ana-77"])
def test_what_an_error_of_a_library_quotes_is_in_no_line(lines, planted):
    # proves: J71, J72
    def fail():
        try:
            int(planted)
        except ValueError as error:
            raise ExceptionGroup(planted, [KeyError(planted)]) from error

    try:
        fail()
    except ExceptionGroup:
        log.exception("planted")
        # As asyncio tells of a task that nobody waited for.
        logging.getLogger("test.runtime").exception("Task failed\nfuture: %s", planted)
    for line in lines:
        assert planted not in line
        exception = json.loads(line)["exception"]
        for name in ("ValueError", "KeyError", "ExceptionGroup", "in fail\n    int(planted)"):
            assert name in exception


@pytest.mark.parametrize(
    "name", ["Authorization", "password", "push_token", "client_secret", "private_key", "api_key"]
)
def test_a_field_with_the_name_of_a_secret_is_taken_out_at_every_depth(lines, name):
    log.info("planted", **{name: "harmless-looking"})
    log.info("planted", body={"inner": {name: "harmless-looking"}})
    assert not [line for line in lines if "harmless-looking" in line]


@pytest.mark.parametrize("harmless", ["018f2b1e-7c4e-7b4b-9a51-7061737366e1", "key_id", "a" * 40])
def test_ids_are_left_readable(lines, harmless):
    log.info("seen", pass_id=harmless, key_id="k1")
    assert json.loads(lines[0])["pass_id"] == harmless
    assert json.loads(lines[0])["key_id"] == "k1"


def test_a_field_cannot_replace_what_the_line_says_itself(lines):
    log.info("seen", service="another", timestamp="yesterday")
    line = json.loads(lines[0])
    assert line["service"] == "ledger"
    assert line["service_"] == "another"


def test_values_that_json_cannot_hold_do_not_lose_the_line(lines):
    log.info("odd", text="half \ud800 surrogate", number=2**70, thing=object(), raw=b"\xff")
    line = json.loads(lines[0])
    assert line["event"] == "odd"
    assert line["number"] == 2**70


def test_a_line_break_in_a_value_does_not_start_a_new_line(lines):
    log.info("seen", text='x\n{"event": "forged"}')
    assert "\n" not in lines[0]


def test_values_are_bounded_and_tracebacks_keep_their_end(lines):
    log.info("long", text="x" * 10_000, items=list(range(1_000)))
    line = json.loads(lines[0])
    assert len(line["text"]) == 2_000
    assert len(line["items"]) == 50
    try:
        raise SettingsInvalid(["y" * 20_000 + " the end"])
    except SettingsInvalid:
        log.exception("failed")
    exception = json.loads(lines[1])["exception"]
    assert len(exception) <= MAX_TRACEBACK_CHARACTERS
    assert exception.endswith("the end")


def test_what_any_library_logs_becomes_a_json_line_on_stdout(capsys):
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        configure_logging("ledger", "INFO")
        root.handlers[0].setStream(sys.stdout)
        logging.getLogger("some.library").info("connected to %s", "somewhere")
        logging.getLogger("some.library").debug("unseen")
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    assert json.loads(capsys.readouterr().out)["event"] == "connected to somewhere"
