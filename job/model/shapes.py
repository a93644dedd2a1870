"""The shape of every variable of VGG19, by slim's names; standard library only.

The network itself (job/model/vgg19.py), the plan of the gradient exchange and the launcher's
estimates of memory and traffic all read the architecture from here.
"""

import itertools
import math

from job.contract.errors import ConfigError

SCOPE = "vgg_19"
CONV_BLOCKS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))
"""Channels and number of 3x3 convolutions of the five blocks (Simonyan & Zisserman, column E)."""
HEADS = ("fc", "gap")
FC_WIDTH = 4096
FC6_WINDOW = 7
DOWNSAMPLING: int = 2 ** len(CONV_BLOCKS)
SMALLEST_WIDTH = 8

Shape = tuple[int, ...]


def scaled_width(channels: int, width_multiplier: float) -> int:
    """Scale a layer's width, never below 8 channels."""
    return max(SMALLEST_WIDTH, round(channels * width_multiplier))


def conv_layers(width_multiplier: float = 1.0) -> dict[str, Shape]:
    """Name the convolutions in order, each with its kernel (height, width, in, out)."""
    layers: dict[str, Shape] = {}
    channels_in = 3
    for block, (channels, repeats) in enumerate(CONV_BLOCKS, start=1):
        channels_out = scaled_width(channels, width_multiplier)
        for repeat in range(1, repeats + 1):
            name = f"{SCOPE}/conv{block}/conv{block}_{repeat}"
            layers[name] = (3, 3, channels_in, channels_out)
            channels_in = channels_out
    return layers


def head_layers(num_classes: int, head: str, width_multiplier: float = 1.0) -> dict[str, Shape]:
    """Name the fully connected layers in order, each with its kernel (height, width, in, out).

    Raises:
        ConfigError: for a head that does not exist, or without a class.
    """
    if num_classes < 1:
        raise ConfigError(f"num_classes {num_classes} must be at least 1")
    features = scaled_width(CONV_BLOCKS[-1][0], width_multiplier)
    if head == "gap":
        return {f"{SCOPE}/fc8": (1, 1, features, num_classes)}
    if head == "fc":
        hidden = scaled_width(FC_WIDTH, width_multiplier)
        return {
            f"{SCOPE}/fc6": (FC6_WINDOW, FC6_WINDOW, features, hidden),
            f"{SCOPE}/fc7": (1, 1, hidden, hidden),
            f"{SCOPE}/fc8": (1, 1, hidden, num_classes),
        }
    raise ConfigError(f"head {head!r} does not exist; choose one of {', '.join(HEADS)}")


def layer_shapes(num_classes: int, head: str, width_multiplier: float = 1.0) -> dict[str, Shape]:
    """Map the name of every variable to its shape, in the order of the forward pass.

    Weights are (height, width, in, out), also those of fully connected layers; biases (out,).

    Raises:
        ConfigError: for a head that does not exist, or without a class.
    """
    kernels = conv_layers(width_multiplier) | head_layers(num_classes, head, width_multiplier)
    pairs = (
        ((f"{layer}/weights", kernel), (f"{layer}/biases", kernel[-1:]))
        for layer, kernel in kernels.items()
    )
    return dict(itertools.chain.from_iterable(pairs))


def parameter_count(num_classes: int, head: str, width_multiplier: float = 1.0) -> int:
    """Count the trainable numbers of the network."""
    return sum(map(math.prod, layer_shapes(num_classes, head, width_multiplier).values()))


def smallest_image_px(head: str) -> int:
    """Say how small a square image may be: what leaves 7x7 features for fc6, or 1x1 for gap."""
    return DOWNSAMPLING * (FC6_WINDOW if head == "fc" else 1)
