"""Checkpoints and logits made by TF-Slim itself, for comparison with ours."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import tf_slim as slim
    from tf_slim.nets import vgg

from job.model import shapes

tf1 = tf.compat.v1
VERSIONS = {"V1": tf1.train.SaverDef.V1, "V2": tf1.train.SaverDef.V2}


@dataclass(frozen=True)
class SlimNetwork:
    """What slim computed, and where it saved its weights."""

    images: np.ndarray  # float32 [batch, height, width, 3]
    logits: np.ndarray  # float32 [batch, classes]: mean of the score map
    prefixes: dict[str, str]  # by format, V1 and V2


def narrow_vgg_19(images, classes, width_multiplier):
    """slim's vgg_19 line by line, with other widths; gives the score map."""

    def width(channels):
        return shapes.scaled_width(channels, width_multiplier)

    with tf1.variable_scope("vgg_19"):
        net = slim.repeat(images, 2, slim.conv2d, width(64), [3, 3], scope="conv1")
        net = slim.max_pool2d(net, [2, 2], scope="pool1")
        net = slim.repeat(net, 2, slim.conv2d, width(128), [3, 3], scope="conv2")
        net = slim.max_pool2d(net, [2, 2], scope="pool2")
        net = slim.repeat(net, 4, slim.conv2d, width(256), [3, 3], scope="conv3")
        net = slim.max_pool2d(net, [2, 2], scope="pool3")
        net = slim.repeat(net, 4, slim.conv2d, width(512), [3, 3], scope="conv4")
        net = slim.max_pool2d(net, [2, 2], scope="pool4")
        net = slim.repeat(net, 4, slim.conv2d, width(512), [3, 3], scope="conv5")
        net = slim.max_pool2d(net, [2, 2], scope="pool5")
        net = slim.conv2d(net, width(4096), [7, 7], padding="VALID", scope="fc6")
        net = slim.conv2d(net, width(4096), [1, 1], scope="fc7")
        return slim.conv2d(
            net, classes, [1, 1], activation_fn=None, normalizer_fn=None, scope="fc8"
        )


def make(folder: Path, *, classes: int, size: tuple[int, int], width_multiplier=None, batch=2):
    """Save a random network of slim's in both formats, as its trainer would.

    Without a width_multiplier it is slim's own vgg_19 function.
    """
    images = np.random.default_rng(0).uniform(-124, 152, (batch, *size, 3)).astype(np.float32)
    with tf.Graph().as_default(), tf1.Session() as session, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tf1.set_random_seed(1)
        inputs = tf1.placeholder(tf.float32, [None, *size, 3])
        # Slim starts biases at 0, which would hide one that is not loaded.
        random_biases = slim.arg_scope(
            [slim.conv2d], biases_initializer=tf1.random_normal_initializer()
        )
        with slim.arg_scope(vgg.vgg_arg_scope()), random_biases:
            if width_multiplier is None:
                scores, _ = vgg.vgg_19(inputs, classes, is_training=False, spatial_squeeze=False)
            else:
                scores = narrow_vgg_19(inputs, classes, width_multiplier)
        tf1.get_variable("vgg_19/mean_rgb", initializer=tf.constant([123.68, 116.78, 103.94]))
        tf1.train.create_global_step()
        session.run(tf1.global_variables_initializer())
        logits = session.run(tf.reduce_mean(scores, [1, 2]), {inputs: images})
        prefixes = {}
        for version, number in VERSIONS.items():
            saver = tf1.train.Saver(write_version=number)
            (folder / version).mkdir(parents=True)
            prefixes[version] = saver.save(
                session, str(folder / version / "vgg_19.ckpt"), write_meta_graph=False
            )
    return SlimNetwork(images, logits, prefixes)
