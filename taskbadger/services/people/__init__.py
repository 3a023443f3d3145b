"""People: users, members, invitations, sessions and how they sign in."""
