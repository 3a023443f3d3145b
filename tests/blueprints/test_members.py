"""The endpoints of members."""

from answers import wrong
from conftest import ApiClient, count_queries
from flask import Flask
from managing import DENIED, NOT_FOUND, audited, manager, walk, without
from people import make_member


def ids(admin: ApiClient) -> dict[str, int]:
    return {one["email"]: one["id"] for one in admin.get("/members/").json["results"]}


def refusal(role: str) -> dict[str, object]:
    detail = f"Your role (admin) cannot grant or remove the role {role}."
    return {**DENIED, "errors": [{"code": "permission_denied", "detail": detail, "attr": None}]}


def test_members_are_listed_and_shown(admin: ApiClient) -> None:
    make_member("ada@example.org", "owner")
    make_member("bob@example.org", "viewer")

    found = admin.get("/members/").json["results"]

    assert [without(one, "id", "created") for one in found] == [
        {"email": "ada@example.org", "name": "", "role": "owner"},
        {"email": "bob@example.org", "name": "", "role": "viewer"},
    ]
    assert admin.get(f"/members/{found[1]['id']}/").json == found[1]
    assert "argon2" not in admin.get("/members/").text


def test_role_is_changed_and_member_removed(admin: ApiClient) -> None:
    make_member("bob@example.org", "viewer")
    member = ids(admin)["bob@example.org"]

    changed = admin.patch(f"/members/{member}/", {"role": "admin"})
    removed = admin.delete(f"/members/{member}/")

    assert (changed.status_code, changed.json["role"]) == (200, "admin")
    assert (removed.status_code, ids(admin)) == (204, {})
    assert audited() == [
        ("key", "terraform", "member.change-role", "bob@example.org"),
        ("key", "terraform", "member.remove", "bob@example.org"),
    ]


def test_key_neither_makes_nor_touches_owners(admin: ApiClient) -> None:
    make_member("ada@example.org", "owner")
    make_member("bob@example.org", "admin")
    members = ids(admin)

    answers = [
        admin.patch(f"/members/{members['bob@example.org']}/", {"role": "owner"}),
        admin.patch(f"/members/{members['ada@example.org']}/", {"role": "viewer"}),
        admin.delete(f"/members/{members['ada@example.org']}/"),
    ]

    assert [(one.status_code, one.json) for one in answers] == [(403, refusal("owner"))] * 3
    assert ids(admin) == members
    assert audited() == []


def test_wrong_role_is_refused(admin: ApiClient) -> None:
    make_member("bob@example.org", "viewer")
    path = f"/members/{ids(admin)['bob@example.org']}/"

    assert admin.patch(path, {}).json == wrong(("role", "required", "This field is required."))
    assert admin.patch(path, {"role": "king"}).json == wrong(
        ("role", "invalid_choice", '"king" is not a valid choice.')
    )


def test_members_of_another_organization_are_not_there(app: Flask, admin: ApiClient) -> None:
    make_member("eve@example.org", "viewer", "other")
    theirs = ids(manager(app, "other"))["eve@example.org"]

    assert admin.get("/members/").json["results"] == []
    assert admin.get(f"/members/{theirs}/").json == NOT_FOUND
    assert admin.patch(f"/members/{theirs}/", {"role": "admin"}).json == NOT_FOUND
    assert admin.delete(f"/members/{theirs}/").json == NOT_FOUND
    assert admin.get("/members/x/").json == NOT_FOUND


def test_project_key_does_not_reach_the_members(app: Flask, admin: ApiClient) -> None:
    own = manager(app, slug="web")

    assert own.get("/members/").json == DENIED


def test_list_is_walked_with_as_many_queries_for_one_as_for_a_hundred(admin: ApiClient) -> None:
    make_member("0@example.org", "viewer")
    admin.get("/members/")
    with count_queries() as one:
        admin.get("/members/")
    for number in range(1, 100):
        make_member(f"{number}@example.org", "viewer")
    admin.get("/members/")  # The key is known again.
    with count_queries() as hundred:
        admin.get("/members/")

    assert len(hundred) == len(one) <= 2
    assert walk(admin, "/members/", "email") == [f"{n}@example.org" for n in range(100)]


def test_what_is_missing_comes_before_what_is_wrong(admin: ApiClient) -> None:
    wrong_body = {"name": None, "role": None}

    assert admin.patch("/members/7/", wrong_body).json == NOT_FOUND
