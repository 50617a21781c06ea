"""Pieces of HTML, plain text and QR codes for links."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from passferry_pass_issuer.adapters.wallet_qr_codes import WalletQrCodes
from passferry_pass_issuer.domain.link_snippet import (
    WORDS,
    SnippetRequest,
    build_snippet,
    language_of,
)
from passferry_pass_issuer.domain.qr_image import ErrorCorrection, QrRequest
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_testing.qr_reader import read_png, read_svg

URL = "https://passes.example/w/0198a1c4-7d1e-7a53-9c2b-0123456789ab/p/0123456789abcdefABCDEF_-0123456789"
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</td></table><script>1</script>",
    "&lt;script&gt; & co",
]


class Reader(HTMLParser):
    """What a browser would see."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.text = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.extend(attrs)

    def handle_data(self, data):
        self.text.append(data)

    def values(self, name):
        return [value for each, value in self.attributes if each == name]


def snippet(**changes):
    given = {"url": URL, "title": "Café card"} | changes
    return build_snippet(SnippetRequest(**given))


@pytest.mark.parametrize("ecc", list(ErrorCorrection))
def test_a_qr_code_reads_back_as_the_link(ecc):
    # proves: J83
    asked = QrRequest(error_correction=ecc)
    codes = WalletQrCodes()
    assert read_png(codes.png(URL, asked)) == (URL, ecc.value)
    assert read_svg(codes.svg(URL, asked)) == (URL, ecc.value)


@pytest.mark.parametrize(("size", "margin"), [(128, 0), (320, 4), (1_000, 16)])
def test_a_qr_code_keeps_its_size_and_margin(size, margin):
    asked = QrRequest(size_px=size, margin_modules=margin)
    svg = WalletQrCodes().svg(URL, asked)
    assert read_svg(svg)[0] == URL
    assert read_png(WalletQrCodes().png(URL, asked))[0] == URL
    assert f'width="{size}"'.encode() in svg


def test_a_png_that_cannot_show_each_module_is_refused():
    with pytest.raises(ContentRejected) as refused:
        WalletQrCodes().png("x" * 1_000, QrRequest(size_px=64))
    assert (refused.value.code, refused.value.field) == ("too_small", "size")


@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_title_leaves_the_place_it_was_given(hostile):
    plain, attacked = snippet(), snippet(title=hostile)
    for name in ("page_html", "email_html"):
        before, after = Reader(getattr(plain, name)), Reader(getattr(attacked, name))
        assert after.tags == before.tags
        assert [each for each, _ in after.attributes] == [each for each, _ in before.attributes]
        assert "script" not in after.tags
    assert hostile in "".join(Reader(attacked.email_html).text)


@pytest.mark.parametrize(
    "url",
    [
        "http://cdn.example/badge.svg",
        "javascript:alert(1)//",
        "data:image/svg+xml,<svg/>",
        "https://user:secret@cdn.example/badge.svg",
        "https://cdn.example:8443/badge.svg",
        "https://127.0.0.1/badge.svg",
        "https://[::1]/badge.svg",
        "https://localhost/badge.svg",
        'https://cdn.example/"onload="alert(1)',
        "https://cdn.example/a b",
        "https://cdn.example/\nX: y",
        "https://cdn.example",
        "//cdn.example/badge.svg",
        "https://cdn.example/" + "a" * 500,
    ],
)
def test_a_badge_address_that_is_no_plain_https_one_is_refused(url):
    with pytest.raises(ContentRejected) as refused:
        snippet(apple_badge_url=url)
    assert refused.value.field == "apple_badge_url"


def test_the_operators_badges_take_the_place_of_our_buttons():
    badge = "https://cdn.example/badges/de/apple.svg?v=2"
    made = snippet(apple_badge_url=badge, language="de")
    seen = Reader(made.page_html)
    assert badge in seen.values("src")
    assert WORDS["de"].apple in seen.values("alt")
    # Google's was not given: our plain button stays.
    assert WORDS["de"].google in "".join(seen.text)


@pytest.mark.parametrize("language", sorted(WORDS))
def test_each_language_says_both_wallets(language):
    made = snippet(language=language)
    assert made.language == language
    for words in (WORDS[language].apple, WORDS[language].google):
        assert words in "".join(Reader(made.email_html).text)
        assert words in made.text


def test_a_language_is_found_by_its_first_part():
    assert [language_of(each) for each in ("de-AT", "PT_br", "tlh", "en")] == [
        "de",
        "pt",
        "en",
        "en",
    ]


def test_an_email_has_no_script_no_style_sheet_and_no_data_image():
    seen = Reader(snippet(qr_data_uri="data:image/png;base64,AAAA").email_html)
    assert not {"script", "style", "link", "form", "iframe"} & set(seen.tags)
    assert seen.values("src") == []
    assert set(seen.values("href")) == {URL}


def test_a_pass_of_one_wallet_shows_one_button():
    made = snippet(is_for_google=False)
    assert WORDS["en"].google not in made.page_html + made.email_html + made.text
    neither = snippet(is_for_google=False, is_for_apple=False)
    assert WORDS["en"].open_link in neither.page_html


def test_plain_text_keeps_a_title_on_one_line():
    assert snippet(title="Café\r\nBcc: all").text.splitlines()[0] == "Café Bcc: all"
