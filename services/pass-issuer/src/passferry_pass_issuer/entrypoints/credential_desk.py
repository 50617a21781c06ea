"""What the routes of credentials use."""

from __future__ import annotations

from dataclasses import dataclass

from passferry_pass_issuer.application.keep_google_accounts import KeepGoogleAccounts
from passferry_pass_issuer.application.keep_identities import (
    ActivateIdentity,
    CheckUpload,
    DeleteIdentity,
    StoreIdentity,
)
from passferry_pass_issuer.application.keep_provider_keys import (
    DeleteProviderKey,
    UploadProviderKey,
)
from passferry_pass_issuer.application.request_certificates import (
    CompleteSigningRequest,
    CreateSigningRequest,
    DeleteSigningRequest,
)


@dataclass(frozen=True, kw_only=True)
class CredentialDesk:
    check_upload: CheckUpload
    store_identity: StoreIdentity
    activate_identity: ActivateIdentity
    delete_identity: DeleteIdentity
    create_signing_request: CreateSigningRequest
    complete_signing_request: CompleteSigningRequest
    delete_signing_request: DeleteSigningRequest
    upload_provider_key: UploadProviderKey
    delete_provider_key: DeleteProviderKey
    google_accounts: KeepGoogleAccounts
