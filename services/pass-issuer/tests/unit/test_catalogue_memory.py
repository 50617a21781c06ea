"""Versions of templates are kept in memory while they are used, within a bound of bytes."""

from __future__ import annotations

import gc
import json
import tracemalloc

import pytest

from passferry_pass_issuer.adapters.apple_rendering import PreparedTemplate
from passferry_pass_issuer.adapters.postgres_templates import SELECT_EXACT, PostgresCatalogue
from passferry_pass_issuer.domain.example_pass import example_pass

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


@pytest.mark.parametrize(
    "apple",
    [
        {
            "fields": {
                "back": [
                    {"key": f"k{n}", "label": f"Label {n}", "value": {"source": f"field.f{n}"}}
                    for n in range(50)
                ]
            }
        },
        {"document": {"userInfo": {f"k{n}": {"m": f"value {n}"} for n in range(300)}}},
    ],
    ids=["many fields", "a document of small members"],
)
def test_what_a_version_is_counted_for_is_no_less_than_what_it_takes_in_memory(
    as_version, template_example, apple
):
    body = template_example("generic")
    body["apple"] |= apple
    text = json.dumps(body)
    as_version(body)
    gc.collect()
    tracemalloc.start()
    kept = [as_version(json.loads(text)).facts({}) for _ in range(20)]
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held <= sum(facts.content_bytes for facts in kept)
    assert held > sum(facts.content_bytes for facts in kept) / 4


@pytest.mark.parametrize(
    "apple",
    [
        {"fields": {"back": [
            {"key": f"k{n}", "label": "L" * 50, "value": {"source": f"field.f{n}"}} for n in range(50)
        ]}},
        {"semantics": {"seats": [
            {"seatRow": {"source": f"field.r{n}"}, "seatNumber": {"source": f"field.n{n}"}}
            for n in range(100)
        ]}},
        {"document": {"userInfo": [{"source": "field.a"} for n in range(2_000)]}},
    ],
    ids=["fields", "seats", "a document"],
)  # fmt: skip
def test_what_a_prepared_version_is_counted_for_is_no_less_than_what_it_takes_in_memory(
    as_version, template_example, apple
):
    body = template_example("generic")
    body["apple"] |= apple
    subject = example_pass(as_version(body), {}, "https://passes.example/w/1")

    def prepared() -> PreparedTemplate:
        facts = subject.template
        found = PreparedTemplate(facts, facts.content.apple, facts.pass_type_identifier)
        found.pass_json(subject)
        return found

    prepared()
    gc.collect()
    tracemalloc.start()
    kept = [prepared() for _ in range(5)]
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held <= sum(each.size for each in kept)
