"""Bundles are built once per revision, and never without a signature."""

from __future__ import annotations

import dataclasses
import io
import zipfile
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from passferry_wallet_webservice.application import assemble_bundle
from passferry_wallet_webservice.application.assemble_bundle import AssembleBundle, NotSigned
from passferry_wallet_webservice.application.ports import DevicePass
from passferry_wallet_webservice.domain.publication import RecentContents


class FakePasses:
    def __init__(self) -> None:
        self.reads: list[tuple[UUID, UUID, int]] = []

    async def files_of(self, workspace_id, template_id, template_version):
        self.reads.append((workspace_id, template_id, template_version))
        return {"icon.png": b"icon of " + workspace_id.bytes}


def device_pass(**changes):
    known = DevicePass(
        workspace_id=uuid4(),
        pass_id=uuid4(),
        pass_type_identifier="pass.org.example",
        serial_number="1",
        revision=1,
        template_id=uuid4(),
        template_version=1,
        pass_json="{}",
        manifest="{}",
        signature=b"signature",
        token_sha256=b"",
        last_modified=datetime.now(UTC),
        recent_contents=RecentContents(),
    )
    return dataclasses.replace(known, **changes)


async def test_an_unsigned_revision_is_no_bundle():
    with pytest.raises(NotSigned):
        await AssembleBundle(FakePasses())(device_pass(signature=None))


async def test_a_revision_is_built_once_and_the_next_one_anew():
    passes = FakePasses()
    assemble = AssembleBundle(passes)
    served = device_pass()
    first = await assemble(served)
    assert await assemble(served) is first
    second = await assemble(dataclasses.replace(served, revision=2, pass_json='{"a":1}'))
    assert second != first
    assert len(passes.reads) == 1, "the template is read once"
    with zipfile.ZipFile(io.BytesIO(second)) as archive:
        names = {"icon.png", "pass.json", "manifest.json", "signature"}
        assert set(archive.namelist()) == names
        assert archive.read("pass.json") == b'{"a":1}'


async def test_equal_ids_in_two_workspaces_are_two_bundles():
    assemble = AssembleBundle(FakePasses())
    mine = device_pass()
    assert await assemble(mine) != await assemble(dataclasses.replace(mine, workspace_id=uuid4()))


async def test_what_is_kept_is_bounded(monkeypatch):
    monkeypatch.setattr(assemble_bundle, "MAX_BUNDLE_BYTES", 3_000)
    monkeypatch.setattr(assemble_bundle, "MAX_TEMPLATE_BYTES", 1_000)
    assemble = AssembleBundle(FakePasses())
    for _ in range(20):
        await assemble(device_pass())
    assert sum(map(len, assemble._bundles.values())) == assemble._bytes <= 3_000
    sizes = [each.size for each in assemble._templates.values()]
    assert sum(sizes) == assemble._template_bytes <= 1_000
    assert len(sizes) > 1
