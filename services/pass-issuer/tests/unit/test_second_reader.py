"""Passes of every style, read by the npm packages passkit-generator and pkijs with their checks."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from datetime import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

pytestmark = [pytest.mark.unit, pytest.mark.slow]

SCRIPTS = Path(__file__).parent / "second_reader"
PACKAGES = ["passkit-generator@3.6.1", "pkijs@4.0.0", "asn1js@4.0.0"]
SIGNING_TIME = "1.2.840.113549.1.9.5"
STYLES = ["storeCard", "coupon", "eventTicket", "boardingPass", "generic", "posterGeneric"]
#: What Apple documents and this version of the package does not know.
UNREAD = {"barcode", "useAutomaticColors", "eventLogoText", "departureAirportTimeZone"}


@pytest.fixture(scope="session")
def node(tmp_path_factory):
    """`node(script, given)`, with the packages installed into a folder of this run."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("node and npm are not installed")
    folder = tmp_path_factory.mktemp("npm")
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", *PACKAGES]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("the package registry does not answer")
    if done.returncode != 0:
        pytest.skip("the package registry is out of reach")

    def run(script, given):
        answer = subprocess.run(
            ["node", str(SCRIPTS / script)], input=json.dumps(given), capture_output=True,
            text=True, timeout=60, check=True,
            env={**os.environ, "NODE_PATH": str(folder / "node_modules")},
        )  # fmt: skip
        return json.loads(answer.stdout)

    return run


@pytest.fixture(scope="session")
def second_reader(node):
    return lambda files: node(
        "read.cjs", {name: base64.b64encode(data).decode() for name, data in files.items()}
    )


@pytest.mark.parametrize("style", STYLES)
def test_a_second_reader_takes_over_what_we_wrote(
    second_reader, apple_press, template_example, style
):
    # proves: J81 (Apple's pass format: P1, P9, P10)
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


@pytest.mark.parametrize(("more", "is_right"), [(b"", True), (b" ", False)])
def test_a_second_verifier_agrees_about_the_signature(
    node, apple_press, template_example, more, is_right
):
    # proves: A13 (Apple's pass format: P1)
    read = apple_press.read(template_example("coupon"))
    root = x509.load_pem_x509_certificate(apple_press.root_pem).public_bytes(Encoding.DER)
    parts = {
        "signature": read.files["signature"],
        "manifest": read.manifest + more,
        "root": root,
    }
    found = node(
        "verify.cjs", {name: base64.b64encode(data).decode() for name, data in parts.items()}
    )
    assert found["signature"] is is_right
    assert found.get("signer", False) is is_right
    assert found["certificates"] == 2
    assert SIGNING_TIME in found["attributes"]
