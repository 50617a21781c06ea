"""Uploads of credentials as they come by HTTP: JSON with base64, or a form with files."""

from __future__ import annotations

import base64
import binascii
from typing import Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, SecretStr, ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException

from passferry_contracts.fields import PassTypeIdentifier
from passferry_pass_issuer.application.credential_ports import IdentityUpload
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.entrypoints.http_templates import TeamIdentifier
from passferry_pass_issuer.entrypoints.http_work import RequestBody
from passferry_runtime.errors import FieldError, Problem

MAX_FILE_BYTES = 64 * 1024
MAX_BASE64 = 4 * (MAX_FILE_BYTES // 3 + 1)
MAX_PASSWORD = 1_000
MAX_PARTS = 8

Model = TypeVar("Model", bound=BaseModel)


class SigningIdentityBody(RequestBody):
    """`p12_base64`, or `certificate_pem` with `private_key_pem` (or with the key in the same text);
    `password` for both."""

    certificate_pem: SecretStr | None = Field(default=None, max_length=MAX_FILE_BYTES)
    private_key_pem: SecretStr | None = Field(default=None, max_length=MAX_FILE_BYTES)
    p12_base64: SecretStr | None = Field(default=None, max_length=MAX_BASE64)
    password: SecretStr | None = Field(default=None, max_length=MAX_PASSWORD)
    pass_type_identifier: PassTypeIdentifier | None = None
    team_identifier: TeamIdentifier | None = None

    def upload(self) -> IdentityUpload:
        certificate, key = _bytes(self.certificate_pem), _bytes(self.private_key_pem)
        if key is None and certificate is not None and b"PRIVATE KEY-----" in certificate:
            key = certificate
        return IdentityUpload(
            certificate_pem=certificate,
            private_key_pem=key,
            p12=decoded(self.p12_base64, "p12_base64") if self.p12_base64 else None,
            password=_bytes(self.password),
            pass_type_identifier=self.pass_type_identifier,
            team_identifier=self.team_identifier,
        )


class CertificateBody(RequestBody):
    """Apple's certificate as it is downloaded: PEM, or DER in base64."""

    certificate_pem: str | None = Field(default=None, max_length=MAX_FILE_BYTES)
    certificate_base64: SecretStr | None = Field(default=None, max_length=MAX_BASE64)

    def certificate(self) -> bytes:
        if self.certificate_base64 is not None:
            return decoded(self.certificate_base64, "certificate_base64")
        if self.certificate_pem is None:
            raise ContentRejected("required", "certificate_pem", "is required")
        return self.certificate_pem.encode()


class ProviderKeyBody(RequestBody):
    """`p8` is the text of the file that Apple gave, once."""

    key_id: str = Field(max_length=32)
    team_id: str = Field(max_length=32)
    p8: SecretStr = Field(max_length=8_000)


#: Files of a form, and the member of the JSON that each stands for; those in base64 are binary.
_FILES = {
    "p12": "p12_base64",
    "certificate": "certificate_pem",
    "private_key": "private_key_pem",
    "p8": "p8",
}


async def body_of(request: Request, model: type[Model]) -> Model:
    """The body in one of its two forms; raises what the framework would for a wrong one."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if kind == "multipart/form-data":
            return model.model_validate(await _form(request, model))
        return model.model_validate_json(await request.body())
    except ValidationError as error:
        faults: Any = error.errors(include_input=False, include_context=False, include_url=False)
        for fault in faults:
            fault["loc"] = ("body", *fault["loc"])
        # Neither the input nor a cause that quotes it goes on.
        raise RequestValidationError(faults) from None


async def _form(request: Request, model: type[BaseModel]) -> dict[str, str]:
    given: dict[str, str] = {}
    try:
        async with request.form(
            max_files=MAX_PARTS, max_fields=MAX_PARTS, max_part_size=MAX_FILE_BYTES
        ) as form:
            for name, value in form.multi_items():
                member = _member(name, model)
                if member in given:
                    raise _unreadable(name, "comes twice")
                if isinstance(value, UploadFile):
                    content = await value.read(MAX_FILE_BYTES + 1)
                    if len(content) > MAX_FILE_BYTES:
                        raise _unreadable(name, f"is larger than {MAX_FILE_BYTES} bytes")
                    given[member] = _text(name, member, content)
                else:
                    given[member] = value
    except (MultiPartException, HTTPException, KeyError) as error:
        raise _unreadable("body", "cannot be read as a form") from error
    return given


def _member(name: str, model: type[BaseModel]) -> str:
    if name == "certificate" and "certificate_base64" in model.model_fields:
        return "certificate_base64"
    return _FILES.get(name, name)


def _text(name: str, member: str, content: bytes) -> str:
    if member.endswith("_base64"):
        return base64.b64encode(content).decode()
    try:
        return content.decode("ascii")
    except UnicodeDecodeError as error:
        raise _unreadable(name, "is no PEM text") from error


def _unreadable(field: str, detail: str) -> Problem:
    return Problem(422, "invalid", f"{field} {detail}", errors=[FieldError(field, detail)])


def decoded(text: SecretStr, field: str) -> bytes:
    try:
        return base64.b64decode(b"".join(text.get_secret_value().encode().split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ContentRejected("invalid", field, "is not base64") from error


def _bytes(text: SecretStr | None) -> bytes | None:
    return text.get_secret_value().encode() if text else None


def request_schema(model: type[BaseModel], files: tuple[str, ...]) -> dict[str, Any]:
    """What OpenAPI says of a body that is read by hand."""
    schema = model.model_json_schema()
    binary = {"type": "string", "format": "binary"}
    texts = {
        name: part
        for name, part in schema["properties"].items()
        if name not in _FILES.values() and not name.endswith("_base64")
    }
    form = {"type": "object", "properties": {**texts, **dict.fromkeys(files, binary)}}
    content = {"application/json": {"schema": schema}, "multipart/form-data": {"schema": form}}
    return {"requestBody": {"required": True, "content": content}}
