"""What templates need for the top bar of a page."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Link:
    """An entry of a menu."""

    key: str
    """Compared with the template's ``active``; also names the shortcut ``g`` + first letter."""
    label: str
    href: str
    shortcut: str = ""
    """The letter that follows ``g``."""


@dataclass(frozen=True)
class Frame:
    """The top bar: passed to templates as ``frame``."""

    organization: str
    organizations: tuple[Link, ...] = ()
    """Those that the visitor may switch to; ``key`` is the slug."""
    nav: tuple[Link, ...] = ()
    user: str = ""
    menu: tuple[Link, ...] = ()
    """Links of the visitor's own menu."""
    sign_out: str = ""
    """Where the sign-out form posts to."""
    failing: int = 0
    """How many monitors and names are failing, for the title and the icon."""
