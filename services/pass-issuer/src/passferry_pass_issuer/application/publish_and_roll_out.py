"""Publishes a version of a template, and begins to draw the passes of the older ones again."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from passferry_pass_issuer.application.publish_templates import PublishTemplate
from passferry_pass_issuer.application.roll_out import StartRollout
from passferry_pass_issuer.application.work import Work
from passferry_pass_issuer.domain.template_checks import TemplateVersion


@dataclass(frozen=True, kw_only=True)
class PublishAndRollOut:
    publish: PublishTemplate
    start_rollout: StartRollout

    async def __call__(self, work: Work, workspace_id: UUID, template_id: UUID) -> TemplateVersion:
        """Publishing what is published already changes nothing, and begins nothing."""
        before = await self.publish.templates.lock_newest(
            work.transaction, workspace_id, template_id
        )
        published = await self.publish(work, workspace_id, template_id)
        is_new = before is not None and before.status != "published"
        if is_new and published.template_version > 1:
            await self.start_rollout(work, workspace_id, template_id)
        return published
