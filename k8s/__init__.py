"""What passes between a person and a cluster: manifests as data, for `kubectl` and the launcher.

`jobs/` holds one skeleton per kind of job, `namespace/` what a namespace needs once. Every file
is a valid manifest as it stands; `launcher/manifests/render.py` fills the leaves.
"""

import os

_FOLDER = os.path.dirname(os.path.abspath(__file__))


def read(path: str) -> str:
    """Give the text of a manifest, for example `jobs/tfjob.yaml`."""
    with open(os.path.join(_FOLDER, path), encoding="utf-8") as file:
        return file.read()


def namespace_files() -> list[str]:
    """Name the manifests that a namespace needs once, in the order in which to apply them."""
    folder = os.path.join(_FOLDER, "namespace")
    return [f"namespace/{name}" for name in sorted(os.listdir(folder)) if name.endswith(".yaml")]
