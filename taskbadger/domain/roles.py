"""What each role of an organization may do: the one table, for pages and the API alike."""

OWNER = "owner"
ADMIN = "admin"
MEMBER = "member"
VIEWER = "viewer"

ROLES = (OWNER, ADMIN, MEMBER, VIEWER)
"""From the most powerful to the least."""

# The least role for each kind of deed.
READ = VIEWER
CHANGE_TASKS = MEMBER
CHANGE_ALERTS = MEMBER
CHANGE_MONITORS = MEMBER
MANAGE_CHANNELS = ADMIN
MANAGE_KEYS = ADMIN
MANAGE_PROJECTS = ADMIN
MANAGE_MEMBERS = ADMIN
READ_AUDIT_LOG = ADMIN
MANAGE_ORGANIZATION = OWNER


def includes(role: str, least: str) -> bool:
    """Say whether *role* may do what *least* may."""
    return ROLES.index(role) <= ROLES.index(least)


def may_grant(actor: str, role: str) -> bool:
    """Say whether a person with the role *actor* may give, change or take away *role*."""
    return includes(actor, MANAGE_MEMBERS) and includes(actor, role)
