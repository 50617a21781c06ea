"""Settings of the web service."""

from __future__ import annotations

from pathlib import Path

from passferry_runtime.settings import ServiceSettings


class WebserviceSettings(ServiceSettings):
    """`push_token_key_ring_file` is the one key ring that this pod holds."""

    push_token_key_ring_file: Path
    #: As people and phones reach this service, without a slash at the end.
    public_base_url: str = "http://127.0.0.1:8080"
    google_root_keys_url: str = "https://pay.google.com/gp/m/issuer/keys"
    google_callback_sender: str = "GooglePayPasses"
    #: How long the first download waits for its signature, and a page for its save link.
    signature_wait_s: float = 5.0
    save_link_max_age_s: float = 43_200.0
