"""Draws a template's classes and an example object, and says what Google would refuse."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from passferry_pass_issuer.adapters.google_classes import WalletGoogleClasses
from passferry_pass_issuer.adapters.google_rendering import GoogleDrawings
from passferry_pass_issuer.application.edit_templates import TemplateFile
from passferry_pass_issuer.domain.example_pass import example_pass
from passferry_pass_issuer.domain.linting import LintFinding
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.template_checks import TemplateVersion
from passferry_wallet.google.content import GoogleContentRejected

Attempt = Callable[[], object]


def google_examiner(
    public_base_url: str,
) -> Callable[[TemplateVersion, Sequence[TemplateFile]], list[LintFinding]]:
    classes = WalletGoogleClasses(public_base_url)

    def attempts(version: TemplateVersion) -> Iterator[Attempt]:
        google, issuer_id = version.content.google, version.google_issuer_id
        if google is None or issuer_id is None:
            return
        yield lambda: classes.class_body(version)
        yield lambda: classes.tier_class_bodies(version)
        subject = example_pass(version, {}, f"{public_base_url}/w/{version.workspace_id}")
        # Drawings of its own: nothing stays of a draft.
        yield lambda: classes.check_object(
            version, GoogleDrawings().object_body(subject, google, issuer_id)
        )

    def examine(version: TemplateVersion, files: Sequence[TemplateFile]) -> list[LintFinding]:
        return [finding for each in attempts(version) for finding in _tried(each)]

    return examine


def _tried(attempt: Attempt) -> Iterator[LintFinding]:
    try:
        attempt()
    except (ContentRejected, GoogleContentRejected) as refusal:
        yield LintFinding(
            severity="error", path=refusal.field, message=refusal.detail, code=refusal.code
        )
