"""The table of projects for statements about each of many."""

from flask import Flask
from sqlalchemy import select

from taskbadger.extensions import db
from taskbadger.services.each_project import PROJECT_ID, each_project


def test_table_has_a_row_for_each_project(app: Flask) -> None:
    rows = db.session.scalars(select(PROJECT_ID).select_from(each_project([7, 3, 5])))

    assert sorted(rows) == [3, 5, 7]


def test_no_projects_are_an_empty_table(app: Flask) -> None:
    assert db.session.scalars(select(PROJECT_ID).select_from(each_project([]))).all() == []
