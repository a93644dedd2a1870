"""TensorBoard is given one folder, or several under names that differ."""

import pytest

from launcher.commands.tensorboard import logdir_flag
from launcher.errors import UsageError


def test_one_folder_is_given_as_it_is():
    assert logdir_flag(["gs://b/runs/a/logs"]) == "--logdir=gs://b/runs/a/logs"


def test_several_folders_stand_side_by_side_under_their_runs_names():
    flag = logdir_flag(["gs://b/x/first/logs", "runs/second", "gs://c/y/first/logs"])
    assert flag == (
        "--logdir_spec=first-1:gs://b/x/first/logs,second:runs/second,first-3:gs://c/y/first/logs"
    )


def test_a_comma_cannot_smuggle_in_another_folder():
    with pytest.raises(UsageError, match="commas"):
        logdir_flag(["runs/a,etc:/etc", "runs/b"])
