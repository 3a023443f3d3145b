"""Drives the server with the packages healthchecks-io and healthchecks-decorator, unmodified.

Prints a JSON object with what each call gave.
"""

import asyncio
import inspect
import json
import os
import sys
from contextlib import suppress
from typing import Any

from healthchecks_decorator import healthcheck
from healthchecks_io import (
    AsyncClient,
    BadAPIRequestError,
    CheckCreate,
    CheckNotFoundError,
    CheckTrap,
    CheckUpdate,
    Client,
    HCAPIAuthError,
)

HOST, ADMIN, READ, PING = (os.environ[f"LIVE_{name}"] for name in ("HOST", "ADMIN", "READ", "PING"))
ERRORS = (BadAPIRequestError, CheckNotFoundError, HCAPIAuthError)
NOBODY = "00000000-0000-4000-8000-000000000000"
report: dict[str, Any] = {}


async def call(method: Any, *arguments: Any, **options: Any) -> Any:
    """Return what a method of either client returns; the name of the error that it raises."""
    try:
        result = method(*arguments, **options)
        return await result if inspect.isawaitable(result) else result
    except ERRORS as error:
        return type(error).__name__


async def drive(name: str, kind: Any, **options: Any) -> None:
    """Call everything that a client can do."""
    urls = {"api_url": f"{HOST}/api/", "ping_url": f"{HOST}/ping/", **options}
    client = kind(api_key=ADMIN, ping_key=PING, **urls)
    reader = kind(api_key=READ, **urls)
    wrong = kind(api_key="x" * 32, **urls)
    seen: dict[str, Any] = {}
    report[name] = seen

    async def status(uuid: str) -> Any:
        check = await call(client.get_check, uuid)
        return check if isinstance(check, str) else [check.status, check.n_pings]

    made = await call(
        client.create_check,
        CheckCreate(name=f"{name} job", tags=f"{name} x", desc="d", timeout=600, grace=120),
    )
    uuid = made.uuid
    fields = ("name", "slug", "tags", "desc", "timeout", "grace", "status", "channels", "methods")
    seen["create"] = [getattr(made, field) for field in fields]
    cron = await call(
        client.create_check,
        CheckCreate(name=f"{name} cron", tags="cron", schedule="15 5 * * *", tz="Europe/Riga"),
    )
    seen["create cron"] = [cron.status, cron.timeout]
    again = await call(
        client.create_check,
        CheckCreate(name=made.name, tags=made.tags, unique=["name"], grace=60),
    )
    seen["create again"] = [again.uuid == uuid, again.grace, again.timeout]
    seen["create wrong"] = await call(client.create_check, CheckCreate(methods="POST"))
    changed = await call(client.update_check, uuid, CheckUpdate(desc="new", timeout=3600))
    seen["update"] = [changed.desc, changed.timeout, changed.grace, changed.name]
    seen["update unknown"] = await call(client.update_check, NOBODY, CheckUpdate(desc="new"))
    seen["list"] = [each.name for each in await call(client.get_checks, tags=[name])]
    seen["list both tags"] = len(await call(client.get_checks, tags=[name, "x"]))
    seen["list no tag"] = len(await call(client.get_checks, tags=[name, "y"]))
    seen["get unknown"] = await call(client.get_check, NOBODY)

    [shown] = await call(reader.get_checks, tags=[name])
    seen["read only"] = [shown.uuid, shown.ping_url, shown.update_url, shown.channels]
    by_key = await call(reader.get_check, shown.unique_key)
    seen["read only by key"] = by_key.name
    seen["read only creates"] = await call(reader.create_check, CheckCreate(name="x"))
    seen["read only pings"] = await call(reader.get_check_pings, uuid)
    seen["wrong key"] = await call(wrong.get_checks)

    seen["start"] = [*await call(client.start_ping, uuid=uuid), *await status(uuid)]
    seen["success"] = [
        *await call(client.success_ping, uuid=uuid, data="done"),
        *await status(uuid),
    ]
    slug = made.slug
    seen["slug"] = [*await call(client.success_ping, slug=slug), *await status(uuid)]
    seen["exit code"] = await call(client.exit_code_ping, 0, uuid=uuid)
    seen["unknown slug"] = await call(client.success_ping, slug="nobody")
    seen["unknown id"] = await call(client.success_ping, uuid=NOBODY)
    seen["wrong exit code"] = await call(client.exit_code_ping, 256, uuid=uuid)
    trap = CheckTrap(client, uuid=uuid)
    if kind is Client:
        with trap:
            trap.add_log("from a trap")
    else:
        async with trap:
            trap.add_log("from a trap")
    seen["trap"] = await status(uuid)
    seen["fail"] = [*await call(client.fail_ping, uuid=uuid, data="broken"), *await status(uuid)]
    pings = await call(client.get_check_pings, uuid)
    seen["pings"] = [[each.number_of_pings, each.type, each.duration is not None] for each in pings]
    flips = await call(client.get_check_flips, uuid)
    seen["flips"] = [each.up for each in flips]
    seen["flips of a minute"] = len(await call(client.get_check_flips, uuid, seconds=60))
    seen["flips before"] = len(await call(client.get_check_flips, uuid, start=0, end=1))
    seen["flips wrong"] = await call(client.get_check_flips, uuid, seconds=31536001)
    seen["read only flips"] = len(await call(reader.get_check_flips, shown.unique_key))

    seen["integrations"] = [each.name for each in await call(client.get_integrations)]
    badges = await call(client.get_badges)
    seen["badges"] = [name in badges, "*" in badges, badges["*"].json3_url.endswith(".json")]
    paused = await call(client.pause_check, uuid)
    seen["pause"] = [paused.status, paused.uuid == uuid]
    deleted = await call(client.delete_check, uuid)
    seen["delete"] = [deleted.name, await status(uuid)]
    await call(client.delete_check, cron.uuid)


def decorate() -> None:
    """Ping by the decorator."""
    client = Client(api_key=ADMIN, api_url=f"{HOST}/api/", ping_url=f"{HOST}/ping/", api_version=3)
    check = client.create_check(CheckCreate(name="decorated", tags="decorated"))
    url = check.ping_url

    @healthcheck(url=url, send_start=True, send_diagnostics=True)
    def works() -> dict[str, int]:
        return {"rows": 5}

    @healthcheck(url=url)
    def breaks() -> None:
        raise ValueError

    works()
    before = client.get_check(check.uuid)
    with suppress(ValueError):
        breaks()
    os.environ["HEALTHCHECK_URL"] = f"{HOST}/ping/{PING}/decorated"
    healthcheck(lambda: None)()
    pings = client.get_check_pings(check.uuid)
    report["decorator"] = {
        "pings": [[each.type, each.method] for each in pings],
        "statuses": [before.status, client.get_check(check.uuid).status],
    }


asyncio.run(drive("sync1", Client))
asyncio.run(drive("sync3", Client, api_version=3))
asyncio.run(drive("async2", AsyncClient, api_version=2))
decorate()
sys.stdout.write(json.dumps(report))
