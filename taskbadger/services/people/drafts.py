"""Drafts: forms that were sent after the session had ended, kept until their author is back.

A draft is for one person. It has no password, secret or token; it is small, and gone after a day.
"""

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

from sqlalchemy import Table, delete, select

from taskbadger.domain.keys import digest
from taskbadger.extensions import db, delete_some
from taskbadger.models import FormDraft
from taskbadger.services.people import sessions

LIFE = timedelta(hours=24)
MAX_CHARACTERS = 65_536
"""Of all fields of a draft together; a larger form is not kept."""
MAX_OF_PERSON = 5
"""Older drafts of a person are deleted."""

Fields = Mapping[str, Sequence[str]]
"""The values of each field of a form, by its name."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What was typed into a form."""

    action: str
    """The path that the form is sent to."""
    fields: Fields


def mark_of(user_id: int, secret_key: str) -> str:
    """Return what stands for a user in drafts and cookies; it does not tell who it is."""
    return hmac.new(secret_key.encode(), f"draft of {user_id}".encode(), hashlib.sha256).hexdigest()


def keep(person: str, action: str, fields: Fields, *, now: datetime) -> str | None:
    """Keep what a person typed; return the token that finds it. None if it is too much."""
    text = json.dumps(fields, ensure_ascii=False)
    if len(text) > MAX_CHARACTERS:
        return None
    token = sessions.new_token()
    db.session.add(
        FormDraft(digest=digest(token), person=person, action=action, fields=text, created=now)
    )
    db.session.flush()
    purge(now=now)
    _delete_all_but_the_latest(person)
    return token


def _delete_all_but_the_latest(person: str) -> None:
    latest = (
        select(FormDraft.id)
        .where(FormDraft.person == person)
        .order_by(FormDraft.id.desc())
        .limit(MAX_OF_PERSON)
    )
    db.session.execute(
        delete(FormDraft).where(
            FormDraft.person == person, FormDraft.id.not_in(select(latest.subquery().c.id))
        )
    )


def find(token: str, person: str, *, now: datetime) -> Draft | None:
    """Return a draft of this person; None for those of others, and if it is gone."""
    query = select(FormDraft.action, FormDraft.fields).where(
        FormDraft.digest == digest(token),
        FormDraft.person == person,
        FormDraft.created > now - LIFE,
    )
    row = db.session.execute(query).first()
    return None if row is None else Draft(row.action, json.loads(row.fields))


def drop(token: str, person: str) -> None:
    """Delete a draft of this person, because its form is sent."""
    db.session.execute(
        delete(FormDraft).where(FormDraft.digest == digest(token), FormDraft.person == person)
    )


def drop_of_others(token: str, person: str) -> None:
    """Delete a draft if it is somebody else's: another person has signed in."""
    db.session.execute(
        delete(FormDraft).where(FormDraft.digest == digest(token), FormDraft.person != person)
    )


def drop_all(people: Iterable[str]) -> None:
    """Delete all drafts of these people."""
    db.session.execute(delete(FormDraft).where(FormDraft.person.in_(list(people))))


def purge(*, now: datetime, limit: int = 500) -> int:
    """Delete up to *limit* drafts that are too old; return how many."""
    table = cast(Table, FormDraft.__table__)
    return delete_some(table, table.c.created <= now - LIFE, limit=limit)
