"""gunicorn over our application, whatever the current folder contains.

Gunicorn's own command looks for modules in the current folder first, and reads a
``gunicorn.conf.py`` from it. Ours reads its options and ``GUNICORN_CMD_ARGS`` only.
"""

import os

from flask import Flask
from gunicorn.app.base import Application
from gunicorn.util import import_app


class WebServer(Application):  # type: ignore[misc]  # gunicorn ships no types
    """A gunicorn that is configured by its arguments and ``GUNICORN_CMD_ARGS``."""

    def load_config(self) -> None:
        """Read the options; those of the command line win."""
        parser = self.cfg.parser()
        variable = parser.parse_args(self.cfg.get_cmd_args_from_env())
        if variable.config:
            self.load_config_from_file(variable.config)
        for options in (variable, parser.parse_args()):
            for name, value in vars(options).items():
                if value is not None and name != "args":
                    self.cfg.set(name, value)
        os.chdir(self.cfg.chdir)

    def load(self) -> Flask:
        """Return the application; called in each worker, so that a reload takes up new code."""
        app: Flask = import_app("taskbadger_server:load_wsgi()")
        return app


if __name__ == "__main__":
    WebServer().run()
