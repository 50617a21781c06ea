"""The pages of public links: plain HTML, no script, nothing from elsewhere."""

from __future__ import annotations

import re
from html import escape

import orjson
from starlette.responses import HTMLResponse

from passferry_contracts.types import Platform

_STYLE = """
:root{color-scheme:light dark;--ink:#1d1b18;--muted:#655f56;--paper:#f3eee5;--sheet:#fff;--line:#e4ddd0}
@media(prefers-color-scheme:dark){
:root{--ink:#f4efe6;--muted:#b9b0a2;--paper:#161412;--sheet:#221f1c;--line:#37322d}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;display:grid;place-items:center;background:var(--paper);
color:var(--ink);font:17px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;padding:24px}
main{background:var(--sheet);border-radius:24px;padding:28px 28px 32px;max-width:420px;width:100%;
text-align:center;box-shadow:0 18px 50px rgba(0,0,0,.14)}
.card{display:flex;flex-direction:column;justify-content:space-between;aspect-ratio:8/5;
border-radius:16px;padding:20px 22px;margin-bottom:24px;text-align:left;
box-shadow:inset 0 0 0 1px rgba(255,255,255,.14),0 8px 22px rgba(0,0,0,.22);overflow:hidden}
.card b{font-size:1.2rem;line-height:1.25;overflow-wrap:anywhere}
.card span{font-size:.9rem;opacity:.85;overflow-wrap:anywhere}
h1{font-size:1.4rem;line-height:1.25;margin:0 0 8px}
p{margin:0 0 20px;color:var(--muted);text-wrap:balance}
p:last-child{margin-bottom:0}
p a{color:inherit}
.button{display:block;background:#111;color:#fff;text-decoration:none;border-radius:999px;
padding:15px 28px;font-weight:600;box-shadow:inset 0 0 0 1px #747775}
.button:hover{background:#2b2b2b}
a:focus-visible,summary:focus-visible{outline:3px solid #3b82f6;outline-offset:3px}
.qr{border-top:1px solid var(--line);margin-top:24px;padding-top:20px}
.qr p{margin:0 0 12px}
summary{cursor:pointer;color:var(--muted);margin-bottom:12px}
img{display:block;width:200px;height:200px;margin:0 auto;background:#fff;border-radius:14px;
padding:8px}
"""

_HEADERS = {
    "Cache-Control": "no-store, private",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; base-uri 'none';"
        " form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Robots-Tag": "noindex",
}
_COLOUR = re.compile(r"rgb\(\s*[0-9]{1,3}\s*,\s*[0-9]{1,3}\s*,\s*[0-9]{1,3}\s*\)|#[0-9A-Fa-f]{6}")
_MAX_TEXT = 120


def add_page(
    *, pass_json: str | None, is_on_google: bool, save_link: str | None, platform: Platform
) -> HTMLResponse:
    """For everything that is not handed a .pkpass; `pass_json` is what an iPhone would show."""
    shown = orjson.loads(pass_json) if pass_json is not None else {}
    name = _text(shown, "logoText") or _text(shown, "organizationName") or "Your pass"
    body = f"""{_card(shown, name)}
<h1>Keep it on your phone</h1>
<p>In your wallet this pass stays up to date by itself.</p>
{_google_button(save_link) if is_on_google else ""}
{_qr_code(is_folded=platform is not Platform.OTHER, has_apple=pass_json is not None)}"""
    return _page(name, body, 200)


def message_page(
    title: str, text: str, status: int, *, retry_after_s: int | None = None
) -> HTMLResponse:
    again = ""
    if retry_after_s is not None:
        again = '<a class="button" href="">Try again</a>'
    body = f"<h1>{escape(title)}</h1><p>{escape(text)}</p>{again}"
    response = _page(title, body, status)
    if retry_after_s is not None:
        response.headers["Retry-After"] = str(retry_after_s)
    return response


def _card(shown: dict[str, object], name: str) -> str:
    background = _colour(shown, "backgroundColor") or "#1b5e4b"
    ink = _colour(shown, "foregroundColor") or "#ffffff"
    description = _text(shown, "description")
    return (
        f'<div class="card" style="background:{background};color:{ink}">'
        f"<b>{escape(name)}</b><span>{escape(description if description != name else '')}</span>"
        "</div>"
    )


def _google_button(save_link: str | None) -> str:
    if save_link is None or not save_link.startswith(("https://", "http://")):
        return '<p>The button for Google Wallet is on its way: <a href="">load this page again</a>.</p>'
    return f'<a class="button" href="{escape(save_link)}">Add to Google Wallet</a>'


def _qr_code(*, is_folded: bool, has_apple: bool) -> str:
    """For a second device. On a phone it is folded away: the visitor holds the right one."""
    image = '<img src="?format=qr.svg" alt="QR code that opens this pass on a phone">'
    if is_folded:
        return f'<details class="qr"><summary>Open it on another phone</summary>{image}</details>'
    phone = "your phone, iPhone or Android" if has_apple else "your phone"
    return f'<div class="qr"><p>Point the camera of {phone}, here.</p>{image}</div>'


def _text(shown: dict[str, object], key: str) -> str:
    value = shown.get(key)
    return value[:_MAX_TEXT] if isinstance(value, str) else ""


def _colour(shown: dict[str, object], key: str) -> str | None:
    value = shown.get(key)
    return value if isinstance(value, str) and _COLOUR.fullmatch(value) else None


def _page(title: str, body: str, status: int) -> HTMLResponse:
    html = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><main>{body}</main></body></html>"
    )
    return HTMLResponse(html, status, headers=_HEADERS)
