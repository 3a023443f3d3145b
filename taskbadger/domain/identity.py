"""Who makes a change, which project it is about, what a key opens, and who vouches for users."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Actor:
    """Who makes a change: an API key, a user of the dashboard, a plug-in, or the server itself."""

    type: str
    name: str
    is_admin: bool = field(default=False, compare=False)
    """Whether it is a key with the scope ``admin``."""

    @property
    def is_audited(self) -> bool:
        """Whether its changes of tasks and their actions go into the audit log.

        Those of ordinary keys and of the server do not: each task's history has them.
        """
        return self.type not in ("key", "server") or self.is_admin


SERVER = Actor("server", "server")


@dataclass(frozen=True, slots=True)
class ProjectRef:
    """A project and its organization, as services pass them around."""

    id: int
    slug: str
    organization_id: int
    organization: str
    name: str = field(default="", compare=False)
    """For people; empty where it is not shown."""

    @property
    def label(self) -> str:
        """The name, with the slug where it differs."""
        return f"{self.name} ({self.slug})" if self.name not in ("", self.slug) else self.slug


@dataclass(frozen=True, slots=True)
class Access:
    """What a key opens."""

    key_id: int
    actor: Actor
    organization_id: int
    organization: str
    project: ProjectRef | None
    """None for an organization key, which opens every project of its organization."""
    scopes: frozenset[str]
    digest: str
    last_used: datetime | None


@dataclass(frozen=True, slots=True)
class ProviderMetadata:
    """What an identity provider publishes about itself (OpenID Connect Discovery 1.0)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
