"""``python -m local``: start, stop and look at the embedded stack."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.table import Column, Table

from local import airflow, flink, jars, stack, web
from local import settings as configuration
from local.settings import Settings, StackError

PARTS = ("kafka", "jobmanager", "taskmanager", "postgres", "s3")

_DESCRIPTION = """\
The embedded stack: Kafka, Flink, Postgres and S3 as plain processes of this machine, listening on 127.0.0.1.

Ports, sizes, passwords and the data folder are settings: see .env.example. `up` writes .env on first use."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is 0 when all is well."""
    args = _parser().parse_args(arguments)
    console = Console(stderr=args.command != "status", highlight=False, soft_wrap=True)
    try:
        if args.command == "jars":  # before there are any settings
            return _jars(console)
        if args.command == "env":
            return _env(console)
        command: Callable[[Settings, argparse.Namespace, Console], int] = args.run
        return command(
            configuration.load(
                create=args.command == "up",
                anywhere=args.command == "provision",
                bare=args.command == "down",
            ),
            args,
            console,
        )
    except StackError as error:
        console.print(f"error: {error}", style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("interrupted; what was started keeps running: `python -m local down` stops it")
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m local", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add = commands.add_parser("up", help="start what does not run, wait until all is well; safe to repeat")
    add.set_defaults(run=_up)
    add = commands.add_parser(
        "down", help="stop this stack's processes; data stay, and what a running stream goes on from"
    )
    add.set_defaults(run=_down)
    add = commands.add_parser(
        "status", help="show each part's state, address and health; exit code 1 unless all is well"
    )
    add.set_defaults(run=_status)
    add = commands.add_parser("logs", help="show the end of the logs")
    add.add_argument("part", nargs="?", choices=PARTS, metavar="PART", help=f"one of {', '.join(PARTS)} (default: all)")
    add.add_argument("-n", "--lines", type=int, default=40, help="how many lines of each (default: %(default)s)")
    add.add_argument("-f", "--follow", action="store_true", help="keep showing what is added, until Ctrl-C")
    add.set_defaults(run=_logs)
    add = commands.add_parser(
        "provision", help="create database, tables, logins, topics and bucket in servers that run already, anywhere"
    )
    add.set_defaults(run=_provision)
    commands.add_parser("env", help="write .env with fresh secrets, without starting anything")
    commands.add_parser("jars", help="fetch and build the jars of Kafka and Flink, without starting anything")
    return parser


def _up(settings: Settings, _: argparse.Namespace, console: Console) -> int:
    began = time.monotonic()
    with console.status("starting …"):
        stack.up(settings, lambda line: console.print(line, markup=False))
    console.print(f"up in {time.monotonic() - began:.1f} s; Flink's web UI: http://{settings.flink}", style="green")
    return 0


def _provision(settings: Settings, _: argparse.Namespace, console: Console) -> int:
    stack.provision(settings, lambda line: console.print(line, markup=False))
    console.print("database, topics and bucket are ready", style="green")
    return 0


def _down(settings: Settings, _: argparse.Namespace, console: Console) -> int:
    jobs = flink.running(settings)
    with console.status("stopping …"):
        stopped = airflow.down(settings)  # first: it may refuse
        stopped = web.down(settings) or stopped
        stopped = stack.down(settings) or stopped
    console.print("stopped" if stopped else "nothing was running")
    for job in jobs:
        if address := job.newest_checkpoint():
            told = f"{job.name} ended with Flink; submitted with --savepoint_path={address} it goes on where it was"
            console.print(told, markup=False, soft_wrap=True)
    return 0


def _status(settings: Settings, _: argparse.Namespace, console: Console) -> int:
    answer = Column("answer", overflow="fold")  # a path that is cut off helps nobody
    table = Table("part", "state", "pid", "up for", "where", answer, box=None, pad_edge=False)
    reports = stack.health(settings)
    for report in reports:
        process = report.process
        running = process is not None and process.pid > 0
        table.add_row(
            report.part.name,
            f"[{'green' if report.well else 'red'}]{process.state.lower() if process else 'stopped'}[/]",
            str(process.pid) if process and running else "-",
            _duration(process.now - process.started) if process and running else "-",
            report.part.where,
            report.answer,
        )
    console.print(table)
    console.print(f"data and logs: {settings.stack_dir}")
    return 0 if all(report.well for report in reports) else 1


def _logs(settings: Settings, args: argparse.Namespace, console: Console) -> int:
    parts = [part for part in stack.describe(settings) if args.part in {None, part.name}]
    logs = [log for part in parts for log in part.logs if log.exists()]
    if not logs:
        console.print(f"no logs yet under {settings.log_dir}: `python -m local up` starts the stack")
        return 1
    command = ["tail", "-n", str(args.lines), *(["-F"] if args.follow else []), *map(str, logs)]
    sys.stdout.flush()
    return subprocess.run(command, check=False).returncode  # it also follows files that are rotated


def _env(console: Console) -> int:
    written = configuration.write_env_file()
    console.print(".env written, with fresh secrets" if written else ".env is there already: nothing changed")
    return 0


def _jars(console: Console) -> int:
    for project in (jars.BROKER, jars.JOB_SERVER):
        folder = jars.ensure(project, lambda line: console.print(line, markup=False))
        console.print(f"{project.name}: {folder}", markup=False)
    return 0


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


if __name__ == "__main__":
    sys.exit(main())
