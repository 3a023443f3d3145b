"""What tests of deliveries share."""

from datetime import timedelta

import pytest
from delivering import NOW, get, make_webhook, prove, queue

from taskbadger.domain.identity import ProjectRef
from taskbadger.models import (
    ChannelConfig,
)
from taskbadger.services.delivery import (
    outcomes,
)


@pytest.fixture(autouse=True)
def no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes, "_chance", lambda: 0.5)


@pytest.fixture
def webhook(project: ProjectRef) -> ChannelConfig:
    return make_webhook(project, "ops")


@pytest.fixture
def proven(project: ProjectRef, webhook: ChannelConfig) -> str:
    """The destination of the webhook, which has taken messages before."""
    key = get(queue(project, at=NOW + timedelta(days=99))).destination
    prove(key)
    return key
