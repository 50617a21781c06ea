"""Which fields of a pass speak of the person who has it."""

from __future__ import annotations

from datetime import date
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passferry_pass_issuer.domain.former_values import fields_about
from passferry_pass_issuer.domain.rendering_subject import HolderFacts

pytestmark = pytest.mark.unit

ANA = HolderFacts(
    holder_id=UUID(int=1),
    external_id="crm-77",
    full_name="Zoë O'Hara",
    email="zoe@example.org",
    phone="+49 40 123456",
    birthday=date(1990, 5, 17),
)


@pytest.mark.parametrize(
    "said",
    [
        "Zoë O'Hara",
        "  zoë   o'hara likes tea",
        "Table of ZOË O'HARA.",
        "write to zoe@example.org",
        "+49 40 123456",
        "CRM-77",
        "member (crm-77)",
        "born 1990-05-17",
        "17.05.1990",
    ],
)
def test_a_value_that_names_the_person_is_theirs(said):
    # proves: J71
    assert fields_about(ANA, {"note": said, "size": "L"}) == {"note"}


@pytest.mark.parametrize(
    "said",
    ["tea", "Zoë", "O'Hara", "crm-777", "xcrm-77", "zoe@example.organic", "", None, True, 77],
)
def test_a_value_that_may_be_anybodys_stays(said):
    assert fields_about(ANA, {"note": said}) == frozenset()


def test_a_short_name_is_meant_only_where_it_is_all_that_is_said():
    bo = HolderFacts(holder_id=UUID(int=2), full_name="Bo", external_id="7")
    values = {"a": "bo", "b": "Bo's table", "c": 7, "d": 77, "e": "seat 7"}
    assert fields_about(bo, values) == {"a", "c"}
    nobody = HolderFacts(holder_id=UUID(int=3), full_name="  ", external_id="")
    assert fields_about(nobody, {"a": "", "b": "x"}) == frozenset()


@given(text=st.text(max_size=40), name=st.text(min_size=1, max_size=20))
def test_whatever_stands_around_a_long_name_it_is_found_between_spaces(text, name):
    facts = HolderFacts(holder_id=UUID(int=4), full_name=name)
    found = fields_about(facts, {"note": f"{text} {name} {text}"})
    assert (found == {"note"}) or len(" ".join(name.casefold().split())) < 5
