"""Progress on terminals and elsewhere."""

from __future__ import annotations

import io

from feed.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_file_gets_a_line_every_few_seconds():
    now = [0.0]
    stream = io.StringIO()
    progress = Progress(lambda seconds: f"{seconds:.0f} s", stream, lambda: now[0])
    for _ in range(40):
        now[0] += 0.3
        progress.tell()
    assert stream.getvalue() == "5 s\n10 s\n"


def test_a_terminal_gets_one_line_that_is_redrawn():
    now = [0.0]
    stream = Terminal()
    progress = Progress(lambda seconds: f"{seconds:.0f} s", stream, lambda: now[0])
    for _ in range(2):
        now[0] += 1
        progress.tell()
    progress.say("done")
    progress.say("and more")
    assert stream.getvalue() == "\r1 s\x1b[K\r2 s\x1b[K\r\x1b[Kdone\nand more\n"


def test_quick_steps_look_at_the_clock_now_and_then():
    looks = []
    progress = Progress(str, io.StringIO(), lambda: looks.append(0) or 0.0)
    for _ in range(640):
        progress.step()
    assert len(looks) == 11
