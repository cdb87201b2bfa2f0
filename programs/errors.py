"""Errors that a user can put right, and how a main program tells them."""

from __future__ import annotations

import faulthandler
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from dotenv import load_dotenv

from local.settings import ROOT, StackError


class UserError(Exception):
    """Something a user can put right; the message says what is wrong and what to do."""


def start(run: Callable[[Sequence[str]], int], argv: Sequence[str] | None = None) -> NoReturn:
    """Run a main program: settings from ``.env``, one line for a user's error, 130 for Ctrl-C or a request to stop.

    On SIGUSR1 it writes what each of its threads is doing, and goes on.
    """
    signal.signal(signal.SIGTERM, _interrupt_once)
    faulthandler.register(signal.SIGUSR1, 2)  # standard error, whatever sys.stderr is now
    load_dotenv(ROOT / ".env")
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    # What its client tries before it gives up is told once, as the error.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    try:
        code = run(sys.argv[1:] if argv is None else argv)
    except (UserError, StackError) as error:
        print(f"error: {error}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = 130
    sys.exit(code)


def _interrupt_once(number: int, _: object) -> NoReturn:
    """Take a supervisor's request to stop as Ctrl-C; what is cancelled then is not disturbed by a second request."""
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt
