"""The pages of public links: plain HTML, no script, nothing from elsewhere."""

from __future__ import annotations

from html import escape

from starlette.responses import HTMLResponse

_STYLE = """
:root{color-scheme:light dark;--ink:#1d1b18;--muted:#6b655c;--paper:#f6f2ea;--card:#fff;--accent:#1b5e4b}
@media(prefers-color-scheme:dark){:root{--ink:#f4efe6;--muted:#b3aa9c;--paper:#191715;--card:#24211e;--accent:#6fc7ab}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;display:grid;place-items:center;background:var(--paper);color:var(--ink);
font:17px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;padding:24px}
main{background:var(--card);border-radius:20px;padding:36px 32px;max-width:420px;width:100%;text-align:center;
box-shadow:0 12px 40px rgba(0,0,0,.12)}
h1{font-size:1.45rem;line-height:1.25;margin:0 0 10px}
p{margin:0 0 20px;color:var(--muted)}
.button{display:inline-block;background:#111;color:#fff;text-decoration:none;border-radius:999px;
padding:14px 28px;font-weight:600}
.button:focus-visible{outline:3px solid var(--accent);outline-offset:3px}
img{display:block;width:208px;height:208px;margin:8px auto 18px;background:#fff;border-radius:14px;padding:12px}
small{color:var(--muted)}
"""

_HEADERS = {
    "Cache-Control": "no-store, private",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; base-uri 'none';"
        " form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Robots-Tag": "noindex",
}


def add_page(*, name: str, save_link: str | None, qr_address: str) -> HTMLResponse:
    """For everything that is not an Apple device."""
    button = ""
    if save_link is not None:
        button = f'<a class="button" href="{escape(save_link)}">Add to Google Wallet</a>'
    body = f"""<h1>{escape(name)}</h1>
<p>Keep this pass on your phone: it stays up to date by itself.</p>
{button}
<p style="margin-top:26px;margin-bottom:0">On an iPhone? Point its camera here.</p>
<img src="{escape(qr_address)}" alt="QR code that opens this pass on a phone">
<small>Apple Wallet and Google Wallet</small>"""
    return _page(name, body, 200)


def message_page(
    title: str, text: str, status: int, *, retry_after_s: int | None = None
) -> HTMLResponse:
    response = _page(title, f"<h1>{escape(title)}</h1><p>{escape(text)}</p>", status)
    if retry_after_s is not None:
        response.headers["Retry-After"] = str(retry_after_s)
    return response


def _page(title: str, body: str, status: int) -> HTMLResponse:
    html = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><main>{body}</main></body></html>"
    )
    return HTMLResponse(html, status, headers=_HEADERS)
