"""Runs the simulator as its own process: one JSON line with its addresses, then until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
from pathlib import Path

import uvloop

from passferry_testing.google_simulator.simulator import GoogleSimulator


async def _run(options: argparse.Namespace) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    simulator = GoogleSimulator(
        port=options.port,
        requests_per_second=options.requests_per_second or None,
        legacy_enums=options.legacy_enums,
        seed=options.seed,
    )
    simulator.callback_switches.default_url = options.callback_url
    async with simulator:
        accounts = {}
        for issuer_id in options.issuer:
            directory = options.state_dir
            simulator.create_service_account(directory, issuer_id)
            accounts[issuer_id] = str(directory / f"service-account-{issuer_id}.json")
        ready = simulator.addresses | {"service_accounts": accounts}
        print(json.dumps(ready), flush=True)
        await stopped.wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="passferry_testing.google_simulator")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--state-dir", type=Path, default=Path.cwd(), help="where key files go")
    parser.add_argument("--issuer", action="append", default=[], help="make an account for it")
    parser.add_argument("--requests-per-second", type=float, default=20.0, help="0 switches off")
    parser.add_argument("--legacy-enums", action="store_true")
    parser.add_argument("--callback-url", default="", help="for classes that name none")
    parser.add_argument("--seed", type=int, default=0)
    uvloop.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()
