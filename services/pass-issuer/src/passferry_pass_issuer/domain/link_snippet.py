"""What people paste into a page or an e-mail so that a link is found: buttons, words, a QR code.

The buttons are plain ones of our own. Apple's and Google's badges are their trademarks and come
with rules of their own, so the operator hosts them and gives their addresses.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape

from passferry_pass_issuer.domain.refusals import ContentRejected

MAX_BADGE_URL = 500
MAX_TITLE = 200


@dataclass(frozen=True, slots=True)
class Words:
    apple: str
    google: str
    scan: str
    open_link: str


WORDS = {
    "de": Words(
        "Zu Apple Wallet hinzufügen",
        "Zu Google Wallet hinzufügen",
        "Mit der Kamera des Telefons scannen",
        "Karte öffnen",
    ),
    "en": Words(
        "Add to Apple Wallet",
        "Add to Google Wallet",
        "Scan with the camera of your phone",
        "Open the pass",
    ),
    "es": Words(
        "Añadir a Apple Wallet",
        "Añadir a Google Wallet",
        "Escanee con la cámara del teléfono",
        "Abrir el pase",
    ),
    "fr": Words(
        "Ajouter à Apple Wallet",
        "Ajouter à Google Wallet",
        "Scannez avec l'appareil photo du téléphone",
        "Ouvrir la carte",
    ),
    "it": Words(
        "Aggiungi ad Apple Wallet",
        "Aggiungi a Google Wallet",
        "Scansiona con la fotocamera del telefono",
        "Apri la tessera",
    ),
    "nl": Words(
        "Voeg toe aan Apple Wallet",
        "Voeg toe aan Google Wallet",
        "Scan met de camera van je telefoon",
        "Open de pas",
    ),
    "pl": Words(
        "Dodaj do Apple Wallet",
        "Dodaj do Google Wallet",
        "Zeskanuj aparatem telefonu",
        "Otwórz kartę",
    ),
    "pt": Words(
        "Adicionar à Apple Wallet",
        "Adicionar à Google Wallet",
        "Leia com a câmera do telefone",
        "Abrir o cartão",
    ),
}
DEFAULT_LANGUAGE = "en"

# No user, no port, no address by number; nothing that HTML or a mail program could read otherwise.
_BADGE_URL = re.compile(
    r"https://(?=[^/]{1,253}/)(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}"
    r"/[A-Za-z0-9/._~%?=&+-]*"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SnippetRequest:
    url: str
    title: str
    language: str = DEFAULT_LANGUAGE
    is_for_apple: bool = True
    is_for_google: bool = True
    apple_badge_url: str | None = None
    google_badge_url: str | None = None
    #: An image as `data:`; absent: no QR code.
    qr_data_uri: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snippet:
    language: str
    page_html: str
    email_html: str
    text: str


@dataclass(frozen=True, slots=True)
class _Button:
    label: str
    badge_url: str | None


def language_of(asked: str) -> str:
    """`de-AT` is served in German, and what we have no words for in English."""
    primary = re.split(r"[-_]", asked, maxsplit=1)[0].lower()
    return primary if primary in WORDS else DEFAULT_LANGUAGE


def check_badge_url(field: str, url: str | None) -> None:
    """Raises `ContentRejected`. The address is only written down; nobody here asks for it."""
    if url is None:
        return
    if len(url) > MAX_BADGE_URL or not _BADGE_URL.fullmatch(url):
        raise ContentRejected(
            "invalid", field, "must be an https address with a host name, a path and no port"
        )


def build_snippet(request: SnippetRequest) -> Snippet:
    check_badge_url("apple_badge_url", request.apple_badge_url)
    check_badge_url("google_badge_url", request.google_badge_url)
    language = language_of(request.language)
    words = WORDS[language]
    buttons = [
        button
        for is_wanted, button in (
            (request.is_for_apple, _Button(words.apple, request.apple_badge_url)),
            (request.is_for_google, _Button(words.google, request.google_badge_url)),
        )
        if is_wanted
    ] or [_Button(words.open_link, None)]
    return Snippet(
        language=language,
        page_html=_page(request, language, buttons, words),
        email_html=_email(request, language, buttons, words),
        text=_text(request, buttons),
    )


_LINK_STYLE = (
    "display:inline-block;padding:12px 20px;border-radius:8px;background:#111111;color:#ffffff;"
    "font-family:Arial,Helvetica,sans-serif;font-size:16px;line-height:20px;text-decoration:none"
)


def _anchor(url: str, button: _Button) -> str:
    href, label = escape(url), escape(button.label)
    if button.badge_url is None:
        return f'<a href="{href}" style="{_LINK_STYLE}">{label}</a>'
    image = (
        f'<img src="{escape(button.badge_url)}" alt="{label}" height="44" '
        'style="border:0;height:44px">'
    )
    return f'<a href="{href}">{image}</a>'


def _page(request: SnippetRequest, language: str, buttons: list[_Button], words: Words) -> str:
    title = escape(request.title)
    parts = [f'<div class="wallet-link" lang="{language}">']
    parts += [f"  {_anchor(request.url, button)}" for button in buttons]
    if request.qr_data_uri is not None:
        source = escape(request.qr_data_uri)
        parts += [
            f'  <figure><img src="{source}" alt="QR: {title}" width="160" height="160">',
            f"  <figcaption>{escape(words.scan)}</figcaption></figure>",
        ]
    return "\n".join([*parts, "</div>"])


def _email(request: SnippetRequest, language: str, buttons: list[_Button], words: Words) -> str:
    """Tables and inline styles: mail programs drop the rest. No QR code as data: many of them
    refuse such images, and whoever reads on the phone cannot scan it."""
    font = "font-family:Arial,Helvetica,sans-serif;font-size:16px;color:#111111"
    rows = [f'<tr><td style="padding:8px 0;{font}">{escape(request.title)}</td></tr>']
    rows += [
        f'<tr><td style="padding:8px 0">{_anchor(request.url, button)}</td></tr>'
        for button in buttons
    ]
    href = escape(request.url)
    rows.append(
        f'<tr><td style="padding:8px 0;{font};font-size:13px">'
        f'{escape(words.open_link)}: <a href="{href}">{href}</a></td></tr>'
    )
    table = (
        f'<table role="presentation" lang="{language}" border="0" cellpadding="0" cellspacing="0">'
    )
    return "\n".join([table, *rows, "</table>"])


def _text(request: SnippetRequest, buttons: list[_Button]) -> str:
    title = " ".join(request.title.split())
    return f"{title}\n{' / '.join(button.label for button in buttons)}:\n{request.url}\n"
