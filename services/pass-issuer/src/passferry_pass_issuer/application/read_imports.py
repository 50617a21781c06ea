"""Reads what was uploaded for an import, outside of any transaction: CPU only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from passferry_pass_issuer.domain.layout_constants import constants_of, make_dynamic
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
from passferry_pass_issuer.domain.template_fitting import fit
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
    """The passes of one layout."""

    template: SourceTemplate
    passes: list[SourcePass] = field(default_factory=list)


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
        issued = replace(
            mapped.issued,
            signature=signature,
            signature_detail=detail,
            constants=constants_of(template.apple),
        )
        layout = layouts.setdefault(template.key, _Layout(template))
        layout.passes.append(issued)

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


def _with_what_differs(layout: _Layout) -> tuple[SourceTemplate, list[SourcePass]]:
    """What is not the same on all passes is no constant of their template."""
    passes = layout.passes
    differing = [
        path
        for path in passes[0].constants
        if any(each.constants.get(path) != passes[0].constants[path] for each in passes)
    ]
    taken = {name for each in passes for name in each.values}
    names = {path: make_dynamic(layout.template.apple, path, taken) for path in differing}
    if not names:
        return layout.template, passes
    found = []
    for each in passes:
        constants = dict(each.constants)
        given = {name: constants.pop(path) for path, name in names.items() if path in constants}
        values: dict[str, Scalar] = {**each.values, **given}
        found.append(replace(each, values=values, constants=constants))
    return layout.template, found
