"""Trying a draft out leaves nothing of it behind: an editor may lint on each keystroke."""

from __future__ import annotations

import gc
from dataclasses import replace
from uuid import uuid4

import pytest

from passferry_pass_issuer.adapters.apple_examination import examiner
from passferry_pass_issuer.adapters.apple_rendering import PreparedTemplate
from passferry_pass_issuer.adapters.google_examination import google_examiner
from passferry_pass_issuer.domain.google_template import GoogleContent
from passferry_pass_issuer.domain.rendering_subject import TemplateFacts

pytestmark = pytest.mark.unit

ADDRESS = "https://passes.example"
GOOGLE = {
    "issuer_name": "Café Ferry",
    "title": "Card",
    "logo_url": "https://passes.example/logo.png",
}


def alive():
    gc.collect()
    kinds = (PreparedTemplate, TemplateFacts, GoogleContent)
    return sum(isinstance(each, kinds) for each in gc.get_objects())


@pytest.mark.parametrize("made", [examiner, google_examiner], ids=["apple", "google"])
def test_a_draft_that_was_linted_is_not_kept_in_memory(made, as_version, template_examples):
    examine, before = made(ADDRESS), alive()
    for _ in range(3):
        version = as_version(template_examples[0] | {"google": GOOGLE})
        version = replace(version, template_id=uuid4(), google_issuer_id="3388000000000000001")
        found = examine(version, [])
        assert [each for each in found if each.severity == "error"] == []
    del version
    assert alive() == before
