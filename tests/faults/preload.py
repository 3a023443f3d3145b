"""Libraries in C that are loaded into real processes, to change what the system tells them."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def build(source: Path, folder: Path) -> Path:
    """Compile a library into *folder*; skips the test where there is no compiler."""
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None:
        if os.environ.get("CI"):
            pytest.fail("there is no C compiler, and CI must have one")
        pytest.skip("there is no C compiler")
    library = folder / f"{source.stem}.so"
    options = ("-O2", "-shared", "-fPIC", "-pthread")
    subprocess.run([compiler, *options, "-o", library, source, "-ldl"], check=True)
    return library
