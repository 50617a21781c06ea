"""Which openings of a link are told."""

from passferry_wallet_webservice.domain import openings
from passferry_wallet_webservice.domain.openings import OpeningsTold


def test_an_opening_is_told_once_a_minute_for_each_link_and_platform():
    told = OpeningsTold()
    assert told.take(("a", "apple"), 0.0, needs_rendering=False)
    assert not told.take(("a", "apple"), 59.0, needs_rendering=False)
    assert told.take(("a", "google"), 59.0, needs_rendering=False)
    assert told.take(("b", "apple"), 59.0, needs_rendering=False)
    assert told.take(("a", "apple"), 60.0, needs_rendering=False)


def test_a_rendering_is_asked_for_again_soon_but_not_each_time():
    told = OpeningsTold()
    assert told.take("a", 0.0, needs_rendering=False)
    assert told.take("a", 0.1, needs_rendering=True)
    assert not told.take("a", 5.0, needs_rendering=True)
    assert told.take("a", 5.2, needs_rendering=True)


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(openings, "MAX_REMEMBERED", 3)
    told = OpeningsTold()
    for number in range(10):
        assert told.take(number, 0.0, needs_rendering=False)
    assert len(told._told) == 3
