"""Brokers: those of this machine, which other programs may use, too, and one of our own."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import amqp
import pytest
import redis

REDIS = os.environ.get("TASKBADGER_TEST_REDIS", "redis://127.0.0.1:6379/0")
RABBITMQ = os.environ.get("TASKBADGER_TEST_RABBITMQ", "amqp://guest:guest@127.0.0.1:5672//")
SECRET = "a-secret-of-the-celery-tests-0123456789-xyz"
URLS = {"redis": REDIS, "rabbitmq": RABBITMQ}


@contextmanager
def running(kind: str, queue: str) -> Iterator[str]:
    """Skip if the broker does not run; else yield its URL, and remove what *queue* leaves there."""
    with _redis(queue) if kind == "redis" else _rabbitmq(queue):
        yield URLS[kind]


@contextmanager
def _redis(queue: str) -> Iterator[None]:
    with redis.Redis.from_url(REDIS) as client:
        try:
            client.ping()
        except redis.ConnectionError:
            pytest.skip("there is no Redis")
        yield
        for key in client.scan_iter(f"{queue}*"):
            client.delete(key)


@contextmanager
def _rabbitmq(queue: str) -> Iterator[None]:
    host = RABBITMQ.partition("@")[2].strip("/")
    connection = amqp.Connection(host=host, connect_timeout=3)
    try:
        connection.connect()
    except OSError:
        pytest.skip("there is no RabbitMQ")
    with connection:
        yield
        channel = connection.channel()
        channel.queue_delete(queue)
        for exchange in (queue, f"{queue}.pidbox", f"reply.{queue}.pidbox"):
            channel.exchange_delete(exchange)


class Broker:
    """A Redis of our own, that can be stopped and started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""],
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
        )
        with redis.Redis.from_url(self.url) as client:
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                try:
                    client.ping()
                    return
                except redis.ConnectionError:
                    time.sleep(0.05)
        raise AssertionError("the broker did not start")

    def stop(self) -> None:
        """Stop it, and lose all that it holds."""
        self.process.kill()
        self.process.wait()
