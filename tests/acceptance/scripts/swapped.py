"""Runs another script with an SDK whose own client is the one generated from our document.

Arguments: the folder that holds this SDK, the script, and the script's own arguments.
"""

import importlib
import runpy
import sys

folder, script, *arguments = sys.argv[1:]
sys.path.insert(0, folder)
# Only our document has it, so this proves whose client it is.
importlib.import_module("taskbadger.internal.api.task_endpoints.task_events")
sys.argv = [script, *arguments]
runpy.run_path(script, run_name="__main__")
