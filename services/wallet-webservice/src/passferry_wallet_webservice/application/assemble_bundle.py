"""Puts a .pkpass together from what the issuer signed; keeps what it built within a bound."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from uuid import UUID

from passferry_wallet.apple.bundle import BundleTemplate
from passferry_wallet_webservice.application.ports import DevicePass, PassReader

MAX_TEMPLATE_BYTES = 128_000_000
MAX_BUNDLE_BYTES = 64_000_000

TemplateKey = tuple[UUID, UUID, int]
BundleKey = tuple[UUID, UUID, int]


class NotSigned(Exception):
    """The revision has no signature yet; nothing can be handed to an Apple device."""


@dataclass(slots=True)
class AssembleBundle:
    """`(DevicePass) -> bytes` of the .pkpass."""

    passes: PassReader
    _templates: OrderedDict[TemplateKey, BundleTemplate] = field(default_factory=OrderedDict)
    _bundles: OrderedDict[BundleKey, bytes] = field(default_factory=OrderedDict)
    _bytes: int = 0
    _template_bytes: int = 0

    async def __call__(self, served: DevicePass) -> bytes:
        if served.signature is None:
            raise NotSigned
        key = (served.workspace_id, served.pass_id, served.revision)
        known = self._bundles.get(key)
        if known is not None:
            self._bundles.move_to_end(key)
            return known
        template = await self._template(served)
        bundle = template.assemble(
            pass_json=served.pass_json.encode(),
            manifest=served.manifest.encode(),
            signature=served.signature,
        )
        self._remember(key, bundle)
        return bundle

    async def _template(self, served: DevicePass) -> BundleTemplate:
        key = (served.workspace_id, served.template_id, served.template_version)
        known = self._templates.get(key)
        if known is not None:
            self._templates.move_to_end(key)
            return known
        template = BundleTemplate(await self.passes.files_of(*key))
        if key not in self._templates:
            self._template_bytes += template.size
        self._templates[key] = template
        # The one in use stays, however large it is.
        while self._template_bytes > MAX_TEMPLATE_BYTES and len(self._templates) > 1:
            _, dropped = self._templates.popitem(last=False)
            self._template_bytes -= dropped.size
        return template

    def _remember(self, key: BundleKey, bundle: bytes) -> None:
        previous = self._bundles.pop(key, None)
        self._bytes += len(bundle) - len(previous or b"")
        self._bundles[key] = bundle
        while self._bytes > MAX_BUNDLE_BYTES:
            _, dropped = self._bundles.popitem(last=False)
            self._bytes -= len(dropped)
