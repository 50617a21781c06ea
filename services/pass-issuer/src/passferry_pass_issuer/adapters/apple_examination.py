"""Draws an example pass and reads it as a device would."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from passferry_pass_issuer.adapters.wallet_renderer import WalletRenderer
from passferry_pass_issuer.application.edit_templates import TemplateFile
from passferry_pass_issuer.domain.example_pass import example_pass
from passferry_pass_issuer.domain.linting import LintFinding
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.template_checks import TemplateVersion
from passferry_wallet.apple.document import ApplePass, read_pass_json, scheme_gaps
from passferry_wallet.apple.rejections import PassContentRejected

#: Where findings about the drawn pass are, in Apple's names.
PASS = "pass.json"  # noqa: S105  # a file name


def examiner(
    public_base_url: str,
) -> Callable[[TemplateVersion, Sequence[TemplateFile]], list[LintFinding]]:
    def examine(version: TemplateVersion, files: Sequence[TemplateFile]) -> list[LintFinding]:
        digests = {file.name: file.sha1 for file in files}
        url = f"{public_base_url}/w/{version.workspace_id}"
        try:
            # A renderer of its own: nobody meets this draft again, and nothing stays of it.
            drawn = WalletRenderer().render(example_pass(version, digests, url)).pass_json
            if drawn is None:
                return []
            content = read_pass_json(drawn.encode())
        except ContentRejected as refusal:
            return [_error(refusal.field, refusal.detail, refusal.code)]
        except PassContentRejected as refusal:
            return [_error(f"{PASS}.{refusal.field}", refusal.detail, refusal.code)]
        return _doubts(content, frozenset(digests))

    return examine


def _doubts(content: ApplePass, file_names: frozenset[str]) -> list[LintFinding]:
    found = [
        _warning(f"{PASS}.{gap.path}", gap.sentence, "style_scheme_incomplete")
        for gap in scheme_gaps(content, file_names)
    ]
    found += [
        _warning(f"{PASS}.{name}"[:200], "is no key of Apple's that we know", "key_unknown")
        for name in sorted(content.model_extra or {})
    ]
    return found


def _error(path: str, message: str, code: str) -> LintFinding:
    return LintFinding(severity="error", path=path, message=message, code=code)


def _warning(path: str, message: str, code: str) -> LintFinding:
    return LintFinding(severity="warning", path=path, message=message, code=code)
