"""A pass that was filled into its template's frame is the pass that is written plainly."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passferry_contracts.types import PassStatus, Protocol
from passferry_pass_issuer.adapters import apple_rendering
from passferry_pass_issuer.adapters.apple_content import constant_content
from passferry_pass_issuer.adapters.apple_frames import (
    MAX_FRAME_BYTES,
    MAX_FRAMES,
    TemplateFrames,
)
from passferry_pass_issuer.adapters.apple_rendering import AppleDrawings, PreparedTemplate
from passferry_pass_issuer.adapters.wallet_renderer import WalletRenderer
from passferry_pass_issuer.domain.apple_template import (
    BARCODE_FORMATS,
    GROUPS,
    LINKS,
    STYLES,
    TRANSIT_TYPES,
)
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.rendering_subject import (
    HolderFacts,
    ProgramFacts,
    RenderSubject,
    TemplateFacts,
)
from passferry_pass_issuer.domain.template_parsing import parse_template_content
from passferry_pass_issuer.domain.value_expression import FORMATS, SOURCES
from passferry_wallet.apple.bundle import build_manifest, sha1_hex
from passferry_wallet.apple.pass_json import constant_parts
from passferry_wallet.apple.rejections import PassContentRejected

pytestmark = pytest.mark.unit

#: What a frame might trip over: its own marks, escapes, and what is refused.
ODD_TEXTS = (
    "", " ", "12", "-1.5", "%", "%b %s %(a)s", "\x00", "\x000\x00", "\\u0000", '"', "\\", "\u2028",
    "\u202eevil", "a\r\nb\tc", "Zoë", "😀", "日本", "\ud800", "<a href='https://x.example'>x</a>", "<b>",
    "2030-01-31", "2030-01-31T12:00:00+01:00", "https://example.com/x", "x" * 9_000,
)  # fmt: skip
FIELD_NAMES = ("a", "b", "c")
KEY = (
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpZP40Li"
    "/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q=="
)
texts = st.sampled_from(ODD_TEXTS) | st.text(max_size=12)
plain_texts = st.text(
    st.characters(categories=["L", "N", "P", "Zs", "So"]), min_size=1, max_size=12
)
values = st.builds(
    lambda source, format_, default: {"source": source, "format": format_}
    | ({} if default is None else {"default": default}),
    st.sampled_from([*sorted(SOURCES), *(f"field.{name}" for name in FIELD_NAMES * 4)]),
    st.sampled_from(FORMATS) | st.just("text"),
    st.none() | plain_texts,
) | plain_texts  # fmt: skip
words = plain_texts | st.sampled_from(
    [{"source": source} for source in ("field.a", "pass.tier", "holder.full_name", "program.name")]
)
addresses = st.just("https://example.com/%20x") | st.just(
    {"source": "field.a", "default": "https://example.com"}
)
dates = st.just("2030-01-31T12:00:00+01:00") | st.just(
    {"source": "pass.expires_at", "format": "date"}
)
#: What is often not there.
fields_of_the_pass = st.sampled_from([{"source": f"field.{name}"} for name in FIELD_NAMES])


def mostly(usual, *, else_):
    """Most passes are sound: one fault hides what comes after it."""
    return st.integers(0, 19).flatmap(lambda number: else_ if number == 7 else usual)


def some(**members):
    """An object with any of these members."""
    return st.fixed_dictionaries({}, optional=members)


#: Of each kind of place: right for some passes, and wrong for others.
numbers = fields_of_the_pass | st.just({"source": "balance", "format": "integer"})
degrees = st.integers(-95, 95) | numbers | st.just({"source": "balance", "format": "decimal"})
prices = st.fixed_dictionaries(
    {"amount": st.just("12.34") | values, "currencyCode": st.just("EUR") | values}
)
semantics = some(
    eventName=mostly(words, else_=values),
    silenceRequested=st.booleans() | fields_of_the_pass,
    seats=st.lists(
        some(seatNumber=fields_of_the_pass, seatRow=plain_texts, seatSectionColor=words), max_size=2
    ),
    eventType=st.just("PKEventTypeMovie") | fields_of_the_pass,
    eventStartDate=mostly(dates, else_=values),
    flightNumber=numbers,
    duration=degrees,
    performerNames=st.lists(words, max_size=2),
    passengerName=some(givenName=words, familyName=values),
    venueLocation=st.fixed_dictionaries({"latitude": degrees, "longitude": degrees}),
    balance=st.just({"source": "balance", "format": "currency"}) | prices,
    ofTomorrow=values,
)
fields = some(
    label=plain_texts,
    change_message=st.just("Now %@, 100 %"),
    currency=st.sampled_from(["EUR", "JPY"]),
    attributed_value=values,
    date_style=st.sampled_from(["Short", "None"]),
    time_style=st.just("Long"),
    is_relative=st.booleans(),
    ignores_time_zone=st.booleans(),
    number_style=st.sampled_from(["Decimal", "Percent"]),
    semantics=semantics,
)
barcodes = st.fixed_dictionaries(
    {"format": st.sampled_from(BARCODE_FORMATS)},
    optional={
        "message": st.just({"source": "pass.code"}) | fields_of_the_pass,
        "alternate_text": values,
        "encoding": st.sampled_from(["utf-8", "iso-8859-1"]),
    },
)


@st.composite
def groups(draw):
    found = {}
    for group in draw(st.sets(st.sampled_from(GROUPS), max_size=4)):
        items = draw(st.lists(st.tuples(fields, values), min_size=1, max_size=2))
        found[group] = [
            {**around, "key": f"{group}{at}", "value": value}
            for at, (around, value) in enumerate(items)
        ]
    return found


@st.composite
def apple_parts(draw):
    """Of a template; some are refused when they are parsed."""
    style = draw(st.sampled_from(STYLES))
    told = {
        "style": style,
        "organization_name": "Café %b",
        "description": "Card",
        "fields": draw(groups()),
    }
    if style == "boardingPass":
        told["transit_type"] = draw(st.sampled_from(TRANSIT_TYPES))
    return told | draw(
        some(
            logo_text=plain_texts,
            background_color=st.just("rgb(1, 2, 3)"),
            barcodes=st.lists(barcodes, max_size=4),
            sharing_prohibited=st.booleans(),
            locations=st.just([{"latitude": "53.5", "longitude": "9.99"}]),
            nfc=st.just({"message": {"source": "field.a"}, "encryption_public_key": KEY}),
            relevant_dates=st.lists(some(date=mostly(dates, else_=values)), max_size=2),
            semantics=semantics,
            links=st.dictionaries(st.sampled_from(sorted(LINKS)), mostly(addresses, else_=values), max_size=2),
            grouping_identifier=words,
            featured_actions=st.just([{"identifier": "i", "type": "t", "url": {"source": "field.b"}}]),
            app_launch_url=words,
            associated_store_identifiers=st.just([1]),
            document=some(
                userInfo=some(a=values, b=st.integers(-(2**70), 2**70)),
                semantics=semantics,
                suppressStripShine=st.booleans(),
                organizationName=words,
                logoText=words,
                locations=st.lists(
                    st.fixed_dictionaries(
                        {"latitude": degrees, "longitude": degrees},
                        optional={"relevantText": words},
                    ),
                    max_size=2,
                ),
                relevantDate=mostly(dates, else_=values),
                backgroundColor=st.just("#fff") | words,
                appLaunchURL=words,
            ),
        )
    )  # fmt: skip


@st.composite
def templates(draw):
    try:
        content = parse_template_content({"apple": draw(apple_parts())})
    except ContentRejected:
        content = parse_template_content(
            {
                "apple": {
                    "style": "coupon",
                    "organization_name": "O",
                    "description": "D",
                    "fields": draw(groups()),
                }
            }
        )
    return TemplateFacts(
        workspace_id=UUID(int=1),
        template_id=UUID(int=4),
        template_version=1,
        pass_type_identifier="pass.com.example.cafe",
        team_identifier="CAFE123456",
        google_issuer_id=None,
        content=content,
        asset_sha1=draw(st.dictionaries(plain_texts, st.just("aa" * 20), max_size=3)),
    )


moments = st.datetimes(
    datetime(2000, 1, 1), timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))])
)
subjects = st.builds(
    RenderSubject,
    workspace_id=st.just(UUID(int=1)),
    pass_id=st.just(UUID(int=2)),
    external_id=texts,
    serial_number=mostly(st.sampled_from(['"1\\', "%b-1"]), else_=texts),
    authentication_token=mostly(st.just("token-token-token-token"), else_=texts),
    code=st.sampled_from(["CAFE-1", "CAFE1", "4006381333931", "1234", "A12B"]) | texts,
    status=st.just(PassStatus.ACTIVE) | st.sampled_from(PassStatus),
    status_reason=st.none() | texts,
    balance_minor=st.integers(-(2**64), 2**64) | st.integers(-5, 500),
    unit=st.sampled_from(["EUR", "points"]),
    unit_scale=st.integers(0, 3),
    field_values=st.dictionaries(
        st.sampled_from(FIELD_NAMES), st.none() | st.booleans() | st.integers(-3, 3) | texts
    ),
    expires_at=st.none() | moments,
    created_at=moments,
    tier=st.none() | texts,
    program=st.builds(
        ProgramFacts,
        program_id=st.just(UUID(int=3)),
        name=texts,
        protocol=st.just(Protocol.COUPON),
        time_zone=st.sampled_from([None, "UTC", "Asia/Tokyo"]),
    ),
    template=st.none(),
    holder=st.builds(
        HolderFacts,
        holder_id=st.just(UUID(int=5)),
        full_name=st.none() | texts,
        birthday=st.none() | st.dates(date(1000, 1, 1)),
    ),
    web_service_url=mostly(
        st.sampled_from(["https://passes.example/w/1", "https://x.example/%d"]),
        else_=st.just("https://x.example/v1"),
    ),
    latest_message=st.none() | texts,
)


@st.composite
def passes_of_one_template(draw):
    facts = draw(templates())
    return facts, [
        replace(each, template=facts) for each in draw(st.lists(subjects, min_size=1, max_size=4))
    ]


def outcome(draw, subject):
    """The bytes, or what was refused and where."""
    try:
        return draw(subject)
    except (PassContentRejected, ContentRejected) as refusal:
        return refusal.code, refusal.field, refusal.detail


def prepared_of(facts):
    return PreparedTemplate(facts, facts.content.apple, facts.pass_type_identifier)


def frames_of(facts):
    apple = facts.content.apple
    return TemplateFrames.of(
        apple, facts.pass_type_identifier, constant_parts(constant_content(apple))
    )


def in_order(members):
    names = [name for name, _ in members]
    assert names == sorted(set(names))
    return dict(members)


@given(passes_of_one_template())
@settings(max_examples=100, deadline=None)
def test_a_filled_frame_is_byte_for_byte_what_is_written_plainly(drawn):
    # proves: A13, A16 (Apple's pass format: P3)
    facts, passes = drawn
    try:
        prepared, frames = prepared_of(facts), frames_of(facts)
    except PassContentRejected:
        # The parts that all passes share are refused before there is a pass.
        return
    for subject in passes:
        plain = outcome(prepared.plain_pass_json, subject)
        assert outcome(prepared.pass_json, subject) == plain
        if frames is not None:
            filled = outcome(frames.pass_json, subject)
            # A frame refuses what the plain writer refuses, and that one says why.
            assert filled == plain if isinstance(plain, bytes) else isinstance(filled, tuple)
            assert outcome(frames.pass_json, subject) == filled
        if isinstance(plain, bytes):
            json.loads(plain, object_pairs_hook=in_order)
            files = {**facts.asset_sha1, "pass.json": sha1_hex(plain)}
            assert prepared.with_manifest(plain) == (plain, build_manifest(files))


def plain_facts(apple, **changes):
    content = {"style": "coupon", "organization_name": "O", "description": "D"} | apple
    facts = TemplateFacts(
        workspace_id=UUID(int=1),
        template_id=UUID(int=4),
        template_version=1,
        pass_type_identifier="pass.com.example.cafe",
        team_identifier="CAFE123456",
        google_issuer_id=None,
        content=parse_template_content({"apple": content}),
        asset_sha1={},
    )
    return replace(facts, **changes)


def plain_subject(facts, **changes):
    subject = RenderSubject(
        workspace_id=UUID(int=1),
        pass_id=UUID(int=2),
        external_id="m-1",
        serial_number="serial-1",
        authentication_token="token-token-token-token",
        code="CAFE-1",
        status=PassStatus.ACTIVE,
        status_reason=None,
        balance_minor=100,
        unit="EUR",
        unit_scale=2,
        field_values={},
        expires_at=None,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        program=ProgramFacts(program_id=UUID(int=3), name="P", protocol=Protocol.COUPON),
        template=facts,
        holder=HolderFacts(holder_id=UUID(int=5)),
        web_service_url="https://passes.example/w/1",
    )
    return replace(subject, **changes)


def test_only_what_is_merged_with_a_document_has_no_frames(template_examples, as_version):
    for body in template_examples:
        facts = as_version(body).facts({})
        if facts.content.apple is not None:
            assert frames_of(facts) is not None
    mine = {"source": "field.n"}
    assert frames_of(plain_facts({"document": {"userInfo": {"n": mine}}})) is not None
    assert frames_of(plain_facts({"document": {"semantics": {"eventName": mine}}})) is not None
    both = {"semantics": {"eventName": mine}, "document": {"semantics": {"x": 1}}}
    assert frames_of(plain_facts(both)) is None
    assert frames_of(plain_facts({"document": {"coupon": {"x": mine}}})) is None


def test_a_frame_keeps_nothing_of_the_pass_that_it_was_made_for():
    # proves: W6, W14
    facts = plain_facts({"barcode": {"format": "qr"}})
    frames = frames_of(facts)
    first = plain_subject(
        facts, serial_number="serial-of-one", authentication_token="token-of-the-first-one",
        code="CODE-OF-ONE", web_service_url="https://passes.example/w/one",
    )  # fmt: skip
    second = plain_subject(
        facts, serial_number="serial-of-two", authentication_token="token-of-the-second-one",
        code="CODE-OF-TWO", web_service_url="https://passes.example/w/two",
    )  # fmt: skip
    for each in (first, second, first):
        drawn = json.loads(frames.pass_json(each))
        assert drawn["serialNumber"] == each.serial_number
        assert drawn["authenticationToken"] == each.authentication_token
        assert drawn["barcode"]["message"] == drawn["barcodes"][0]["message"] == each.code
        assert drawn["webServiceURL"] == each.web_service_url


def test_two_workspaces_with_equal_templates_share_no_frame():
    # proves: W6
    renderer, apple = WalletRenderer(), {"fields": {"back": [{"key": "k", "value": "v"}]}}
    facts = [plain_facts(apple, team_identifier=team) for team in ("AAAAAAAAAA", "BBBBBBBBBB")]
    for each in [*facts, *facts]:
        drawn = json.loads(renderer.render(plain_subject(each)).pass_json)
        assert drawn["teamIdentifier"] == each.team_identifier


def own_urls(count):
    return [f"https://passes.example/w/{number}" for number in range(count)]


def test_frames_and_templates_are_kept_within_a_bound():
    facts = plain_facts({"fields": {"back": [{"key": "k", "value": "v"}]}})
    frames = frames_of(facts)
    for url in own_urls(MAX_FRAMES * 2):
        frames.pass_json(plain_subject(facts, web_service_url=url))
    assert frames.count == MAX_FRAMES
    drawings = AppleDrawings(most=2)
    for number in range(5):
        drawings.draw(plain_subject(plain_facts({}, template_version=number)))
    assert drawings.count == 2


def test_large_frames_are_kept_by_their_bytes_and_fewer_of_them():
    large = {"userInfo": {f"k{number}": "v" * 1_000 for number in range(150)}}
    facts = plain_facts({"document": large})
    frames = frames_of(facts)
    for url in own_urls(20):
        frames.pass_json(plain_subject(facts, web_service_url=url))
        assert frames.size <= MAX_FRAME_BYTES
    assert 1 < frames.count < 7
    drawings = AppleDrawings(most_bytes=2_000_000)
    for version in range(10):
        facts = plain_facts({"document": large}, template_version=version)
        for url in own_urls(8):
            drawings.draw(plain_subject(facts, web_service_url=url))
            assert drawings.size <= 2_000_000
    assert drawings.count < 4


def test_a_pass_that_is_refused_leaves_no_bytes_uncounted():
    facts = plain_facts({"fields": {"back": [{"key": "k", "value": {"source": "field.a"}}]}})
    drawings, long = AppleDrawings(), "x" * 1_100_000
    with pytest.raises(PassContentRejected):
        drawings.draw(plain_subject(facts, field_values={"a": long}))
    drawings.draw(plain_subject(facts, field_values={"a": "short"}))
    [prepared] = [kept for kept, _ in drawings._kept._kept.values()]
    assert drawings.size == prepared.size


def test_what_is_used_all_the_time_stays_whatever_comes_and_goes(monkeypatch):
    prepared = []

    class Counted(PreparedTemplate):
        def __init__(self, facts, *given):
            prepared.append(facts.template_version)
            super().__init__(facts, *given)

    monkeypatch.setattr(apple_rendering, "PreparedTemplate", Counted)
    drawings, hot = AppleDrawings(most=3), plain_facts({}, template_version=99)
    for version in range(10):
        drawings.draw(plain_subject(hot))
        drawings.draw(plain_subject(plain_facts({}, template_version=version)))
    assert prepared.count(99) == 1


def test_of_a_draft_that_changes_only_the_last_is_kept():
    drawings = AppleDrawings()
    for description in ("one", "two"):
        facts = plain_facts({"description": description})
        pass_json, _ = drawings.draw(plain_subject(facts))
        assert json.loads(pass_json)["description"] == description
    assert drawings.count == 1
