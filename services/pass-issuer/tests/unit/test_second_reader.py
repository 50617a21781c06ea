"""Passes of every style, read by the npm package passkit-generator with its own checks."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from datetime import datetime
from pathlib import Path

import pytest

pytestmark = [pytest.mark.unit, pytest.mark.slow]

SCRIPT = Path(__file__).parent / "second_reader/read.cjs"
PACKAGE = "passkit-generator@3.6.1"
STYLES = ["storeCard", "coupon", "eventTicket", "boardingPass", "generic", "posterGeneric"]
#: What Apple documents and this version of the package does not know.
UNREAD = {"barcode", "useAutomaticColors", "eventLogoText", "departureAirportTimeZone"}


@pytest.fixture(scope="session")
def second_reader(tmp_path_factory):
    """Installs the package into a folder of this run."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("node and npm are not installed")
    folder = tmp_path_factory.mktemp("npm")
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", PACKAGE]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("the package registry does not answer")
    if done.returncode != 0:
        pytest.skip("the package registry is out of reach")

    def read(files):
        given = {name: base64.b64encode(data).decode() for name, data in files.items()}
        answer = subprocess.run(
            ["node", str(SCRIPT)], input=json.dumps(given), capture_output=True, text=True,
            timeout=60, check=True, env={**os.environ, "NODE_PATH": str(folder / "node_modules")},
        )  # fmt: skip
        return json.loads(answer.stdout)

    return read


@pytest.mark.parametrize("style", STYLES)
def test_a_second_reader_takes_over_what_we_wrote(
    second_reader, apple_press, template_example, style
):
    # proves: P1, P9, P10, J81
    written = apple_press.read(template_example(style))
    read = second_reader(written.files)
    assert read["complaints"] == []
    assert style in read["types"]
    assert comparable(read["props"]) == comparable(written.pass_json)
    assert set(read["languages"]) == written.strings.keys()


def comparable(value):
    """Without empty groups and what is unread; moments as moments, for it writes them anew."""
    if isinstance(value, dict):
        inner = {name: comparable(each) for name, each in value.items() if name not in UNREAD}
        return {name: each for name, each in inner.items() if each != []}
    if isinstance(value, list):
        return [comparable(each) for each in value]
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            return value
    return value


def test_the_second_reader_complains_of_what_is_wrong(second_reader, apple_press, template_example):
    files = dict(apple_press.read(template_example("coupon")).files)
    told = json.loads(files["pass.json"])
    told["maxDistance"] = "far"
    files["pass.json"] = json.dumps(told).encode()
    assert second_reader(files)["props"].get("maxDistance") != "far"
