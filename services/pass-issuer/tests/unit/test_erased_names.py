"""Who was erased is known again by the names that would have found them, and by no others."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passferry_pass_issuer.domain.erased_names import (
    FIELDS,
    Name,
    NameKind,
    asked_holder_names,
    first_of,
    holder_names,
    pass_names,
)

pytestmark = pytest.mark.unit

IDS = st.one_of(st.none(), st.sampled_from(["ana", "bo"]), st.text(max_size=4))
ADDRESSES = st.one_of(st.none(), st.sampled_from([b"1" * 32, b"2" * 32]))


@given(erased_id=IDS, erased_address=ADDRESSES, asked_id=IDS, asked_address=ADDRESSES)
def test_an_order_means_the_erased_person_exactly_when_it_would_have_found_them(
    erased_id, erased_address, asked_id, asked_address
):
    # proves: J71
    is_same_id = erased_id is not None and erased_id == asked_id
    is_same_address = erased_address is not None and erased_address == asked_address
    are_two_ids = erased_id is not None and asked_id is not None
    means_them = is_same_id or (is_same_address and not are_two_ids)
    erased = frozenset(holder_names(erased_id, erased_address, is_address_proven=True))
    asked = asked_holder_names(asked_id, asked_address, trusts_address=True)
    assert (first_of(asked, erased) is not None) is means_them


@given(asked_id=IDS, address=ADDRESSES, is_proven=st.booleans(), is_form=st.booleans())
def test_an_address_out_of_a_form_means_its_writer_to_other_forms_alone(
    asked_id, address, is_proven, is_form
):
    # proves: J71
    asked_id = None if is_form else asked_id
    erased = frozenset(holder_names(None, address, is_address_proven=is_proven))
    asked = asked_holder_names(asked_id, address, trusts_address=not is_form)
    is_known = address is not None and (is_proven or is_form)
    assert (first_of(asked, erased) is not None) is is_known


@given(text=st.text(max_size=8), code=st.text(max_size=8))
def test_a_name_of_one_kind_is_never_taken_for_one_of_another(text, code):
    program = UUID(int=1)
    names = pass_names(program_id=program, external_id=text, code=code)
    assert not set(names) & set(holder_names(text, text.encode(), is_address_proven=True))
    elsewhere = pass_names(program_id=UUID(int=2), external_id=None, code=code)
    assert not set(names) & set(elsewhere)


def test_every_kind_of_name_has_a_member_that_says_it():
    assert FIELDS.keys() == set(NameKind)
    assert first_of([Name(NameKind.PASS, b"x")], frozenset()) is None
