"""What Beam's own reading of a command line lacks: help for our options, and errors for those that nobody knows."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from difflib import get_close_matches

from apache_beam.options.pipeline_options import PipelineOptions

from programs.errors import UserError

# Options of Flink's runner that only its Java side knows: what the job server of Beam 2.70 describes.
FLINK_OPTIONS = frozenset(
    """
    allow_non_restored_state attached_mode auto_balance_write_files_sharding_enabled auto_watermark_interval
    checkpoint_timeout_millis checkpointing_interval checkpointing_mode disable_metrics enable_stable_input_drain
    execution_mode_for_batch execution_retry_delay externalized_checkpoints_enabled fail_on_checkpointing_errors
    faster_copy file_input_split_max_size_m_b finish_bundle_before_checkpointing flink_conf_dir flink_master
    force_slot_sharing_group force_unaligned_checkpoint_enabled job_check_interval_in_secs latency_tracking_interval
    max_bundle_size max_bundle_time_mills max_parallelism min_pause_between_checkpoints num_concurrent_checkpoints
    number_of_execution_retries object_reuse operator_chaining parallelism re_iterable_group_by_key_result
    report_checkpoint_duration retain_externalized_checkpoints_on_cancellation savepoint_path
    shutdown_sources_after_idle_ms state_backend state_backend_factory state_backend_storage_path
    unaligned_checkpoint_enabled use_data_stream_for_batch
    """.split()
)


def check_known(argv: Sequence[str]) -> None:
    """See that each option is one of ours, of Beam's or of Flink's runner.

    Raises:
        UserError: one is not; the message names it and, where there is one, the option that was probably meant.
    """
    known = {*PipelineOptions([]).get_all_options(), *FLINK_OPTIONS}
    for argument in argv:
        name = argument.removeprefix("--").partition("=")[0]
        if argument.startswith("--") and name not in known and name.removeprefix("no_") not in known:
            near = get_close_matches(name, known, n=1, cutoff=0.75)
            hint = f"did you mean --{near[0]}?" if near else "see --help"
            msg = f"unknown option --{name}: {hint}"
            raise UserError(msg)


def wants_help(argv: Sequence[str]) -> bool:
    """Tell whether a command line asks for help."""
    return "--help" in argv or "-h" in argv


def print_help(
    module: str, description: str | None, runner: str, examples: str, *groups: type[PipelineOptions]
) -> None:
    """Print the help of a pipeline's main program.

    Args:
        module: name of the program's module.
        description: its docstring.
        runner: help of ``--runner``.
        examples: options of Beam and Flink worth naming.
        groups: the program's own options.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"Beam's and Flink's own options are taken too{examples}.",
    )
    parser.add_argument("--runner", default="DirectRunner", help=runner)
    for group in groups:
        group._add_argparse_args(parser)
    parser.print_help()
