"""The choice of arithmetic."""

import logging

import pytest
import tensorflow as tf

from job.contract.errors import ConfigError
from job.model import precision


@pytest.mark.parametrize(
    ("name", "dtype", "loss_scale"),
    [
        ("float32", tf.float32, "none"),
        ("bfloat16", tf.bfloat16, "none"),
        ("float16", tf.float16, "dynamic"),
    ],
)
def test_a_named_precision_is_taken_as_it_is(name, dtype, loss_scale):
    assert precision.choose(name) == precision.Precision(name, dtype, loss_scale)


def test_auto_measures_and_says_what_it_saw(caplog):
    with caplog.at_level(logging.INFO):
        chosen = precision.choose("auto")
    assert chosen.name in ("float32", "bfloat16")
    assert f"precision {chosen.name}: a small step takes" in caplog.text


def test_an_unknown_precision_is_a_configuration_error():
    with pytest.raises(ConfigError, match=r"'int8'.*float32, bfloat16, float16"):
        precision.choose("int8")
