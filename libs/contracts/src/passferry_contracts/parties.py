"""Who sends and who receives each topic: for the documents, and for Kafka's access rules."""

from __future__ import annotations

from dataclasses import dataclass

from passferry_contracts.registry import SERVICES

UPSTREAM = "upstream"
REPLAY = "replay"


@dataclass(frozen=True, slots=True)
class Parties:
    """`purpose` says in one sentence what the topic is for."""

    senders: tuple[str, ...]
    receivers: tuple[str, ...]
    purpose: str


_ISSUER = ("pass-issuer",)
_LEDGER = ("ledger",)
_WEB = ("wallet-webservice",)
_NOTIFIER = ("notifier",)
_BRIDGE = ("event-bridge",)

_DEAD_LETTER_PARTIES = {
    f"{service}-dlt": Parties(
        (service,),
        (REPLAY,),
        f"Records that {service} gave up on, untouched, with the reason in their headers.",
    )
    for service in SERVICES
}

PARTIES: dict[str, Parties] = {
    "pass.inbound": Parties(
        (UPSTREAM,),
        _ISSUER,
        "What upstream systems say of passes whose balance they keep themselves.",
    ),
    "pass.created": Parties(
        _ISSUER, (*_LEDGER, *_BRIDGE), "A pass was issued; the ledger opens its account."
    ),
    "pass.updated": Parties(
        _ISSUER, (*_LEDGER, *_BRIDGE), "What a pass is changed, up to its end."
    ),
    "pass.balance_changed": Parties(
        (*_LEDGER, *_ISSUER),
        (*_ISSUER, *_BRIDGE),
        "A balance moved. The issuer sends it for passes whose balance is kept upstream.",
    ),
    "pass.redeemed": Parties(
        (*_LEDGER, *_ISSUER),
        (*_ISSUER, *_BRIDGE),
        "Something was spent or used. The issuer sends it for balances kept upstream.",
    ),
    "pass.rendered": Parties(
        _ISSUER, (*_WEB, *_NOTIFIER), "One revision of a pass, ready for both wallets."
    ),
    "wallet.activity": Parties(
        (*_WEB, *_NOTIFIER, *_BRIDGE),
        (*_NOTIFIER, *_ISSUER, *_BRIDGE),
        "Publication, registration, opening, installation and removal, in order per pass.",
    ),
    "link.changed": Parties(
        _ISSUER, _WEB, "Public links and the outcomes of claim codes, known by their hash."
    ),
    "message.requested": Parties(_BRIDGE, _ISSUER, "A journey asks to put a message on a pass."),
    "message.issued": Parties(
        _ISSUER, (*_NOTIFIER, *_BRIDGE), "A message for one pass or for a class, told once."
    ),
    "delivery.completed": Parties(
        _NOTIFIER,
        (*_ISSUER, *_WEB, *_BRIDGE),
        "What became of bringing a revision or a message to one target.",
    ),
    "ledger.commands": Parties(
        (*_ISSUER, *_BRIDGE, UPSTREAM), _LEDGER, "Orders to the ledger, as by its HTTP API."
    ),
    "ledger.results": Parties(
        _LEDGER, (*_ISSUER, UPSTREAM), "The outcome of each command that came by Kafka."
    ),
    "program.changed": Parties(
        _ISSUER, (*_LEDGER, *_NOTIFIER, *_BRIDGE, *_WEB), "What a program is and allows."
    ),
    "template.published": Parties(
        _ISSUER, (*_WEB, *_NOTIFIER), "A template version: its files' digests, its Google class."
    ),
    "template.assets": Parties(_ISSUER, _WEB, "The image files themselves, one per record."),
    "workspace.access": Parties(
        _ISSUER, SERVICES, "Who may act in a workspace: hierarchy, API-key hashes, limits."
    ),
    "workspace.credentials": Parties(
        _ISSUER, _NOTIFIER, "Provider credentials under envelope encryption."
    ),
    "enrolment.requested": Parties(_WEB, _ISSUER, "A visitor filled in a public enrolment form."),
    "operations.events": Parties(
        SERVICES, _BRIDGE, "Progress of bulk work, certificates about to expire, findings."
    ),
    **_DEAD_LETTER_PARTIES,
}
