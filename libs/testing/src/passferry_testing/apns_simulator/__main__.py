"""Runs the push service as a process of its own; prints its addresses as one line of JSON."""

import argparse
import gc
import json
from pathlib import Path

import uvloop

from passferry_testing.apns_simulator.provider_tokens import UPDATE_INTERVAL_S
from passferry_testing.apns_simulator.simulator import ApnsSimulator
from passferry_testing.pki import DemoAuthority
from passferry_testing.stop_signals import stop_requested

_GC_THRESHOLD = 100_000


def main() -> None:
    arguments = _arguments()
    # Millions of records live on; scanning them again and again would dominate the run.
    gc.set_threshold(_GC_THRESHOLD, 50, 50)
    uvloop.run(_run(arguments))


async def _run(arguments: argparse.Namespace) -> None:
    directory: Path = arguments.authority or arguments.state_dir / "authority"
    stop = stop_requested()
    simulator = ApnsSimulator(
        DemoAuthority.load_or_create(directory),
        port=arguments.port,
        control_port=arguments.control_port,
        seed=arguments.seed,
        strict_tokens=arguments.strict_tokens,
        max_concurrent_streams=arguments.max_streams,
        token_update_interval_s=arguments.token_update_interval,
    )
    async with simulator:
        addresses = {
            "name": "apns-simulator",
            "host": simulator.host,
            "port": simulator.port,
            "control": f"http://127.0.0.1:{simulator.control_port}",
            "authority": str(directory),
            "root_pem": str(directory / "root.pem"),
        }
        print(json.dumps(addresses), flush=True)
        await stop.wait()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m passferry_testing.apns_simulator")
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--authority", type=Path, help="default: STATE_DIR/authority, made if new")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--control-port", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-streams", type=int, default=1000)
    parser.add_argument("--strict-tokens", action="store_true", help="refuse unknown push tokens")
    parser.add_argument(
        "--token-update-interval",
        type=float,
        default=UPDATE_INTERVAL_S,
        help="seconds in which a provider token may be replaced once",
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
