"""The Google classes of a template, as `template.published` tells them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from uuid import UUID

from passferry_contracts.events.directory import GoogleClass
from passferry_pass_issuer.application.ports import Transaction
from passferry_pass_issuer.application.work import Work
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.template_checks import TemplateVersion
from passferry_wallet.google.taking_back import said_by_any, taking_back

MAX_FORMER_MESSAGES = 1_000


class GoogleClasses(Protocol):
    def class_body(self, version: TemplateVersion) -> Mapping[str, Any] | None:
        """The Google class of a version, or None when it has no Google part."""

    def tier_class_bodies(self, version: TemplateVersion) -> Sequence[Mapping[str, Any]]:
        """Further classes, one for each tier that the version names."""

    def check_object(self, version: TemplateVersion, body: Mapping[str, Any]) -> None:
        """Raises `ContentRejected` for an example's object that Google would refuse."""


class TemplateVersions(Protocol):
    async def versions(
        self, transaction: Transaction, workspace_id: UUID, template_id: UUID
    ) -> list[TemplateVersion]: ...


async def google_classes_of(
    work: Work, templates: TemplateVersions, classes: GoogleClasses, version: TemplateVersion
) -> tuple[GoogleClass | None, list[GoogleClass]]:
    """The class of the template and those of its tiers.

    Classes are changed by PATCH, which leaves what it does not name: whatever an earlier version
    said and this one does not is told as null, also within objects.
    """
    plain = classes.class_body(version)
    if plain is None or version.google_issuer_id is None:
        return None, []
    tiers = classes.tier_class_bodies(version)
    said = await _said_before(work, templates, classes, version)
    return _told(version, plain, said), [_told(version, tier, said) for tier in tiers]


async def _said_before(
    work: Work, templates: TemplateVersions, classes: GoogleClasses, version: TemplateVersion
) -> dict[str, list[Mapping[str, Any]]]:
    """The bodies of each class, by its id."""
    said: dict[str, list[Mapping[str, Any]]] = {}
    for each in await templates.versions(
        work.transaction, version.workspace_id, version.template_id
    ):
        if each.status == "draft" or each.template_version >= version.template_version:
            continue
        try:
            bodies = [classes.class_body(each) or {}, *classes.tier_class_bodies(each)]
        except ContentRejected:
            # Published under older rules; what it said otherwise is in its successors.
            continue
        for body in bodies:
            said.setdefault(str(body.get("id")), []).append(body)
    return said


def _told(
    version: TemplateVersion, body: Mapping[str, Any], said: Mapping[str, list[Mapping[str, Any]]]
) -> GoogleClass:
    class_id, vertical = str(body["id"]), version.google_vertical
    earlier = said.get(class_id, [])
    before = said_by_any(earlier)
    return GoogleClass(
        issuer_id=version.google_issuer_id or "",
        vertical=vertical,
        class_id=class_id,
        class_body=taking_back(vertical, "Class", before, body),
        former_message_ids=_former_messages(earlier, body),
    )


def _former_messages(earlier: Sequence[Mapping[str, Any]], body: Mapping[str, Any]) -> list[str]:
    """Newest first: Google's list is replaced whole, and the notifier keeps what is not of these."""
    now = _message_ids(body)
    former = [each for said in reversed(earlier) for each in _message_ids(said)]
    return [each for each in dict.fromkeys(former) if each not in now][:MAX_FORMER_MESSAGES]


def _message_ids(body: Mapping[str, Any]) -> list[str]:
    return [str(each["id"]) for each in body.get("messages") or () if "id" in each]
