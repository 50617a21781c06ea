"""Reads what was uploaded for an import, outside of any transaction: CPU only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from passferry_pass_issuer.domain.pass2u import RefusedPass, read_export
from passferry_pass_issuer.domain.pass_import import (
    PassFiles,
    SourcePass,
    SourceTemplate,
    Unmapped,
    check_manifest,
)
from passferry_pass_issuer.domain.pass_mapping import map_pass
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.template_fitting import Piece, fit
from passferry_pass_issuer.domain.template_parsing import parse_template_content
from passferry_pass_issuer.domain.value_expression import Scalar

ZIP_START = b"PK"


class PassSignatures(Protocol):
    def check(
        self, files: PassFiles, manifest: bytes, *, pass_type_identifier: str, team_identifier: str
    ) -> tuple[str, str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadImport:
    """What can be imported, what cannot, and files that are neither."""

    templates: Sequence[SourceTemplate]
    passes: Sequence[SourcePass | RefusedPass]
    ignored: Sequence[str] = ()


@dataclass(slots=True)
class _Layout:
    """The passes of one layout; `constants` are the texts of its fields, by key, for each."""

    template: SourceTemplate
    passes: list[SourcePass] = field(default_factory=list)
    constants: list[dict[str, str]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class ReadImports:
    open_upload: Callable[[bytes], tuple[list[PassFiles], list[str]]]
    signatures: PassSignatures
    check_asset: Callable[[str, bytes], None]

    def __call__(self, data: bytes, *, balance_field: str | None = None) -> ReadImport:
        """Raises `ContentRejected` when nothing of the upload can be read."""
        if not data.startswith(ZIP_START):
            export = read_export(data)
            fitted = tuple(self._fitted(each) for each in export.templates)
            return ReadImport(templates=fitted, passes=export.passes)
        archives, ignored = self.open_upload(data)
        layouts: dict[str, _Layout] = {}
        refused: list[RefusedPass] = []
        for files in archives:
            try:
                self._add(layouts, files, balance_field)
            except ContentRejected as refusal:
                refused.append(RefusedPass(files.name, refusal))
        templates: list[SourceTemplate] = []
        passes: list[SourcePass | RefusedPass] = [*refused]
        for layout in layouts.values():
            try:
                template, members = _with_what_differs(layout)
                templates.append(self._fitted(template))
                passes += members
            except ContentRejected as refusal:
                passes += [RefusedPass(each.name, refusal) for each in layout.passes]
        order = {files.name: at for at, files in enumerate(archives)}
        passes.sort(key=lambda each: order[each.name])
        return ReadImport(templates=templates, passes=passes, ignored=ignored)

    def _add(
        self, layouts: dict[str, _Layout], files: PassFiles, balance_field: str | None
    ) -> None:
        manifest = check_manifest(files)
        mapped = map_pass(files, balance_field=balance_field)
        template = mapped.template
        signature, detail = self.signatures.check(
            files,
            manifest,
            pass_type_identifier=template.pass_type_identifier or "",
            team_identifier=template.team_identifier or "",
        )
        issued = replace(mapped.issued, signature=signature, signature_detail=detail)
        layout = layouts.setdefault(template.key, _Layout(template))
        layout.passes.append(issued)
        layout.constants.append(_constants(template.apple))

    def _fitted(self, template: SourceTemplate) -> SourceTemplate:
        content, cut = fit({"apple": template.apple}, parse_template_content)
        unmapped = [*template.unmapped, *cut]
        files: dict[str, bytes] = {}
        for name, data in template.files.items():
            try:
                self.check_asset(name, data)
            except ContentRejected as refusal:
                unmapped.append(Unmapped(name, refusal.detail))
            else:
                files[name] = data
        return replace(template, apple=content["apple"], files=files, unmapped=tuple(unmapped))


def _fields(apple: Mapping[str, Any]) -> list[Piece]:
    return [item for group in apple.get("fields", {}).values() for item in group]


def _constants(apple: Mapping[str, Any]) -> dict[str, str]:
    return {each["key"]: each["value"] for each in _fields(apple) if isinstance(each["value"], str)}


def _with_what_differs(layout: _Layout) -> tuple[SourceTemplate, list[SourcePass]]:
    """A text that is not the same on all passes is no constant of their template."""
    differing = {
        key
        for key in layout.constants[0]
        if len({constants.get(key) for constants in layout.constants}) > 1
    }
    if not differing:
        return layout.template, layout.passes
    for each in _fields(layout.template.apple):
        if each["key"] in differing:
            each["value"] = {"source": f"field.{each['key']}"}
    passes = []
    for issued, constants in zip(layout.passes, layout.constants, strict=True):
        values: dict[str, Scalar] = {**issued.values}
        values |= {key: constants[key] for key in sorted(differing) if key in constants}
        passes.append(replace(issued, values=values))
    return layout.template, passes
