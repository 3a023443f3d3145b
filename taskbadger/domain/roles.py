"""The roles of an organization and the minimum role for each operation, on pages and in the API."""

OWNER = "owner"
ADMIN = "admin"
MEMBER = "member"
VIEWER = "viewer"

ROLES = (OWNER, ADMIN, MEMBER, VIEWER)
"""Each role may do all that the ones after it may."""

# The minimum role for each kind of operation.
READ = VIEWER
CHANGE_TASKS = MEMBER
CHANGE_ALERTS = MEMBER
CHANGE_MONITORS = MEMBER
HANDLE_INCIDENTS = MEMBER
MANAGE_CHANNELS = ADMIN
MANAGE_KEYS = ADMIN
MANAGE_PROJECTS = ADMIN
MANAGE_MEMBERS = ADMIN
READ_AUDIT_LOG = ADMIN
MANAGE_ORGANIZATION = OWNER
DELETE_PROJECTS = OWNER


def includes(role: str, minimum: str) -> bool:
    """Say whether *role* may do all that the role *minimum* may."""
    return ROLES.index(role) <= ROLES.index(minimum)


def may_grant(actor: str, role: str) -> bool:
    """Say whether a member with the role *actor* may give, change or remove *role*."""
    return includes(actor, MANAGE_MEMBERS) and includes(actor, role)
