"""The network: shapes, heads, taps, dropout, random start."""

import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_sample_images

from job.contract.errors import ConfigError
from job.images import preprocess
from job.model import shapes, vgg19
from job.model.vgg19 import VGG19, DropoutRows

NARROW = 0.01  # eight channels nearly everywhere


def images(batch, size, seed=0):
    values = np.random.default_rng(seed).uniform(-124, 152, (batch, size, size, 3))
    return tf.constant(values, tf.float32)


def rows(step, first=0, total=4):
    return DropoutRows(seed=tf.constant([7, step]), first=first, total=total)


@pytest.mark.parametrize("head", shapes.HEADS)
def test_variables_have_the_names_and_shapes_of_the_architecture(head):
    model = VGG19(5, head=head, width_multiplier=NARROW)
    made = {name: tuple(v.shape) for name, v in model.variables_by_name.items()}
    assert made == shapes.layer_shapes(5, head, NARROW)
    assert all(v.name == f"{name}:0" for name, v in model.variables_by_name.items())
    assert {v.ref() for v in model.trainable_variables} == {
        v.ref() for v in model.variables_by_name.values()
    }


@pytest.mark.parametrize(
    ("head", "size", "features"), [("fc", 224, 41), ("fc", 256, 41), ("gap", 32, 8), ("gap", 47, 8)]
)
def test_logits_and_embedding_have_one_row_per_image(head, size, features):
    model = VGG19(5, head=head, width_multiplier=NARROW)
    forward = model.forward(images(2, size), training=False)
    assert forward.logits.shape == (2, 5)
    assert forward.embedding.shape == (2, features)


@pytest.mark.parametrize(("head", "size"), [("fc", 223), ("gap", 31)])
def test_an_image_too_small_for_the_head_is_a_configuration_error(head, size):
    model = VGG19(5, head=head, width_multiplier=NARROW)
    with pytest.raises(ConfigError, match=f"{size}x{size} px are too small for head {head}"):
        model.forward(images(1, size), training=False)


@pytest.mark.parametrize("dtype", [tf.bfloat16, tf.float16])
def test_reduced_precision_gives_float32_logits_near_those_of_float32(dtype):
    model = VGG19(5, head="gap", width_multiplier=0.0625)
    exact = model.forward(images(2, 32), training=False).logits
    reduced = model.forward(images(2, 32), training=False, compute_dtype=dtype).logits
    assert reduced.dtype == tf.float32
    assert np.allclose(reduced, exact, atol=0.05 * float(tf.reduce_max(tf.abs(exact))))


@pytest.mark.parametrize(("head", "layers"), [("fc", ["fc6", "fc7", "fc8"]), ("gap", ["fc8"])])
def test_a_taps_factors_multiply_to_the_gradient_of_its_weights(head, layers):
    model = VGG19(5, head=head, width_multiplier=NARROW)
    with tf.GradientTape() as tape:
        forward = model.forward(images(3, 224), training=True, dropout=rows(0))
        loss = tf.reduce_sum(tf.nn.log_softmax(forward.logits)[:, 1])
    assert list(forward.taps) == [f"vgg_19/{layer}/weights" for layer in layers]
    outputs = {name: tap.outputs for name, tap in forward.taps.items()}
    weights = {name: model.variables_by_name[name] for name in forward.taps}
    gradients, deltas = tape.gradient(loss, [weights, outputs])
    for name, tap in forward.taps.items():
        product = tf.reshape(tf.transpose(tap.inputs) @ deltas[name], weights[name].shape)
        assert np.any(product)
        assert np.allclose(product, gradients[name], rtol=1e-4, atol=1e-6)


def test_layers_whose_output_is_larger_than_one_pixel_have_no_tap():
    model = VGG19(5, head="fc", width_multiplier=NARROW)
    assert model.forward(images(1, 256), training=False).taps == {}


def test_dropout_is_that_of_the_global_batch_however_the_batch_is_cut():
    model = VGG19(5, head="fc", width_multiplier=0.02)
    batch = images(4, 224)
    whole = model.forward(batch, training=True, dropout=rows(3)).logits
    parts = [
        model.forward(batch[at : at + 2], training=True, dropout=rows(3, first=at)).logits
        for at in (0, 2)
    ]
    assert np.allclose(whole, np.concatenate(parts), rtol=1e-4, atol=1e-4)
    other = model.forward(batch, training=True, dropout=rows(4)).logits
    assert not np.allclose(whole, other, rtol=1e-3)


def test_dropout_keeps_the_mean_and_differs_by_layer():
    model = VGG19(5, head="fc", width_multiplier=NARROW, dropout_rate=0.5)
    ones = tf.ones([64, 1, 1, 400])
    first, second = (model._drop(ones, rows(0, total=64), layer).numpy() for layer in (0, 1))
    assert set(np.unique(first)) == {0.0, 2.0}
    assert abs(first.mean() - 1.0) < 0.03
    assert (first != second).mean() > 0.4


def test_training_with_dropout_needs_rows_and_without_does_not():
    with pytest.raises(ValueError, match="DropoutRows"):
        VGG19(5, head="fc", width_multiplier=NARROW).forward(images(1, 224), training=True)
    plain = VGG19(5, head="fc", width_multiplier=NARROW, dropout_rate=0.0)
    trained = plain.forward(images(1, 224), training=True).logits
    assert np.array_equal(trained, plain.forward(images(1, 224), training=False).logits)


def test_random_weights_are_a_function_of_seed_and_name():
    one, same, other = (VGG19(5, head="gap", width_multiplier=0.03, seed=s) for s in (1, 1, 2))
    for name, variable in one.variables_by_name.items():
        assert np.array_equal(variable, same.variables_by_name[name])
        assert name.endswith("/biases") or not np.allclose(variable, other.variables_by_name[name])
    assert not np.allclose(
        one.variables_by_name["vgg_19/conv5/conv5_1/weights"],
        one.variables_by_name["vgg_19/conv5/conv5_2/weights"],
    )


@pytest.mark.parametrize(("head", "size", "width"), [("gap", 64, 0.25), ("fc", 224, 0.03)])
def test_logits_start_at_a_scale_that_can_be_trained(head, size, width):
    model = VGG19(10, head=head, width_multiplier=width)
    logits = model.forward(images(4, size), training=False).logits
    assert 0.01 < float(tf.math.reduce_std(logits)) < 10.0


def photographs(count, size):
    """Cut squares of many scales from the two photographs that scikit-learn brings."""
    rng = np.random.default_rng(0)
    squares = []
    for number in range(count):
        photograph = load_sample_images().images[number % 2]
        side = rng.integers(96, 400)
        top, left = (rng.integers(0, edge - side) for edge in photograph.shape[:2])
        square = photograph[top : top + side, left : left + side]
        squares.append(tf.image.resize(square, [size, size], method="area"))
    return preprocess.subtract_mean(tf.stack(squares))


@pytest.mark.parametrize("width", [0.125, 0.5])
def test_photographs_still_look_different_to_the_last_layer_at_the_start(width):
    """Where they look alike, as from He normal weights (0.99), training stays at chance."""
    model = VGG19(10, head="gap", width_multiplier=width)
    embedding = model.forward(photographs(16, 64), training=False).embedding
    directions = tf.math.l2_normalize(embedding, axis=1).numpy()
    cosines = (directions @ directions.T)[np.triu_indices(16, 1)]
    assert cosines.mean() < 0.965


def test_no_layers_gradient_outgrows_the_others_at_the_start():
    model = VGG19(10, head="gap", width_multiplier=0.125)
    weights = [v for name, v in model.variables_by_name.items() if name.endswith("weights")][:-1]
    with tf.GradientTape() as tape:
        logits = model.forward(photographs(10, 64), training=True).logits
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(range(10), logits))
    relative = [
        float(tf.norm(gradient) / tf.norm(weight))
        for gradient, weight in zip(tape.gradient(loss, weights), weights, strict=True)
    ]
    assert max(relative) < 10 * min(relative), relative


@pytest.mark.parametrize("shape", [(3, 3, 8, 8), (1, 1, 8, 8), (7, 7, 8, 8)])
def test_a_layer_that_keeps_its_width_starts_by_handing_on_what_it_gets(shape):
    kernel = vgg19._near_identity(shape, [1, 2])
    features = tf.constant(np.random.default_rng(0).uniform(size=(1, 9, 9, 8)), tf.float32)
    handed_on = tf.nn.conv2d(features, kernel, 1, "SAME")
    assert np.corrcoef(np.ravel(features), np.ravel(handed_on))[0, 1] > 0.8


def test_a_narrow_network_learns_from_scratch_without_batch_normalisation():
    """It tells ten noisy images apart after a few steps of momentum SGD."""
    model = VGG19(10, head="gap", width_multiplier=0.125)
    batch, labels = images(10, 32), tf.range(10)
    variables = list(model.variables_by_name.values())
    velocities = [tf.Variable(tf.zeros(v.shape)) for v in variables]

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            logits = model.forward(batch, training=True).logits
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        gradients, _ = tf.clip_by_global_norm(tape.gradient(loss, variables), 10.0)
        for variable, velocity, gradient in zip(variables, velocities, gradients, strict=True):
            velocity.assign(0.9 * velocity + gradient)
            variable.assign_sub(0.005 * velocity)
        return loss

    losses = [float(step()) for _ in range(120)]
    assert losses[-1] < 0.1 * losses[0]


@pytest.mark.parametrize(
    "make", [tf.distribute.MultiWorkerMirroredStrategy, tf.distribute.get_strategy]
)
def test_a_strategys_variables_hold_the_same_start(make):
    alone = VGG19(5, head="gap", width_multiplier=NARROW, seed=3)
    strategy = make()
    with strategy.scope():
        model = VGG19(5, head="gap", width_multiplier=NARROW, seed=3)
    for name, variable in alone.variables_by_name.items():
        assert np.array_equal(variable, model.variables_by_name[name])
