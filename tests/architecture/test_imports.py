"""Which package may import which. The rules are in pyproject.toml, section importlinter."""

import importlib.util
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
ROOT_PACKAGES = tomllib.loads(PYPROJECT.read_text())["tool"]["importlinter"]["root_packages"]
SERVICES = [
    "passferry_ledger",
    "passferry_pass_issuer",
    "passferry_wallet_webservice",
    "passferry_notifier",
    "passferry_event_bridge",
]
SERVICE_MODULES = [
    "__main__",
    "app",
    "settings",
    "metrics",
    "entrypoints/__init__",
    "adapters/__init__",
    "application/__init__",
    "domain/__init__",
    "migrations/__init__",
]


def lint(directory, packages):
    """Run import-linter with the rules of pyproject.toml over the packages found in `packages`."""
    command = [
        str(Path(sys.executable).parent / "lint-imports"),
        "--no-cache",
        "--config",
        str(PYPROJECT),
    ]
    environment = {**os.environ, "PYTHONPATH": str(packages)} if packages else dict(os.environ)
    return subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, check=False
    )


def test_every_package_is_installed():
    missing = [name for name in ROOT_PACKAGES if importlib.util.find_spec(name) is None]
    assert missing == [], f"not installed: {', '.join(missing)}; run `make setup`"


def test_the_packages_obey_the_import_rules():
    missing = [name for name in ROOT_PACKAGES if importlib.util.find_spec(name) is None]
    assert missing == [], f"import-linter needs all packages, missing: {', '.join(missing)}"
    result = lint(PYPROJECT.parent, None)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.fixture
def packages(tmp_path):
    """Empty packages with the names and the shape of ours."""
    names = [f"{service}/{module}" for service in SERVICES for module in SERVICE_MODULES]
    names += [f"{package}/__init__" for package in ROOT_PACKAGES]
    names += ["passferry_runtime/kafka/__init__", "passferry_runtime/errors"]
    # It records events for tests, and may speak to Kafka itself.
    names += ["passferry_testing/harness"]
    for name in names:
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    allowed = {
        "passferry_runtime/kafka/__init__": "import aiokafka",
        "passferry_ledger/app": (
            "import passferry_runtime.kafka\n"
            "from passferry_ledger import adapters, application, entrypoints, settings"
        ),
        "passferry_ledger/adapters/__init__": "import passferry_ledger.domain",
    }
    for name, text in allowed.items():
        (tmp_path / f"{name}.py").write_text(text + "\n")
    return tmp_path


def test_a_tree_that_obeys_passes(packages):
    result = lint(packages, packages)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("module", "forbidden", "rule"),
    [
        (
            "passferry_ledger/adapters/x",
            "passferry_pass_issuer.domain",
            "services never import one another",
        ),
        (
            "passferry_contracts/x",
            "passferry_runtime.errors",
            "services use runtime and wallet, which use contracts",
        ),
        (
            "passferry_wallet/x",
            "passferry_runtime.errors",
            "services use runtime and wallet, which use contracts",
        ),
        (
            "passferry_notifier/entrypoints/x",
            "passferry_notifier.adapters",
            "inside a service: main, app, edges, application, domain",
        ),
        (
            "passferry_notifier/domain/x",
            "passferry_notifier.application",
            "inside a service: main, app, edges, application, domain",
        ),
        ("passferry_ledger/domain/x", "asyncio", "domain code knows no I/O"),
        ("passferry_ledger/domain/x", "passferry_runtime.errors", "domain code knows no I/O"),
        (
            "passferry_ledger/application/x",
            "passferry_testing",
            "production code never imports the simulators",
        ),
        (
            "passferry_ledger/adapters/x",
            "aiokafka",
            "only the runtime speaks Kafka's protocol",
        ),
        ("passferry_contracts/x", "asyncpg", "contracts know no I/O"),
    ],
)
def test_a_forbidden_import_is_caught(packages, module, forbidden, rule):
    (packages / f"{module}.py").write_text(f"import {forbidden}\n")
    result = lint(packages, packages)
    assert result.returncode == 1, result.stdout + result.stderr
    assert f"{rule} BROKEN" in " ".join(result.stdout.split())


def test_a_module_outside_the_layers_of_a_service_is_caught(packages):
    (packages / "passferry_ledger" / "helpers.py").write_text("")
    result = lint(packages, packages)
    assert result.returncode == 1
    assert "passferry_ledger.helpers" in result.stdout
