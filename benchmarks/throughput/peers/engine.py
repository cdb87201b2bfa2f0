"""Runs a peer: a Java program that counts a topic to its end, tells its progress and leaves its counts in files."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.throughput.checksum import checksum, shown
from benchmarks.throughput.taps import Read
from local import jars
from local.part import Say, java
from local.settings import Settings, StackError

_FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Peer:
    """An engine and how its program is started.

    Attributes:
        project: Maven project of the program, with the versions of the engine.
        jvm: options of its Java; they suit two cores, and are what was fastest here.
    """

    project: Path
    jvm: tuple[str, ...]


PEERS: Mapping[str, Peer] = {
    "flink-sql": Peer(_FOLDER / "flink-sql", ("-Xmx3g", "-XX:+UseParallelGC")),
    "spark": Peer(_FOLDER / "spark", ("-Xmx3g", "-XX:+UseParallelGC")),
}


def install(variants: Collection[str], say: Say) -> None:
    """Build the programs of the peers among some variants and fetch their engines, once."""
    for name, peer in PEERS.items():
        if name in variants:
            jars.ensure(peer.project, say)


def run(name: str, settings: Settings, folder: Path, watch: Callable[[int], None]) -> tuple[list[Read], str]:
    """Let a peer count the posts of a stack's topic; return what it read when, and the checksum of its counts.

    Args:
        name: of the peer, which is installed.
        settings: a stack whose topic holds the posts.
        folder: takes what the peer writes.
        watch: is told the process id.

    Raises:
        StackError: the peer failed; its log's end is in the message.
    """
    peer = PEERS[name]
    jar = jars.folder(peer.project) / "peer.jar"
    command = [java(), *peer.jvm, "-jar", str(jar), str(settings.kafka), settings.topic_posts, str(folder)]
    log = folder / "log"
    with (
        log.open("wb") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        watch(process.pid)
        output, _ = process.communicate()
    if process.returncode:
        end = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:])
        msg = f"{name} failed with status {process.returncode}:\n{end}"
        raise StackError(msg)
    reads = parse_progress(output.splitlines())
    return reads, shown(sum(read.posts for read in reads), total_checksum(folder))


def parse_progress(lines: Iterable[str]) -> list[Read]:
    """Return what the lines of JSON tell, in the order of their ends; other lines are an engine's own."""
    reads = [Read(**json.loads(line)) for line in lines if line.startswith('{"began"')]
    return sorted(reads, key=lambda read: read.ended)


def total_checksum(folder: Path) -> int:
    """Return the checksum of all counts in the files below a folder, one in each line of JSON.

    Files whose names, or whose folders' names, begin with a dot or an underscore are an engine's own books.
    """
    total = 0
    for path in folder.rglob("part-*"):
        if not any(part.startswith((".", "_")) for part in path.relative_to(folder).parts):
            with path.open(encoding="utf-8") as file:
                for line in file:
                    count = json.loads(line)
                    total += checksum(count["window_start"], [(count["word"], count["posts"])])
    return total
