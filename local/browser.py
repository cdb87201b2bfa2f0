"""Chromium for the browser tests: found on this machine, or installed where that needs nobody's leave.

    python -m local.browser        # what `make browser` runs

``CHROMIUM`` names the program if it is not on the ``PATH``. Without a browser the tests that need one are skipped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PACKAGES = ("chromium", "fonts-noto-color-emoji")


def find() -> str | None:
    """Return the path of a Chromium, None if there is none."""
    named = os.environ.get("CHROMIUM")
    if named:
        return shutil.which(named)
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def install() -> bool:
    """Install Chromium with apt, if this is root on a Debian; tell if it was tried with success."""
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        return False
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    commands = ([apt, "update", "-qq"], [apt, "install", "-y", "-qq", "--no-install-recommends", *PACKAGES])
    for command in commands:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"apt could not install Chromium: {done.stderr.strip() or done.stdout.strip()}", file=sys.stderr)
            return False
    return True


def main() -> int:
    """See that there is a Chromium; it is no error if there cannot be."""
    if os.environ.get("CHROMIUM") and find() is None:
        print(f"error: CHROMIUM={os.environ['CHROMIUM']} is no program", file=sys.stderr)
        return 1
    if find() is None:
        print("no Chromium found: trying apt", flush=True)
        install()
    path = find()
    if path is None:
        print(
            "no Chromium: the browser tests will be skipped. Install it (Debian: apt-get install chromium), "
            "or set CHROMIUM to its path"
        )
    else:
        print(f"Chromium: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
