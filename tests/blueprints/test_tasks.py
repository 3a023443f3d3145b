"""The task endpoints."""

from conftest import ApiClient


def test_created_task_can_be_read_back(api: ApiClient) -> None:
    task = api.create(name="nightly import")

    assert api.get(f"/tasks/{task['id']}/").json == task
