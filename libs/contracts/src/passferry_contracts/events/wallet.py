"""`wallet.activity`: what happened at the newsstand and on devices, in order per pass."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from pydantic import Field

from passferry_contracts.event import PassEvent
from passferry_contracts.fields import (
    Base64Text,
    Code,
    DeviceLibraryIdentifier,
    Instant,
    PassTypeIdentifier,
    SerialNumber,
    Sha256Hex,
    ShortText,
    Version,
)
from passferry_contracts.types import PassStatus, Platform


class PassPublished(PassEvent):
    """Revision `revision` can be fetched now: template, images and signature are there."""

    event_type: ClassVar[str] = "pass.published"

    pass_type_identifier: PassTypeIdentifier
    serial_number: SerialNumber
    revision: Version
    status: PassStatus
    content_sha256: Sha256Hex
    #: What made the revision, such as pass.balance_changed; names the kind of delivery.
    cause_type: ShortText
    caused_at: Instant
    published_at: Instant

    def sequence(self) -> int:
        return self.revision


class DeviceRegistered(PassEvent):
    """A device wants to be rung for this pass; also sent when its push token changed."""

    event_type: ClassVar[str] = "device.registered"

    pass_type_identifier: PassTypeIdentifier
    serial_number: SerialNumber
    device_library_identifier: DeviceLibraryIdentifier
    #: Encrypted under the key that the web service and the notifier share.
    push_token_ciphertext: Base64Text = Field(max_length=2_000)
    #: Tells two tokens apart without showing them.
    push_token_sha256: Sha256Hex
    is_new: bool
    #: The revision that the device was given last, if any: older ones need no ring.
    seen_revision: Version | None = None
    registered_at: Instant


class DeviceUnregistered(PassEvent):
    """`reason`: requested (the device said so), token_gone (APNs did), replaced,
    pass_deleted, handed_over (the pass is somebody else's now)."""

    event_type: ClassVar[str] = "device.unregistered"

    pass_type_identifier: PassTypeIdentifier
    serial_number: SerialNumber
    device_library_identifier: DeviceLibraryIdentifier
    push_token_sha256: Sha256Hex
    reason: Code
    unregistered_at: Instant


class _PassMoment(PassEvent):
    platform: Platform
    occurred_at: Instant


class PassLinkOpened(_PassMoment):
    """The public link was opened; the first opening on a platform makes the issuer sign for it."""

    event_type: ClassVar[str] = "pass.link_opened"
    link_id: UUID | None = None
    #: The page could not serve it yet: a signature or a fresh save link is asked for.
    needs_rendering: bool = False


class PassDownloaded(_PassMoment):
    event_type: ClassVar[str] = "pass.downloaded"
    revision: Version | None = None


class PassInstalled(_PassMoment):
    event_type: ClassVar[str] = "pass.installed"


class PassUninstalled(_PassMoment):
    event_type: ClassVar[str] = "pass.uninstalled"


class PassViewed(_PassMoment):
    event_type: ClassVar[str] = "pass.viewed"
