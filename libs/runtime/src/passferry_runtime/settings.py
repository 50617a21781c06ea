"""Settings from the environment: `PASSFERRY_NAME`, or `PASSFERRY_NAME_FILE` for secrets in files."""

from __future__ import annotations

import difflib
import importlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self, TypeVar
from uuid import UUID

from pydantic import BaseModel, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

PREFIX = "PASSFERRY_"
FILE_SUFFIX = "_FILE"
MAX_FILE_BYTES = 1_000_000

AuthMode = Literal["multi-tenant", "single-tenant", "anonymous"]


class SettingsInvalid(Exception):
    """Each fault is one line that names the variable and says what to do."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class ServiceSettings(BaseSettings):
    """What every service reads. Subclasses add their own."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        # Compose files give an empty string for what is not set.
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
    )

    environment: Literal["development", "test", "production"] = "development"
    http_host: str = "127.0.0.1"
    #: 0 takes a free port; see `instance_file`.
    http_port: int = Field(default=8080, ge=0, le=65_535)
    #: The service writes its process id and port here once it listens.
    instance_file: Path | None = None

    kafka_brokers: str
    kafka_group_prefix: str = ""
    kafka_topic_prefix: str = ""
    kafka_group_instance_id: str | None = None
    kafka_session_timeout_ms: int = Field(default=30_000, ge=1_000)
    kafka_heartbeat_interval_ms: int = Field(default=3_000, ge=100)
    kafka_rebalance_timeout_ms: int = Field(default=60_000, ge=1_000)
    parking_max_attempts: int = Field(default=100, ge=1)
    parking_max_age_s: float = Field(default=3_600.0, gt=0)
    parking_first_retry_s: float = Field(default=1.0, gt=0)

    database_url: SecretStr
    database_pool_size: int = Field(default=10, ge=2, le=100)
    redis_url: SecretStr | None = None

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    drain_timeout_s: float = Field(default=20.0, gt=0, le=300)

    auth_mode: AuthMode = "multi-tenant"
    single_workspace_id: UUID | None = None
    allow_anonymous_in_production: bool = False

    @model_validator(mode="after")
    def _mode_is_possible(self) -> Self:
        if self.auth_mode != "multi-tenant" and self.single_workspace_id is None:
            raise ValueError(f"auth_mode {self.auth_mode} needs PASSFERRY_SINGLE_WORKSPACE_ID")
        is_open = self.auth_mode == "anonymous" and self.environment == "production"
        if is_open and not self.allow_anonymous_in_production:
            raise ValueError(
                "auth_mode anonymous does not start in production: anyone could do anything"
                " (PASSFERRY_ALLOW_ANONYMOUS_IN_PRODUCTION=true if that is meant)"
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _FileSource(settings_cls)


class _FileSource(InitSettingsSource):
    """`PASSFERRY_X_FILE=path` gives `x` the content of the file, less one newline."""

    def __init__(self, settings_class: type[BaseSettings]) -> None:
        values: dict[str, Any] = {}
        for name in settings_class.model_fields:
            variable = f"{PREFIX}{name.upper()}{FILE_SUFFIX}"
            path = os.environ.get(variable)
            if not path or f"{name}_file" in settings_class.model_fields:
                continue
            values[name] = _content(variable, path)
        super().__init__(settings_class, values)


def _content(variable: str, path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise SettingsInvalid([f"{variable}: {path} is larger than {MAX_FILE_BYTES} bytes"])
        return content.decode().removesuffix("\n")
    except OSError as error:
        raise SettingsInvalid([f"{variable}: cannot read {path}: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise SettingsInvalid([f"{variable}: {path} is not text in UTF-8"]) from None


SettingsType = TypeVar("SettingsType", bound=BaseSettings)


def load_settings(settings_class: type[SettingsType]) -> SettingsType:
    """Read the environment; raises `SettingsInvalid` with every fault at once."""
    faults = _unknown_variables(settings_class, os.environ)
    faults += _given_twice(settings_class, os.environ)
    if faults:
        raise SettingsInvalid(faults)
    try:
        return settings_class()
    except ValidationError as error:
        raise SettingsInvalid(
            [_fault(each) for each in error.errors(include_input=False)]
        ) from None
    except SettingsError as error:
        # A list or an object that is not JSON; the message names the field, not the value.
        raise SettingsInvalid([str(error)]) from None


def file_setting(variable: str) -> str | None:
    """`variable` or the content of the file that `variable`_FILE names, for commands."""
    path = os.environ.get(f"{variable}{FILE_SUFFIX}")
    return os.environ.get(variable) or (_content(variable, path) if path else None)


def _known_variables(settings_class: type[BaseSettings]) -> set[str]:
    names = {f"{PREFIX}{name.upper()}" for name in settings_class.model_fields}
    return names | {f"{name}{FILE_SUFFIX}" for name in names}


def _nested_variables(settings_class: type[BaseSettings]) -> set[str]:
    """The settings that are objects, whose parts have variables of their own: `X__PART`."""
    return {
        f"{PREFIX}{name.upper()}"
        for name, field in settings_class.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }


#: Read by tools around a service, and passed through to it.
_SHARED = {
    "PASSFERRY_POSTGRES_ADMIN_URL",
    "PASSFERRY_POSTGRES_ADMIN_URL_FILE",
    "PASSFERRY_MIGRATE_DATABASE_URL",
    "PASSFERRY_MIGRATE_DATABASE_URL_FILE",
    "PASSFERRY_APP_PASSWORD",
    "PASSFERRY_APP_PASSWORD_FILE",
    "PASSFERRY_DEVSTACK",
    "PASSFERRY_NO_SYSTEM_PACKAGES",
}


def _unknown_variables(
    settings_class: type[BaseSettings], environment: Mapping[str, str]
) -> list[str]:
    known = _known_variables(settings_class)
    nested = _nested_variables(settings_class)
    faults = []
    for variable in environment:
        if not variable.startswith(PREFIX) or variable in known | _SHARED:
            continue
        if variable.split("__")[0] in nested:
            continue
        near = difflib.get_close_matches(variable, sorted(known), n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        faults.append(f"{variable} is not a setting of this service{hint}")
    return faults


def _given_twice(settings_class: type[BaseSettings], environment: Mapping[str, str]) -> list[str]:
    return [
        f"{variable} and {variable}{FILE_SUFFIX} are both set: keep one"
        for name in settings_class.model_fields
        if environment.get(variable := f"{PREFIX}{name.upper()}")
        and environment.get(f"{variable}{FILE_SUFFIX}")
        and f"{name}_file" not in settings_class.model_fields
    ]


def _fault(error: Mapping[str, Any]) -> str:
    location = "__".join(str(part) for part in error["loc"])
    if not location:
        return str(error["msg"]).removeprefix("Value error, ")
    variable = f"{PREFIX}{location.upper()}"
    if error["type"] == "missing":
        return f"{variable} is missing: set it (or {variable}{FILE_SUFFIX})"
    return f"{variable}: {error['msg']}"


def settings_of(service: str) -> type[ServiceSettings]:
    """The settings class of a service, for pages and checks about all of them."""
    module = importlib.import_module(f"passferry_{service.replace('-', '_')}.settings")
    return next(
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, ServiceSettings)
        and value is not ServiceSettings
    )
