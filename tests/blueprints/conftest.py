"""Clients of the management API."""

import pytest
from conftest import ApiClient
from flask import Flask
from managing import manager

from taskbadger.domain.identity import ProjectRef


@pytest.fixture
def admin(app: Flask, project: ProjectRef) -> ApiClient:
    """A client with an admin key of the organization ``acme``, which has the project ``web``."""
    return manager(app)
