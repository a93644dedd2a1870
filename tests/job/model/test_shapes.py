"""The architecture as plain numbers."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from job.contract.errors import ConfigError
from job.model import shapes as vgg19_shapes


def test_names_are_those_of_slims_checkpoint():
    names = list(vgg19_shapes.layer_shapes(1000, "fc"))
    assert len(names) == 38
    assert names[:2] == ["vgg_19/conv1/conv1_1/weights", "vgg_19/conv1/conv1_1/biases"]
    assert "vgg_19/conv5/conv5_4/biases" in names
    assert names[-2:] == ["vgg_19/fc8/weights", "vgg_19/fc8/biases"]


def test_sizes_are_the_published_ones():
    shapes = vgg19_shapes.layer_shapes(1000, "fc")
    assert shapes["vgg_19/fc6/weights"] == (7, 7, 512, 4096)
    assert vgg19_shapes.parameter_count(1000, "fc") == 143_667_240
    assert vgg19_shapes.parameter_count(101, "fc") == 139_984_037
    assert vgg19_shapes.parameter_count(101, "gap") == 20_076_197


@given(
    st.integers(1, 2000),
    st.sampled_from(vgg19_shapes.HEADS),
    st.floats(0.01, 4.0),
)
def test_every_width_fits_the_one_before_and_is_at_least_eight(classes, head, multiplier):
    shapes = vgg19_shapes.layer_shapes(classes, head, multiplier)
    width = 3
    for name, shape in shapes.items():
        if name.endswith("/weights"):
            assert shape[2] == width
            width = shape[3]
            assert width >= 8 or name == "vgg_19/fc8/weights"
        else:
            assert shape == (width,)
    assert width == classes
    assert math.prod(shapes["vgg_19/fc8/biases"]) == classes


def test_the_smallest_image_leaves_what_the_head_needs():
    assert vgg19_shapes.smallest_image_px("fc") == 224
    assert vgg19_shapes.smallest_image_px("gap") == 32


def test_an_unknown_head_or_no_class_is_a_configuration_error():
    with pytest.raises(ConfigError, match=r"head 'conv'.*fc, gap"):
        vgg19_shapes.layer_shapes(10, "conv")
    with pytest.raises(ConfigError, match="num_classes 0"):
        vgg19_shapes.layer_shapes(0, "gap")
