"""`pass.rendered`: one revision of a pass, ready for both wallets. Compacted by pass."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from pydantic import Field

from passferry_contracts.event import PassEvent
from passferry_contracts.fields import (
    Base64Text,
    Code,
    ExternalId,
    Instant,
    JsonObject,
    Part,
    PassTypeIdentifier,
    SerialNumber,
    Sha256Hex,
    ShortText,
    Version,
)
from passferry_contracts.types import PassStatus


class Cause(Part):
    """What made this revision."""

    event_type: ShortText
    event_id: ShortText
    reason: Code | None = None


class AppleRendering(Part):
    """pass.json and manifest.json byte for byte as they go into the zip, and their signature."""

    pass_type_identifier: PassTypeIdentifier
    team_identifier: ShortText
    serial_number: SerialNumber
    authentication_token_sha256: Sha256Hex
    pass_json: str = Field(max_length=200_000)
    manifest: str = Field(max_length=50_000)
    #: DER, base64; absent until the pass is on an Apple device.
    signature: Base64Text | None = Field(default=None, max_length=20_000)


class GoogleRendering(Part):
    """The object of the vertical, as the Google Wallet API takes it."""

    issuer_id: ShortText
    #: loyalty, giftCard, offer, eventTicket or generic
    vertical: ShortText
    class_id: ShortText
    object_id: ShortText
    object_body: JsonObject
    save_link: str | None = Field(default=None, max_length=8_000)
    save_link_signed_at: Instant | None = None
    #: The pass was opened off Apple or saved: from now on its object is kept up to date.
    is_wanted: bool = False


class PassRendered(PassEvent):
    """Revision `revision` of a pass.

    The record of one revision may be sent again, with a signature or a save link that it did not
    have before; its content is then the same (`content_sha256`), and nobody is rung for it.
    """

    event_type: ClassVar[str] = "pass.rendered"

    program_id: UUID
    external_id: ExternalId
    revision: Version
    status: PassStatus
    template_id: UUID
    template_version: Version
    apple: AppleRendering | None = None
    google: GoogleRendering | None = None
    #: Of what people see: equal content means that nobody needs to be told.
    content_sha256: Sha256Hex
    causes: list[Cause] = Field(default_factory=list, max_length=32)
    #: When the first cause was committed; carried on to the ring, to measure the whole way.
    caused_at: Instant
    rendered_at: Instant

    def sequence(self) -> int:
        return self.revision
