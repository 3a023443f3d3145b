"""Backups: one file with all tables of the database, made while the server works."""

from taskbadger.backups.copying import copy, count_rows
from taskbadger.backups.files import BackupError
from taskbadger.backups.kinds import Backup, back_up, restore, verify

__all__ = ["Backup", "BackupError", "back_up", "copy", "count_rows", "restore", "verify"]
