"""Why something given to us is not taken."""

from __future__ import annotations


class ContentRejected(Exception):
    """What was given cannot be used; `field` is the path of the fault, such as `apple.style`."""

    def __init__(self, code: str, field: str, detail: str) -> None:
        super().__init__(f"{field}: {detail}")
        self.code = code
        self.field = field
        self.detail = detail


_KEY_BACK = "put the key back that it was sealed with"
UPLOAD_AGAIN = f"upload it again, or {_KEY_BACK}"

#: What each kind of secret is called, and what helps.
_SECRETS = {
    "pass.authentication_token": ("the token of pass", _KEY_BACK),
    "holder.personal": ("what is personal of holder", _KEY_BACK),
    "link.token": ("the address of link", f"make another link, or {_KEY_BACK}"),
    "signing_identity.private_key": ("the key of signing identity", UPLOAD_AGAIN),
    "signing_request.private_key": ("the key of signing request", f"make another, or {_KEY_BACK}"),
    "provider_key.private_key": ("the provider key", UPLOAD_AGAIN),
    "google_account.credential": ("the key of Google account", UPLOAD_AGAIN),
    "inbound_secret.secret": ("the inbound secret", f"make another, or {_KEY_BACK}"),
    "workspace.lookup_key": ("the look-up key of the workspace", _KEY_BACK),
    "idempotency.answer": ("the remembered answer", f"use another Idempotency-Key, or {_KEY_BACK}"),
    "job_chunk.content": ("rows of job", f"send the file again, or {_KEY_BACK}"),
}
#: Their names are the caller's own words.
_WITHOUT_NAME = frozenset({"idempotency.answer"})


class Unreadable(ContentRejected):
    """A ciphertext of ours does not open: nobody sent anything wrong, and somebody has to act."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__("unreadable", field, detail)

    @classmethod
    def of(cls, context: str) -> Unreadable:
        """`context` is what the ciphertext is bound to; see `secret_contexts`."""
        _, _, kind_and_name = context.partition(":")
        kind, _, name = kind_and_name.partition(":")
        what, remedy = _SECRETS.get(kind, ("a secret", _KEY_BACK))
        shown = f"{what} {name}" if name and kind not in _WITHOUT_NAME else what
        field = kind if kind in _SECRETS else "secret"
        return cls(field, f"does not open ({shown}): {remedy}")
