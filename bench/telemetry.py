"""Measures what metrics, reports of errors and traces cost a request.

Servers with and without each of them take turns in rounds, on the same SQLite database. Prints the
medians of requests per second and CPU milliseconds of the workers per request. The receiver of
errors and traces runs in this process.
"""

import argparse
import tempfile
import threading
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from statistics import median

from api import SECRET, WORKER, Requests, database, gunicorn, measure, prepare

KINDS = ("get", "update")


class Receiver(BaseHTTPRequestHandler):
    """Takes whatever it is sent."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100, help="requests per client and round")
    parser.add_argument("--rounds", type=int, default=8)
    options = parser.parse_args()
    receiver = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    address = f"127.0.0.1:{receiver.server_address[1]}"
    with database("sqlite") as url, ExitStack() as stack:
        key, ids, _ = prepare(url, 10_000)
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir="/dev/shm"))
        common = {"TASKBADGER_SECRET_KEY": SECRET, "TASKBADGER_DATABASE_URL": url}
        variants: dict[str, tuple[str, dict[str, str]]] = {
            "nothing": ("bench.uncounted:app", {}),
            "metrics": ("wsgi:app", {"PROMETHEUS_MULTIPROC_DIR": folder}),
            "sentry": ("bench.uncounted:app", {"TASKBADGER_SENTRY_DSN": f"http://k@{address}/1"}),
            "otel": ("bench.uncounted:app", {"TASKBADGER_OTLP_ENDPOINT": f"http://{address}"}),
            "otel, 1 %": (
                "bench.uncounted:app",
                {
                    "TASKBADGER_OTLP_ENDPOINT": f"http://{address}",
                    "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
                    "OTEL_TRACES_SAMPLER_ARG": "0.01",
                },
            ),
        }
        servers = {
            name: stack.enter_context(gunicorn(module, WORKER, {**common, **variables}))
            for name, (module, variables) in variants.items()
        }
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        for kind in KINDS:
            requests = Requests(kind, "/api/bench/bench/tasks/", ids, "")
            found: dict[str, list[tuple[float, float]]] = {name: [] for name in variants}
            for _ in range(options.rounds):
                for name, (port, process) in servers.items():
                    result, cpu = measure(
                        port, process, requests, count=options.count, headers=headers
                    )
                    found[name].append((result.rate, cpu))
            for name, rounds in found.items():
                rates, cpus = zip(*rounds, strict=True)
                ratio = median(
                    cpu / base for cpu, (_, base) in zip(cpus, found["nothing"], strict=True)
                )
                print(
                    f"{kind:7} {name:10} {median(rates):6.0f}/s  cpu {median(cpus):6.3f} ms"
                    f"  x{ratio:5.3f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
