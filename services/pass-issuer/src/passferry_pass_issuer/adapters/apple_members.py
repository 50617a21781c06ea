"""What few templates leave to a pass besides its fields and barcodes, in Apple Wallet."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import orjson

from passferry_contracts.types import PassStatus
from passferry_pass_issuer.adapters.apple_content import (
    is_text,
    nfc_of,
    relevant_dates,
)
from passferry_pass_issuer.adapters.apple_fields import pattern_writer, written_constants
from passferry_pass_issuer.domain.apple_template import (
    LINKS,
    AppleContent,
    FeaturedActionContent,
    NfcContent,
)
from passferry_pass_issuer.domain.field_mapping import reading_text
from passferry_pass_issuer.domain.json_pattern import Constant, JsonPattern
from passferry_pass_issuer.domain.pattern_drawing import ABSENT, drawing
from passferry_pass_issuer.domain.rendering_subject import RenderSubject
from passferry_pass_issuer.domain.value_expression import ValueExpression
from passferry_wallet.apple.document import semantics_place
from passferry_wallet.apple.json_frame import encoded
from passferry_wallet.apple.pass_barcodes import nfc_member
from passferry_wallet.apple.pass_content import FeaturedAction
from passferry_wallet.apple.pass_extras import app_address, featured_actions, link
from passferry_wallet.apple.pass_json import checked_group, json_of
from passferry_wallet.apple.pass_relevance import relevant_dates as written_dates

#: Members of pass.json as JSON.
Members = dict[str, bytes]
#: Adds those that a pass has of its own. Raises PassContentRejected and ContentRejected.
Step = Callable[[RenderSubject, Members], None]


def member_steps(apple: AppleContent) -> list[Step]:
    """What adds such members for one pass after the other. What holds between members of the
    template (an app's address needs its store identifiers) was checked before."""
    return list(_steps(apple))


def _steps(apple: AppleContent) -> Iterator[Step]:
    if apple.nfc is not None:
        yield _nfc(apple.nfc)
    if apple.relevant_dates:
        yield _dates(apple)
    if apple.featured_actions:
        yield _actions(apple.featured_actions)
    for name, expression, check in (
        ("groupingIdentifier", apple.grouping_identifier, checked_group),
        ("appLaunchURL", apple.app_launch_url, app_address),
    ):
        if expression is not None:
            yield _word(name, expression, check)
    if apple.semantics is not None and not isinstance(apple.semantics, Constant):
        yield _semantics(apple.semantics)
    for each, expression in apple.links.items():
        if not is_text(expression):
            yield _link(LINKS[each], expression)


def _nfc(content: NfcContent) -> Step:
    read = reading_text(content.message)

    def add(subject: RenderSubject, own: Members) -> None:
        message = read(subject)
        # Nobody reads what is spent.
        if message is not None and subject.status is PassStatus.ACTIVE:
            own["nfc"] = encoded(nfc_member(nfc_of(content, message)))

    return add


def _dates(apple: AppleContent) -> Step:
    readings = relevant_dates(apple)

    def add(subject: RenderSubject, own: Members) -> None:
        dates = [date for read in readings if (date := read(subject)) is not None]
        if dates:
            for name, value in written_dates(dates).items():
                own[name] = encoded(value)

    return add


def _actions(contents: tuple[FeaturedActionContent, ...]) -> Step:
    readings = [None if each.url is None else reading_text(each.url) for each in contents]

    def drawn(subject: RenderSubject) -> bytes:
        actions = [
            FeaturedAction(
                identifier=each.identifier,
                type=each.type,
                url=None if read is None else read(subject),
            )
            for each, read in zip(contents, readings, strict=True)
        ]
        return encoded(featured_actions(actions))

    def add(subject: RenderSubject, own: Members) -> None:
        own["featuredActions"] = drawn(subject)

    return add


def _word(name: str, expression: ValueExpression, check: Callable[[str], str]) -> Step:
    read = reading_text(expression)

    def add(subject: RenderSubject, own: Members) -> None:
        text = read(subject)
        if text is not None:
            own[name] = orjson.dumps(check(text))

    return add


def _link(name: str, expression: ValueExpression) -> Step:
    return _word(name, expression, lambda address: link(name, address))


def _semantics(pattern: JsonPattern) -> Step:
    draw = drawing(written_constants(pattern), "apple.semantics", semantics_place(), pattern_writer)

    def add(subject: RenderSubject, own: Members) -> None:
        found = draw(subject)
        if found is not ABSENT:
            own["semantics"] = json_of(found)

    return add
