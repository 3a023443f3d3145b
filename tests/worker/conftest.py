"""What tests of Celery need."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import flask_migrate
import pytest
from brokers import SECRET, Broker
from conftest import settings

from taskbadger.app import create_app
from taskbadger.extensions import db


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    if shutil.which("redis-server") is None:
        pytest.skip("there is no redis-server")
    made = Broker(tmp_path)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def migrated(new_postgresql: Callable[[], str]) -> str:
    url = new_postgresql()
    with create_app(settings(DATABASE_URL=url, SECRET_KEY=SECRET)).app_context():
        flask_migrate.upgrade()
        db.engine.dispose()
    return url
