"""An example pass, to try a template out before it is published."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, date, datetime

from passferry_contracts.types import PassStatus
from passferry_pass_issuer.domain.rendering_subject import (
    HolderFacts,
    ProgramFacts,
    RenderSubject,
)
from passferry_pass_issuer.domain.template import TemplateContent
from passferry_pass_issuer.domain.template_checks import TemplateVersion
from passferry_pass_issuer.domain.value_expression import FIELD_PREFIX, Scalar

_NOBODY = uuid.UUID(int=1)
_TEXT = "2030-01-01T12:00:00Z"
_NUMBER = 12
_NUMBERS = frozenset({"integer", "decimal", "currency"})


def example_pass(
    version: TemplateVersion, asset_sha1: Mapping[str, str], web_service_url: str
) -> RenderSubject:
    """A pass with something in every field that the template names."""
    content = version.content
    chosen: dict[str, Scalar] = {}
    for wallet in (content.google, content.apple):
        if wallet is not None:
            chosen |= wallet.example_values
    code = chosen.pop("pass.code", None)
    return RenderSubject(
        workspace_id=version.workspace_id,
        pass_id=_NOBODY,
        external_id="example-1",
        serial_number="example-serial-number-1",
        authentication_token="example-authentication-token",  # noqa: S106  # opens nothing
        code="EXAMPLE0001" if code is None else str(code),
        status=PassStatus.ACTIVE,
        status_reason=None,
        balance_minor=1234,
        unit="EUR",
        unit_scale=2,
        field_values={**_example_values(content), **chosen},
        expires_at=datetime(2030, 1, 1, tzinfo=UTC),
        created_at=datetime(2025, 1, 1, tzinfo=UTC),
        program=ProgramFacts(program_id=_NOBODY, name=version.name, protocol=version.protocol),
        template=version.facts(asset_sha1),
        holder=HolderFacts(
            holder_id=_NOBODY,
            external_id="holder-1",
            full_name="Zoë O'Hara",
            email="zoe@example.org",
            locale="en",
            birthday=date(1990, 5, 17),
            phone="+49 40 123456",
        ),
        latest_message="Come in: today is cake day",
        web_service_url=web_service_url,
    )


def _example_values(content: TemplateContent) -> dict[str, Scalar]:
    """The default where there is one, a number where one is wanted, else a text that is a date too."""
    found: dict[str, Scalar] = dict.fromkeys(content.field_names(), _TEXT)
    for expression in content.expressions():
        if expression.source.startswith(FIELD_PREFIX) and expression.format in _NUMBERS:
            found[expression.source.removeprefix(FIELD_PREFIX)] = _NUMBER
    for expression in content.expressions():
        # Only the template knows which words are allowed at their place.
        if expression.source.startswith(FIELD_PREFIX) and expression.default not in {None, ""}:
            found[expression.source.removeprefix(FIELD_PREFIX)] = expression.default
    return found
