"""The message of a digest: for whom, about which period, and what it says."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import NamedTuple, cast
from zoneinfo import ZoneInfo

from sqlalchemy import select

from taskbadger.channels import DIGEST, Json, Message
from taskbadger.channels.text import counted
from taskbadger.domain.digests import DAILY, OFF, Period, Section, period_of
from taskbadger.extensions import db
from taskbadger.models import Membership, Organization, User
from taskbadger.services.digests.contents import read_sections
from taskbadger.services.digests.incidents import FAILING, NEW_KINDS, RECOVERED
from taskbadger.services.digests.sections import Scope
from taskbadger.services.organizations import projects

_COLUMNS = (
    Membership.id,
    Membership.organization_id,
    Organization.slug.label("organization"),
    Membership.user_id,
    User.email,
    User.disabled,
    User.timezone,
    Membership.digest,
    Membership.next_digest_at,
    Membership.last_digest_at,
)


class Reader(NamedTuple):
    """A member as far as digests need to know."""

    id: int
    """The id of the membership."""
    organization_id: int
    organization: str
    """The organization's slug."""
    user_id: int
    email: str
    disabled: datetime | None
    timezone: str
    digest: str
    """One of `domain.digests.FREQUENCIES`."""
    next_digest_at: datetime | None
    last_digest_at: datetime | None


def find_reader(membership_id: int) -> Reader | None:
    """Return a member with their settings; None if there is no such member."""
    query = (
        select(*_COLUMNS)
        .join(Membership.user)
        .join(Membership.organization)
        .where(Membership.id == membership_id)
    )
    return cast(Reader | None, db.session.execute(query).first())


def frequency_of(reader: Reader) -> str:
    """Return how often the member gets digests; daily if they get none, for the preview."""
    return DAILY if reader.digest == OFF else reader.digest


def period_for(reader: Reader, *, now: datetime) -> Period:
    """Return the period of a digest for the member that is written *now*."""
    return period_of(frequency_of(reader), reader.last_digest_at, now=now)


def write_digest(reader: Reader, *, now: datetime, base_url: str) -> Message:
    """Return the digest that the member gets *now*; its delivery gives it an id. Only reads."""
    period, zone = period_for(reader, now=now), ZoneInfo(reader.timezone)
    found = projects.list_project_refs(reader.organization_id, reader.organization)
    scope = Scope(
        organization_id=reader.organization_id,
        organization=reader.organization,
        projects={project.id: project for project in found},
        period=period,
        zone=zone,
        base_url=base_url,
    )
    sections = read_sections(scope)
    return Message(
        id="",
        kind=DIGEST,
        created=now,
        organization=reader.organization,
        title=_title(frequency_of(reader), sections),
        url=scope.url(""),
        digest=_show(reader, scope, sections),
    )


def _title(frequency: str, sections: Sequence[Section]) -> str:
    counts = {section.title: section.count for section in sections}
    parts = []
    if FAILING in counts:
        parts.append(f"{counts[FAILING]:,} failing")
    if RECOVERED in counts:
        parts.append(f"{counts[RECOVERED]:,} recovered")
    if NEW_KINDS in counts:
        parts.append(counted(counts[NEW_KINDS], "new kind") + " of failures")
    what = ", ".join(parts) or ("no new failures" if sections else "nothing happened")
    return f"{frequency.capitalize()} digest: {what}"


def _show(reader: Reader, scope: Scope, sections: Sequence[Section]) -> Json:
    start, end = scope.period
    account = f"{scope.base_url}/account" if scope.base_url else None
    return {
        "period": f"{scope.moment(start)} to {scope.moment(end)} ({reader.timezone})",
        "frequency": frequency_of(reader),
        "sections": [asdict(section) for section in sections],
        "account_url": account,
        "member": {"organization_id": reader.organization_id, "user_id": reader.user_id},
    }
