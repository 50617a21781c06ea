"""Builds what checks, draws and scales templates."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from passferry_pass_issuer.adapters.apple_examination import examiner
from passferry_pass_issuer.adapters.google_examination import google_examiner
from passferry_pass_issuer.adapters.postgres_brands import PostgresBrands
from passferry_pass_issuer.adapters.postgres_template_passes import PostgresTemplatePasses
from passferry_pass_issuer.adapters.wallet_images import (
    ImageScaler,
    strings_files,
)
from passferry_pass_issuer.app.parts import Stores, Surroundings
from passferry_pass_issuer.application.count_ends import CountEnds
from passferry_pass_issuer.application.edit_templates import (
    StoreTemplateFile,
    TemplateFile,
)
from passferry_pass_issuer.application.google_class_events import GoogleClasses
from passferry_pass_issuer.application.keep_brand import KeepBrand, TakeBrand
from passferry_pass_issuer.application.lint_templates import LintTemplate
from passferry_pass_issuer.application.ports import (
    RevisionRenderer,
)
from passferry_pass_issuer.application.publish_templates import PublishTemplate
from passferry_pass_issuer.application.template_images import StoreTemplateImage
from passferry_pass_issuer.domain.example_pass import example_pass
from passferry_pass_issuer.domain.linting import LintFinding
from passferry_pass_issuer.domain.template_checks import TemplateVersion


def build_linter(around: Surroundings, stores: Stores) -> LintTemplate:
    return LintTemplate(
        templates=stores.templates,
        identities=stores.credential_store,
        brand=TakeBrand(brands=PostgresBrands()),
        examine=_examiner(around.public_base_url),
    )


def build_end_counter(stores: Stores) -> CountEnds:
    return CountEnds(
        templates=stores.templates, catalogue=stores.catalogue, passes=PostgresTemplatePasses()
    )


def _examiner(
    public_base_url: str,
) -> Callable[[TemplateVersion, Sequence[TemplateFile]], list[LintFinding]]:
    apple, google = examiner(public_base_url), google_examiner(public_base_url)

    def examine(version: TemplateVersion, files: Sequence[TemplateFile]) -> list[LintFinding]:
        found = apple(version, files)
        known = {finding.path for finding in found}
        return [*found, *(each for each in google(version, files) if each.path not in known)]

    return examine


def build_brand(around: Surroundings) -> KeepBrand:
    return KeepBrand(brands=PostgresBrands(), check_asset=around.check_asset)


def build_publisher(around: Surroundings, stores: Stores) -> PublishTemplate:
    return PublishTemplate(
        templates=stores.templates,
        google_classes=around.google_classes,
        brand=TakeBrand(brands=PostgresBrands()),
        try_out=build_trial(around.renderer, around.google_classes, around.public_base_url),
        lint=build_linter(around, stores),
        strings_files=strings_files,
    )


def build_image_store(around: Surroundings, stores: Stores) -> StoreTemplateImage:
    return StoreTemplateImage(
        scale=ImageScaler(),
        store_file=StoreTemplateFile(templates=stores.templates, check_asset=around.check_asset),
    )


def build_trial(
    renderer: RevisionRenderer, google_classes: GoogleClasses, public_base_url: str
) -> Callable[[TemplateVersion, Sequence[TemplateFile]], None]:
    def try_out(version: TemplateVersion, files: Sequence[TemplateFile]) -> None:
        digests = {file.name: file.sha1 for file in files}
        url = f"{public_base_url}/w/{version.workspace_id}"
        drawn = renderer.render(example_pass(version, digests, url))
        if drawn.google_object is not None:
            google_classes.check_object(version, drawn.google_object)

    return try_out
