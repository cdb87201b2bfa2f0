"""The dashboard as a supervised process beside the stack: started by the demo, stopped with the stack."""

from __future__ import annotations

from dataclasses import replace
from urllib.request import urlopen

from local import stack
from local.part import Launch, NotReadyError, Part, Say, python
from local.settings import ROOT, Address, Settings


def up(settings: Settings, say: Say) -> str:
    """Start the dashboard, if it does not run, and wait until it answers; return its address.

    Raises:
        StackError: its port is taken, or it did not come up.
    """
    own = _own(settings)
    stack.claim(own)
    with stack.only_one(own):
        stack.start(own, [_part(settings)], settings.environment, say)
    return f"http://{settings.dashboard}/"


def down(settings: Settings) -> bool:
    """Stop the dashboard that ``up`` started; tell if it ran."""
    return stack.down(_own(settings))


def _own(settings: Settings) -> Settings:
    return replace(settings, stack_dir=settings.place("dashboard"))


def _part(settings: Settings) -> Part:
    log = _own(settings).log_dir / "dashboard.log"
    address: Address = settings.dashboard
    return Part(
        name="dashboard",
        title="Dashboard",
        listens=[address],
        where=f"http://{address}/",
        launch=lambda _: Launch([python(), "-m", "dashboard"], directory=ROOT),
        check=lambda: _check(address),
        log=log,
        output=log,
        order=1,
        stop_signal="INT",
        inherits=True,
    )


def _check(address: Address) -> str:
    try:
        with urlopen(f"http://{address}/", timeout=5) as answer:
            return f"HTTP {answer.status}"
    except OSError as error:
        raise NotReadyError(str(error)) from None
