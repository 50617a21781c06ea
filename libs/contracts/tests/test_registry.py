"""The topics as a whole."""

import re

import pytest

from passferry_contracts.parties import PARTIES, REPLAY, UPSTREAM
from passferry_contracts.registry import (
    DEAD_LETTERS,
    PASS_PARTITIONS,
    SERVICES,
    TOPICS,
)

EVENT_TYPES_OF_TOPICS = {
    "pass.inbound": {
        "pass.created",
        "pass.updated",
        "pass.voided",
        "pass.balance_changed",
        "pass.redeemed",
    },
    "pass.created": {"pass.created"},
    "pass.updated": {
        "pass.updated",
        "pass.voided",
        "pass.expired",
        "pass.deleted",
        "pass.erased",
        "pass.birthday",
    },
    "pass.balance_changed": {"pass.balance_changed", "points.expiring"},
    "pass.redeemed": {"pass.redeemed"},
    "pass.rendered": {"pass.rendered"},
    "wallet.activity": {
        "pass.published",
        "device.registered",
        "device.unregistered",
        "pass.link_opened",
        "pass.downloaded",
        "pass.installed",
        "pass.uninstalled",
        "pass.viewed",
    },
    "link.changed": {"link.changed"},
    "message.requested": {"message.requested"},
    "message.issued": {"message.issued"},
    "delivery.completed": {"delivery.completed"},
    "ledger.commands": {"ledger.earn", "ledger.redeem", "ledger.adjust"},
    "ledger.results": {"ledger.command_completed"},
    "program.changed": {"program.changed"},
    "template.published": {"template.published"},
    "template.assets": {"template.asset_stored"},
    "workspace.access": {"workspace.access_changed"},
    "workspace.credentials": {"workspace.credentials_changed"},
    "enrolment.requested": {"enrolment.requested"},
    "operations.events": {"operations.reported"},
}
COMPACTED = {
    "pass.rendered",
    "link.changed",
    "program.changed",
    "template.published",
    "template.assets",
    "workspace.access",
    "workspace.credentials",
}
#: aiokafka refuses larger produce requests than the runtime sets; a batch adds its own header.
LARGEST_RECORD_BYTES = 1_100_000 - 4_096


@pytest.mark.parametrize("topic", sorted(EVENT_TYPES_OF_TOPICS))
def test_a_topic_carries_the_event_types_of_the_design(topic):
    types = {model.event_type for model in TOPICS[topic].events}
    assert types >= EVENT_TYPES_OF_TOPICS[topic]


def test_every_service_has_a_dead_letter_topic_and_nothing_else_is_unplanned():
    dead_letters = {f"{service}-dlt" for service in SERVICES}
    assert {topic.name for topic in DEAD_LETTERS.values()} == dead_letters
    assert set(TOPICS) == set(EVENT_TYPES_OF_TOPICS) | dead_letters


def test_topics_about_passes_have_equal_partition_counts():
    # proves: J39. Range assignment keeps equal partitions of several topics together.
    about_passes = [topic for topic in TOPICS.values() if topic.key == "pass_id"]
    assert len(about_passes) >= 9
    assert {topic.partitions for topic in about_passes} == {PASS_PARTITIONS}


def test_the_topics_that_hold_state_are_compacted_and_no_others():
    assert {topic.name for topic in TOPICS.values() if topic.compacted} == COMPACTED


def test_what_is_not_compacted_is_kept_for_seven_days():
    for topic in TOPICS.values():
        settings = topic.configuration()
        if topic.compacted:
            assert settings["cleanup.policy"] == "compact"
            assert "retention.ms" not in settings
        else:
            assert settings["cleanup.policy"] == "delete"
            assert settings["retention.ms"] == str(7 * 24 * 3600 * 1000)


def test_names_are_legal_and_never_collide_in_metric_names():
    # Kafka writes both dots and underscores as underscores in metric names.
    for name in TOPICS:
        assert re.fullmatch(r"[a-z][a-z0-9._-]{0,200}", name)
    assert len({name.replace(".", "_") for name in TOPICS}) == len(TOPICS)


def test_event_types_are_unique_within_a_topic_and_fit_their_attribute():
    for topic in TOPICS.values():
        types = [model.event_type for model in topic.events]
        assert len(set(types)) == len(types)
        for event_type in types:
            assert re.fullmatch(r"[a-z]+\.[a-z_]+(\.v[0-9]+)?", event_type)


def test_canonical_event_types_belong_to_one_topic_each():
    canonical = [
        model.event_type
        for topic in TOPICS.values()
        if topic.name != "pass.inbound"
        for model in topic.events
    ]
    assert len(set(canonical)) == len(canonical)


def test_record_sizes_are_bounded_and_a_dead_letter_holds_any_record():
    largest = max(topic.max_record_bytes for topic in TOPICS.values() if topic.events)
    for topic in TOPICS.values():
        assert 0 < topic.max_record_bytes <= LARGEST_RECORD_BYTES
        assert topic.configuration()["max.message.bytes"] == str(topic.max_record_bytes)
    for topic in DEAD_LETTERS.values():
        assert topic.max_record_bytes >= largest + 32_768


def test_an_image_of_the_largest_size_fits_its_record():
    content = TOPICS["template.assets"].events[0].model_fields["content"]
    bound = max(getattr(rule, "max_length", None) or 0 for rule in content.metadata)
    assert 0 < bound <= 900_000 - 1_000
    assert TOPICS["template.assets"].max_record_bytes >= 900_000


def test_every_topic_has_senders_and_receivers():
    assert set(PARTIES) == set(TOPICS)
    for parties in PARTIES.values():
        assert parties.senders
        assert parties.receivers
        assert set(parties.senders) <= {*SERVICES, UPSTREAM}
        assert set(parties.receivers) <= {*SERVICES, UPSTREAM, REPLAY}
        assert parties.purpose.endswith(".")


def test_only_the_issuer_and_the_notifier_know_the_credentials_topic():
    parties = PARTIES["workspace.credentials"]
    assert {*parties.senders, *parties.receivers} == {"pass-issuer", "notifier"}


def test_amounts_are_integers():
    # proves: A22
    amounts = [
        (model, name)
        for topic in TOPICS.values()
        for model in topic.events
        for name in model.model_fields
        if name.endswith("_minor")
    ]
    assert len(amounts) > 10
    for model, name in amounts:
        annotation = str(model.model_fields[name].annotation)
        assert "int" in annotation, (model, name)
        assert "float" not in annotation
