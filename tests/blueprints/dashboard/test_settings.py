"""The settings pages."""

import pytest
from people import WebClient

PAGES = ["", "keys/", "members/", "audit/", "organization/"]


@pytest.mark.parametrize("page", PAGES)
def test_pages_open(web: WebClient, page: str) -> None:
    response = web.get(f"/a/acme/settings/{page}")
    assert response.status_code == 200, response.text
