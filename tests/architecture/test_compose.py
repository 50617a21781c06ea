"""The compose file names settings that the services read, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from passferry_contracts.registry import SERVICES
from passferry_runtime.settings import settings_of

COMPOSE = yaml.safe_load((Path(__file__).parents[2] / "docker-compose.yml").read_text())


@pytest.mark.parametrize("service", SERVICES)
def test_every_variable_of_a_service_is_one_of_its_settings_and_none_that_it_needs_is_missing(
    service,
):
    """proves: J97"""
    fields = settings_of(service).model_fields
    given = set()
    for variable in COMPOSE["services"][service]["environment"]:
        name = variable.removeprefix("PASSFERRY_").lower()
        given.add(name if name in fields else name.removesuffix("_file"))
    assert given <= set(fields)
    assert {name for name, field in fields.items() if field.is_required()} <= given


def test_services_wait_for_the_migration_which_waits_for_the_bootstrap():
    """proves: J97"""
    services = COMPOSE["services"]
    for service in SERVICES:
        condition = services[service]["depends_on"]["migrate"]["condition"]
        assert condition == "service_completed_successfully"
    assert "bootstrap" in services["migrate"]["depends_on"]


def test_nothing_listens_beyond_this_machine_and_no_password_stands_in_the_file():
    for name, service in COMPOSE["services"].items():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), name
        for variable, value in (service.get("environment") or {}).items():
            is_path = str(value).startswith("/run/")
            assert is_path or "PASSWORD" not in variable, f"{name} {variable}"
