"""Versions of templates are kept in memory while they are used, within a bound of bytes."""

from __future__ import annotations

import json

import pytest

from passferry_pass_issuer.adapters.postgres_templates import SELECT_EXACT, PostgresCatalogue

pytestmark = pytest.mark.unit


class Reading:
    """A transaction that has all versions of one template, and counts what is read of them."""

    def __init__(self, version):
        self.version, self.read = version, []

    async def fetch(self, sql, workspace_ids, template_ids, numbers):
        if sql != SELECT_EXACT:
            return []
        self.read += numbers
        columns = {name: getattr(self.version, name) for name in self.version.__slots__}
        columns["content"] = json.dumps(self.version.raw_content)
        return [columns | {"template_version": number} for number in numbers]


async def test_a_version_in_use_is_read_once_and_others_make_room_for_one_another(
    as_version, template_examples
):
    version = as_version(template_examples[0])
    size = version.facts({}).content_bytes
    assert size == len(json.dumps(version.raw_content))
    catalogue, reading = PostgresCatalogue(cached_content_bytes=2 * size), Reading(version)

    def key(number):
        return version.workspace_id, version.template_id, number

    for number in range(1, 6):
        await catalogue.templates(reading, {key(99)})
        found = await catalogue.templates(reading, {key(number)})
        assert found[key(number)].template_version == number
    assert reading.read == [99, 1, 2, 3, 4, 5]
    await catalogue.templates(reading, {key(1)})
    assert reading.read[-1] == 1
