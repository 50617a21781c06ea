"""Settings from environment and files."""

from __future__ import annotations

import os

import pytest
from pydantic import BaseModel, SecretStr

from passferry_runtime.settings import ServiceSettings, SettingsInvalid, load_settings

WORKSPACE = "018f2b1e-7c4e-7b4b-9a51-7061737366e1"


class Limits(BaseModel):
    most: int = 1


class ExampleSettings(ServiceSettings):
    write_key: SecretStr | None = None
    key_ring_file: str | None = None
    origins: list[str] = []  # noqa: RUF012  # pydantic copies it
    limits: Limits = Limits()


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for variable in list(os.environ):
        if variable.startswith("PASSFERRY_"):
            monkeypatch.delenv(variable)
    given = {"KAFKA_BROKERS": "127.0.0.1:9092", "DATABASE_URL": "postgresql://u:pw@h/d"}
    for name, value in given.items():
        monkeypatch.setenv(f"PASSFERRY_{name}", value)

    def give(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(f"PASSFERRY_{name}", value)

    return give


def faults() -> str:
    with pytest.raises(SettingsInvalid) as caught:
        load_settings(ExampleSettings)
    assert all("\n" not in fault for fault in caught.value.faults)
    return "\n".join(caught.value.faults)


def test_what_is_not_set_has_a_safe_default():
    settings = load_settings(ExampleSettings)
    assert settings.http_host == "127.0.0.1"
    assert settings.auth_mode == "multi-tenant"
    assert "pw" not in repr(settings)


def test_every_missing_setting_is_named_at_once(monkeypatch):
    monkeypatch.delenv("PASSFERRY_KAFKA_BROKERS")
    monkeypatch.delenv("PASSFERRY_DATABASE_URL")
    text = faults()
    assert "PASSFERRY_KAFKA_BROKERS is missing" in text
    assert "PASSFERRY_DATABASE_URL is missing: set it (or PASSFERRY_DATABASE_URL_FILE)" in text


def test_an_empty_variable_counts_as_not_set(environment):
    environment(KAFKA_BROKERS="", SINGLE_WORKSPACE_ID="")
    assert "PASSFERRY_KAFKA_BROKERS is missing" in faults()


def test_an_unknown_variable_names_the_closest_known_one(environment):
    environment(KAFKA_BROKER="x")
    assert "PASSFERRY_KAFKA_BROKER is not a setting of this service" in faults()
    assert "did you mean PASSFERRY_KAFKA_BROKERS?" in faults()


def test_parts_of_objects_have_variables_of_their_own_and_others_have_none(environment):
    environment(LIMITS__MOST="7")
    assert load_settings(ExampleSettings).limits.most == 7
    environment(HTTP_PORT__MOST="7")
    assert "PASSFERRY_HTTP_PORT__MOST is not a setting" in faults()


def test_a_secret_comes_from_a_file_less_one_line_break(environment, tmp_path):
    (tmp_path / "key").write_text("s3cret \n\n")
    environment(WRITE_KEY_FILE=str(tmp_path / "key"))
    settings = load_settings(ExampleSettings)
    assert settings.write_key is not None
    assert settings.write_key.get_secret_value() == "s3cret \n"


def test_a_setting_given_both_ways_is_refused(environment, tmp_path):
    (tmp_path / "key").write_text("b")
    environment(WRITE_KEY="a", WRITE_KEY_FILE=str(tmp_path / "key"))
    assert "PASSFERRY_WRITE_KEY and PASSFERRY_WRITE_KEY_FILE are both set" in faults()


def test_a_setting_that_is_a_path_is_not_read_as_a_file(environment):
    environment(KEY_RING_FILE="/nowhere/ring.json")
    assert load_settings(ExampleSettings).key_ring_file == "/nowhere/ring.json"


@pytest.mark.parametrize(
    ("content", "fault"),
    [(None, "cannot read"), (b"\xff\xfe", "not text"), (b"x" * 1_000_001, "larger than")],
)
def test_a_file_that_cannot_be_used_is_named(environment, tmp_path, content, fault):
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    environment(WRITE_KEY_FILE=str(path))
    assert "PASSFERRY_WRITE_KEY_FILE" in faults()
    assert fault in faults()


def test_a_wrong_value_is_named_and_not_shown(environment):
    environment(HTTP_PORT="secret-by-mistake")
    assert "PASSFERRY_HTTP_PORT" in faults()
    assert "secret-by-mistake" not in faults()
    environment(HTTP_PORT="1", ORIGINS="not-json")
    assert "origins" in faults()
    assert "not-json" not in faults()


def test_anonymous_refuses_to_start_in_production_without_the_flag(environment):
    # proves: J68
    environment(AUTH_MODE="anonymous", SINGLE_WORKSPACE_ID=WORKSPACE)
    load_settings(ExampleSettings)
    environment(ENVIRONMENT="production")
    assert "anonymous does not start in production" in faults()
    environment(ALLOW_ANONYMOUS_IN_PRODUCTION="true")
    load_settings(ExampleSettings)


@pytest.mark.parametrize("mode", ["anonymous", "single-tenant"])
def test_a_mode_of_one_workspace_needs_to_know_which(environment, mode):
    # proves: J68
    environment(AUTH_MODE=mode)
    assert "PASSFERRY_SINGLE_WORKSPACE_ID" in faults()
