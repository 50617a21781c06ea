"""The typed models of Google's bodies are what Google's own description says. proves: A22"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from passferry_wallet.google.content import GoogleContentRejected
from passferry_wallet.google.models import CLASS_MODELS, OBJECT_MODELS, REVISION
from passferry_wallet.google.objects import VERTICALS
from passferry_wallet.google.shapes import Choice, Many, Part, check_body, shape_of

GENERATOR = Path(__file__).parents[3] / "tools/generate_google_models.py"

#: As the API's reference lists them, beside the names of the resource itself.
REQUIRED_OF_CLASS = {
    "loyalty": {"issuerName", "programName", "programLogo", "reviewStatus"},
    "giftCard": {"issuerName", "reviewStatus"},
    "offer": {"issuerName", "provider", "title", "redemptionChannel", "reviewStatus"},
    "eventTicket": {"issuerName", "eventName", "reviewStatus"},
    "flight": {
        "issuerName",
        "origin",
        "destination",
        "flightHeader",
        "localScheduledDepartureDateTime",
        "reviewStatus",
    },
    "transit": {"issuerName", "logo", "transitType", "reviewStatus"},
    "generic": set(),
}
REQUIRED_OF_OBJECT = {
    "loyalty": {"state"},
    "giftCard": {"cardNumber", "state"},
    "offer": {"state"},
    "eventTicket": {"state"},
    "flight": {"passengerName", "reservationInfo", "state"},
    "transit": {"tripType", "state"},
    "generic": {"cardTitle", "header"},
}
MEMBER = {"id": "1.pass", "classId": "1.card", "state": "ACTIVE"}


@pytest.fixture(scope="module")
def generator():
    spec = importlib.util.spec_from_file_location("generate_google_models", GENERATOR)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_models_are_what_the_description_of_google_says_now(generator):
    source = generator.source_of(generator.load_document())
    assert generator.MODELS.read_text() == generator.formatted(source)
    assert generator.load_document()["revision"] == REVISION


@pytest.mark.parametrize("vertical", sorted(VERTICALS))
def test_each_vertical_requires_what_the_reference_lists(vertical):
    found = {
        kind: {name for name, each in shape_of(vertical, kind).members.items() if each.is_required}
        for kind in ("Class", "Object")
    }
    assert found == {
        "Class": {"id"} | REQUIRED_OF_CLASS[vertical],
        "Object": {"id", "classId"} | REQUIRED_OF_OBJECT[vertical],
    }


@pytest.mark.parametrize("vertical", sorted(VERTICALS))
def test_what_only_the_platform_sets_has_no_place_in_a_model(vertical):
    for models in (CLASS_MODELS, OBJECT_MODELS):
        known = {field.alias for field in models[vertical].model_fields.values()}
        assert not known & {"hasUsers", "hasLinkedDevice", "classReference", "kind", "version"}


@pytest.mark.parametrize(
    ("change", "code", "path"),
    [
        ({"hasUsers": True}, "unknown", "hasUsers"),
        ({"state": "active"}, "invalid", "state"),
        ({"state": None}, "invalid", "state"),
        ({"accountId": 7}, "invalid", "accountId"),
        ({"loyaltyPoints": {"balance": {"int": "7"}}}, "invalid", "loyaltyPoints.balance.int"),
        ({"loyaltyPoints": {"balance": {"int": 2**31}}}, "invalid", "loyaltyPoints.balance.int"),
        ({"loyaltyPoints": {"label": "x"}}, "required", "loyaltyPoints.balance"),
        ({"textModulesData": [{"titel": "x"}]}, "unknown", "textModulesData.0.titel"),
        ({"passConstraints": {"nfcConstraint": ["X"]}}, "invalid", "passConstraints.nfcConstraint.0"),
    ],
)  # fmt: skip
def test_a_fault_is_named_by_its_path(change, code, path):
    check_body("loyalty", "Object", MEMBER)
    with pytest.raises(GoogleContentRejected) as refusal:
        check_body("loyalty", "Object", MEMBER | change)
    assert (refusal.value.code, refusal.value.field) == (code, path)


def test_64_bits_are_text_and_no_more_than_64_bits():
    money = OBJECT_MODELS["giftCard"].model_fields["balance"].annotation
    card = {"id": "1.a", "classId": "1.b", "state": "ACTIVE", "cardNumber": "7"}
    assert money is not None
    check_body("giftCard", "Object", card | {"balance": {"micros": str(2**63 - 1)}})
    for wrong in (str(2**63), 5, "5.0", "\u0665"):
        with pytest.raises(GoogleContentRejected):
            check_body("giftCard", "Object", card | {"balance": {"micros": wrong}})


def test_shapes_tell_words_lists_and_parts():
    members = shape_of("transit", "Object").members
    assert members["tripType"].shape == Choice(frozenset({"ROUND_TRIP", "ONE_WAY"}))
    legs = members["ticketLegs"].shape
    assert isinstance(legs, Many)
    assert isinstance(legs.item, Part)
    assert legs.item.name == "TicketLeg"
    assert members["ticketNumber"].shape == "text"
    balance = shape_of("loyalty", "Object").members["loyaltyPoints"].shape.members["balance"].shape
    assert {name: each.shape for name, each in balance.members.items()} == {
        "double": "number",
        "int": "integer",
        "money": Part("Money", balance.members["money"].shape.model),
        "string": "text",
    }
    micros = balance.members["money"].shape.members["micros"]
    assert micros.shape == "digits"


def test_a_model_refuses_to_be_changed():
    card = OBJECT_MODELS["loyalty"].model_validate(MEMBER)
    with pytest.raises(ValidationError):
        card.state = "EXPIRED"
