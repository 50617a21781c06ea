"""Draws, signs and reads the passes of the examples in docs/templates.md."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from PIL import Image

from passferry_contracts.types import Protocol
from passferry_pass_issuer.adapters.wallet_images import strings_files
from passferry_pass_issuer.adapters.wallet_renderer import WalletRenderer
from passferry_pass_issuer.domain.example_pass import example_pass
from passferry_pass_issuer.domain.template_checks import TemplateVersion
from passferry_pass_issuer.domain.template_parsing import parse_template_content
from passferry_testing.pass_reader import ReadPass, read_pass, verify_with_openssl
from passferry_testing.pki import DemoAuthority
from passferry_wallet.apple.bundle import BundleTemplate
from passferry_wallet.apple.certificates import from_pem
from passferry_wallet.apple.image_scaling import scale_image
from passferry_wallet.apple.signing import ManifestSigner

TEMPLATES_PAGE = Path(__file__).parents[4] / "docs/templates.md"
PASS_TYPE, TEAM = "pass.com.example.ferry", "FERRY12345"
URL = "https://passes.example/w/1"


def examples() -> list[dict[str, Any]]:
    blocks = re.findall(r"```json\n(.*?)```", TEMPLATES_PAGE.read_text(), re.DOTALL)
    return [json.loads(block) for block in blocks]


def example(style: str) -> dict[str, Any]:
    [found] = [each for each in examples() if each["apple"]["style"] == style]
    return found


def version_of(body: Mapping[str, Any]) -> TemplateVersion:
    content = {name: body[name] for name in ("apple", "google") if name in body}
    now = datetime(2026, 5, 14, 12, tzinfo=UTC)
    return TemplateVersion(
        workspace_id=UUID(int=1),
        template_id=UUID(int=2),
        template_version=1,
        status="draft",
        name=body["name"],
        platform=body["platform"],
        protocol=Protocol(body["protocol"]),
        pass_type_identifier=body["pass_type_identifier"],
        team_identifier=body["team_identifier"],
        google_issuer_id=None,
        raw_content=content,
        content=parse_template_content(content),
        created_at=now,
        updated_at=now,
        published_at=None,
    )


@dataclass
class ApplePress:
    """From a template's JSON to the bytes of a pass, and back by a reader of its own."""

    root_pem: bytes
    signer: ManifestSigner
    images: Mapping[str, bytes]

    def press(self, body: Mapping[str, Any], **changes: Any) -> bytes:
        """`changes` are facts of the pass."""
        version = version_of(body)
        files = {**self.images, **strings_files(version.content.apple)}
        bundle = BundleTemplate(files)
        subject = replace(example_pass(version, bundle.digests, URL), **changes)
        rendering = WalletRenderer().render(subject)
        assert rendering == WalletRenderer().render(subject)
        manifest = rendering.manifest.encode()
        signature = self.signer.sign(manifest, signing_time=datetime.now(UTC))
        return bundle.assemble(
            pass_json=rendering.pass_json.encode(), manifest=manifest, signature=signature
        )

    def read(self, body: Mapping[str, Any], **changes: Any) -> ReadPass:
        data = self.press(body, **changes)
        return read_pass(data, root_pem=self.root_pem)

    def verify_with_openssl(self, data: bytes) -> None:
        verify_with_openssl(data, root_pem=self.root_pem)


def drawn_images() -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for role in ("icon", "logo", "artwork"):
        picture = Image.linear_gradient("L").resize((1344, 1344)).convert("RGB")
        files |= scale_image(role, _png(picture))
    return files | {"de.lproj/logo.png": files["logo.png"]}


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="session")
def apple_press(tmp_path_factory: pytest.TempPathFactory) -> ApplePress:
    authority = DemoAuthority.create(tmp_path_factory.mktemp("pki"))
    issued = authority.issue_pass_certificate(PASS_TYPE, TEAM, nfc=True)
    identity = from_pem(issued.certificate_pem, issued.private_key_pem, authority.wwdr_pem)
    return ApplePress(authority.root_pem, ManifestSigner(identity), drawn_images())


@pytest.fixture(scope="session")
def template_examples() -> list[dict[str, Any]]:
    return examples()


@pytest.fixture(scope="session")
def templates_page() -> str:
    return TEMPLATES_PAGE.read_text()


@pytest.fixture
def template_example():
    """`template_example(style)`: a fresh copy of the page's example."""
    return example


@pytest.fixture
def as_version():
    return version_of
