"""Makes the files beside it, with torch and torchvision (neither is needed to run the tests).

    python tests/job/model/torch_vgg19/make.py

A narrow VGG19 of torchvision's own layers with random weights, saved in the ways that people have
it, and what it computes of two images. In 2017 torchvision's weights were Parameters, and tensors
were rebuilt by another function; both are imitated here.
"""

from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
import torchvision
from torch import nn

HERE = Path(__file__).parent
WIDTH, HIDDEN, CLASSES, WINDOW = 8, 20, 6, 7
BLOCKS = (2, 2, 4, 4, 4)


class Narrow(nn.Module):
    """torchvision.models.VGG with other widths."""

    def __init__(self):
        super().__init__()
        layers = [item for count in BLOCKS for item in [*[WIDTH] * count, "M"]]
        self.features = torchvision.models.vgg.make_layers(layers)
        self.avgpool = nn.AdaptiveAvgPool2d((WINDOW, WINDOW))
        self.classifier = nn.Sequential(
            nn.Linear(WIDTH * WINDOW**2, HIDDEN),
            nn.ReLU(True),
            nn.Dropout(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.ReLU(True),
            nn.Dropout(),
            nn.Linear(HIDDEN, CLASSES),
        )

    def forward(self, images):
        features = self.avgpool(self.features(images))
        return self.classifier(torch.flatten(features, 1))


def random_network():
    torch.manual_seed(0)
    network = Narrow().eval()
    with torch.no_grad():
        for name, value in network.named_parameters():
            if name.endswith("bias"):
                value.copy_(0.02 * torch.randn_like(value))
            elif value.dim() == 4:
                spread = 1.25 * (2 / value[0].numel()) ** 0.5
                value.copy_(spread * torch.randn_like(value))
    return network


def main():
    network = random_network()
    random = np.random.default_rng(1)
    images = random.integers(0, 256, (2, WINDOW, WINDOW, 3)).astype(np.uint8)
    pixels = torch.tensor(images.repeat(32, 1).repeat(32, 2)).permute(0, 3, 1, 2) / 255
    seen = torchvision.transforms.functional.normalize(
        pixels, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    )
    with torch.no_grad():
        np.savez(HERE / "expected.npz", images=images, logits=network(seen).numpy())
    torch.save(nn.Linear(2, 2), HERE / "whole_model.pth")
    tensors = network.state_dict()
    torch.save(tensors, HERE / "today.pth")
    halves = {f"module.{name}": value.half() for name, value in tensors.items()}
    torch.save({"epoch": 3, "state_dict": halves}, HERE / "script.pth")
    torch.Tensor.__reduce_ex__ = lambda tensor, _: (
        torch._utils._rebuild_tensor,
        (tensor._typed_storage(), tensor.storage_offset(), tuple(tensor.size()), tensor.stride()),
    )
    nn.Parameter.__reduce_ex__ = lambda parameter, _: (
        nn.Parameter,
        (parameter.data,),
        (True, False, OrderedDict()),
    )
    torch.save(
        network.state_dict(keep_vars=True),
        HERE / "2017.pth",
        _use_new_zipfile_serialization=False,
    )


if __name__ == "__main__":
    main()
