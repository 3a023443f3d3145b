"""The state of a process: one object for each application."""

from conftest import settings
from flask import Flask

from taskbadger.process import ProcessState, current_process, process_of


def test_an_application_has_one_state(app: Flask) -> None:
    assert current_process() is process_of(app)
    assert current_process().settings.TESTING


def test_channels_share_one_context(app: Flask) -> None:
    state = ProcessState(settings(MAIL_FROM="Ops <ops@example.org>"))

    assert state.send_context is state.send_context
    assert state.send_context.mail_from == "Ops <ops@example.org>"


def test_forgetting_empties_every_cache() -> None:
    state = ProcessState(settings())
    for timed in (state.versions, state.counts, state.figures, state.searches):
        timed.put("name", 1)
    for texts in (state.pages, state.rows):
        texts.get("name", lambda: "text")

    state.forget()

    timed = (state.versions, state.counts, state.figures, state.searches)
    assert [len(each) for each in (*timed, state.pages, state.rows)] == [0, 0, 0, 0, 0, 0]
