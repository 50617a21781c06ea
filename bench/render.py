"""How many passes one core draws and signs, beside what one core can sign at all.

    python -m bench.render [--rounds 15] [--passkit-generator DIRECTORY]

From the root of the repository. One process on one core; nothing else is started. Each kind of
work has a turn in each round, and counts the CPU time of its process, so that what else the machine
does disturbs little; each figure is the median of the rounds. The limit is the raw RSA-2048
signature of the OpenSSL that `cryptography` is linked with. Passes are made as the service makes
them, a part of a batch at a time: drawn, then signed, then put together. One row makes each pass
alone, so that every step finds the processor's caches full of RSA. DIRECTORY is one in which
`npm install passkit-generator` was run. Prints a table and ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import base64
import gc
import hashlib
import itertools
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.backends.openssl.backend import backend
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from rich.console import Console
from rich.table import Table

from bench.render_subject import (
    LARGE_BYTES,
    SMALL_BYTES,
    TICKET_VALUES,
    identity,
    images,
    subject,
    template,
    ticket_template,
)
from passferry_pass_issuer.adapters.wallet_renderer import WalletRenderer
from passferry_pass_issuer.application.apply_events import PART_PASSES
from passferry_wallet.apple.bundle import BundleTemplate
from passferry_wallet.apple.signing import ManifestSigner

PEER = Path(__file__).with_name("render_peer.mjs")
PEER_TIMEOUT_S = 120
#: So long does one kind of work in one round, in seconds of wall clock.
TURN_S = 0.15
RAW, CMS, SMALL, ALONE, LARGE, UNSIGNED, TICKETS, BOTH, PEER_NAME = (
    "raw RSA-2048 signature",
    "CMS signature of a manifest",
    "signed .pkpass, 40 KB of images",
    "the same, each pass alone",
    "signed .pkpass, 430 KB of images",
    "unsigned, Apple",
    "unsigned tickets with semantics, Apple",
    "unsigned, Apple and Google",
    "passkit-generator, 40 KB",
)


@dataclass(slots=True)
class Work:
    """One kind: what is done, how many passes that is, and CPU seconds for one, of each round."""

    name: str
    do: Callable[[], object]
    passes: int = 1
    cpu_s: list[float] = field(default_factory=list)

    @property
    def median_s(self) -> float:
        return statistics.median(self.cpu_s)

    def turn(self) -> None:
        done, until, before = 0, time.perf_counter() + TURN_S, time.process_time()
        while time.perf_counter() < until:
            # The clock is looked at once for several, and costs none of them.
            for _ in range(max(8 // self.passes, 1)):
                self.do()
                done += self.passes
        self.cpu_s.append((time.process_time() - before) / done)


def kinds() -> tuple[list[Work], dict[str, Any]]:
    """What is measured, and what the peer needs to build the same pass."""
    signing, key, pems = identity()
    signer, renderer, numbers = ManifestSigner(signing), WalletRenderer(), itertools.count(1)
    now = datetime.now(UTC)
    digest = hashlib.sha256(b"a manifest").digest()
    small, large = images(SMALL_BYTES), images(LARGE_BYTES)
    apple, both = template(small, with_google=False), template(small, with_google=True)
    tickets = ticket_template(small)

    def signed(files: dict[str, bytes], passes: int) -> Callable[[], None]:
        facts, bundle = template(files, with_google=False), BundleTemplate(files)

        def build() -> None:
            drawn = [renderer.render(subject(facts, next(numbers))) for _ in range(passes)]
            manifests = [(each.manifest or "").encode() for each in drawn]
            signatures = [signer.sign(each, signing_time=now) for each in manifests]
            for each, manifest, signature in zip(drawn, manifests, signatures, strict=True):
                pass_json = (each.pass_json or "").encode()
                bundle.assemble(pass_json=pass_json, manifest=manifest, signature=signature)

        return build

    drawn = renderer.render(subject(apple, 0))
    manifest = (drawn.manifest or "").encode()
    works = [
        Work(RAW, lambda: key.sign(digest, padding.PKCS1v15(), Prehashed(hashes.SHA256()))),
        Work(CMS, lambda: signer.sign(manifest, signing_time=now)),
        Work(SMALL, signed(small, PART_PASSES), PART_PASSES),
        Work(ALONE, signed(small, 1)),
        Work(LARGE, signed(large, PART_PASSES), PART_PASSES),
        Work(UNSIGNED, lambda: renderer.render(subject(apple, next(numbers)))),
        Work(TICKETS, lambda: renderer.render(subject(tickets, next(numbers), TICKET_VALUES))),
        Work(BOTH, lambda: renderer.render(subject(both, next(numbers)))),
    ]
    peer = {
        "passJson": drawn.pass_json,
        "images": {name: base64.b64encode(body).decode() for name, body in small.items()},
        "certificates": pems,
    }
    return works, peer


def peer_cpu_s(directory: Path, given: dict[str, Any], seconds: float) -> float:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(given, file)
        file.flush()
        command = ["node", str(PEER), str(directory.resolve()), file.name, str(seconds)]
        told = subprocess.run(  # our own script
            command, capture_output=True, text=True, check=True, timeout=PEER_TIMEOUT_S
        )
    return float(json.loads(told.stdout)["cpu_s"])


AIMS = (
    ("signed small / raw RSA", RAW, SMALL, 0.85),
    ("signed 430 KB / raw RSA", RAW, LARGE, 0.60),
    ("signed small / passkit-generator", PEER_NAME, SMALL, 40.0),
)
UNSIGNED_AIM_PER_S = 10_000


def report(
    cpu_s: dict[str, float], spread: dict[str, list[float]], rounds: int, console: Console
) -> None:
    table = Table("one core", "a second", "µs of CPU", "of raw RSA", title="Passes")
    for name, each in cpu_s.items():
        share = f"{cpu_s[RAW] / each:.2f}"
        table.add_row(name, f"{1 / each:,.0f}", f"{each * 1e6:,.0f}", share)
    console.print(table)
    aims = [
        {"name": name, "value": round(cpu_s[limit] / cpu_s[ours], 3), "wanted": wanted}
        for name, limit, ours, wanted in AIMS
        if limit in cpu_s
    ]
    unsigned = round(1 / cpu_s[UNSIGNED])
    aims.append({"name": "unsigned a second", "value": unsigned, "wanted": UNSIGNED_AIM_PER_S})
    for aim in aims:
        is_met = aim["value"] >= aim["wanted"]  # type: ignore[operator]  # both are numbers
        console.print(f"{aim['name']}: {aim['value']:,} (aim {aim['wanted']:,}) "
                      f"{'met' if is_met else 'missed'}")  # fmt: skip
    facts = {
        "cores": os.cpu_count(),
        "OpenSSL": backend.openssl_version_text(),
        "rounds": rounds,
    }
    figures = {name: {"cpu_us": round(each * 1e6, 2), "range_us": spread.get(name)}
               for name, each in cpu_s.items()}  # fmt: skip
    print(json.dumps({"facts": facts, "figures": figures, "aims": aims}))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--passkit-generator", type=Path, help="where npm installed it")
    options = parser.parse_args()
    works, given = kinds()
    for work in works:
        work.do()
    # As the service does: what was built is not garbage.
    gc.collect()
    gc.freeze()
    peers: list[float] = []
    for _ in range(options.rounds):
        for work in works:
            work.turn()
    if options.passkit_generator is not None:
        peers = [peer_cpu_s(options.passkit_generator, given, 2.0) for _ in range(3)]
    cpu_s = {work.name: work.median_s for work in works}
    spread = {
        work.name: [round(min(work.cpu_s) * 1e6, 2), round(max(work.cpu_s) * 1e6, 2)]
        for work in works
    }
    if peers:
        cpu_s[PEER_NAME] = statistics.median(peers)
        spread[PEER_NAME] = [round(min(peers) * 1e6, 2), round(max(peers) * 1e6, 2)]
    report(cpu_s, spread, options.rounds, Console())


if __name__ == "__main__":
    main()
