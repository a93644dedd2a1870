"""VGG19 in PyTorch, channels_last, in float32 and under bfloat16 autocast.

Runs in a virtual environment that has torch; it needs nothing else.
"""

import torch
from torch import nn

from tests.benchmarks.step_server import BATCH, CLASSES, IMAGE_PX, serve


def vgg19() -> nn.Module:
    """The network of torchvision's vgg19, which is slim's."""
    layers: list[nn.Module] = []
    width = 3
    for channels, repeats in ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4)):
        for _ in range(repeats):
            layers += [nn.Conv2d(width, channels, 3, padding=1), nn.ReLU(inplace=True)]
            width = channels
        layers.append(nn.MaxPool2d(2))
    layers += [nn.Flatten(), nn.Linear(512 * 7 * 7, 4096), nn.ReLU(inplace=True), nn.Dropout()]
    layers += [nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Dropout()]
    return nn.Sequential(*layers, nn.Linear(4096, CLASSES))


def make_steps():
    """One model and optimizer for both precisions; returns what takes a step of each."""
    torch.manual_seed(0)
    model = vgg19().to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-4)
    images = torch.randint(0, 256, (BATCH, 3, IMAGE_PX, IMAGE_PX)).float() - 120.0
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, CLASSES, (BATCH,))

    def take(*, autocast: bool) -> float:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            loss = nn.functional.cross_entropy(model(images).float(), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return {"bfloat16": lambda: take(autocast=True), "float32": lambda: take(autocast=False)}


if __name__ == "__main__":
    serve(make_steps())
