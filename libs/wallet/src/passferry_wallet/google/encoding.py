"""Base64 in the form that tokens use."""

from __future__ import annotations

import base64


def base64url(data: bytes) -> bytes:
    """URL-safe, without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=")
