from __future__ import annotations

import pytest

from beam_pipelines import stream_options  # noqa: F401 - declares the stream's options
from beam_pipelines.command_line import check_known
from programs.errors import UserError


def test_options_of_ours_of_beam_and_of_flink_are_known():
    check_known(["--shards=8", "--runner=FlinkRunner", "--checkpointing_interval", "3000", "--faster_copy", "--detach"])


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("--shard=5", "--shards"),
        ("--detecter=x", "--detector"),
        ("--early_fireing_seconds=1", "--early_firing_seconds"),
    ],
)
def test_a_misspelled_option_is_an_error_that_says_what_was_meant(given: str, meant: str):
    with pytest.raises(UserError, match=f"did you mean {meant}\\?"):
        check_known([given])


def test_an_option_like_no_other_points_to_the_help():
    with pytest.raises(UserError, match="unknown option --qqqqqq: see --help"):
        check_known(["--qqqqqq=1"])
