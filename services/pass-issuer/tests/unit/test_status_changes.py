"""The life of a pass is a table; what is not in it is refused."""

from __future__ import annotations

from itertools import product

import pytest

from passferry_contracts.types import PassStatus
from passferry_pass_issuer.domain.status_changes import NEXT, may_become

ALLOWED = {
    ("active", "voided"),
    ("active", "expired"),
    ("active", "deleted"),
    ("voided", "deleted"),
    ("expired", "voided"),
    ("expired", "deleted"),
}


@pytest.mark.parametrize(("present", "wanted"), list(product(PassStatus, PassStatus)))
def test_a_status_follows_another_only_where_the_table_says_so(present, wanted):
    # proves: J93
    assert may_become(present, wanted) is ((present.value, wanted.value) in ALLOWED)


def test_nothing_that_ended_becomes_active_again():
    # proves: J93
    assert set(NEXT) == set(PassStatus)
    assert not any(PassStatus.ACTIVE in following for following in NEXT.values())
