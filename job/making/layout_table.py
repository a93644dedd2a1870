"""The arrangements of images that are recognised, as help and refusals name them."""

from collections.abc import Mapping

LAYOUTS: Mapping[str, str] = {
    "class folders": "pizza/1.jpg soup/2.jpg",
    "ImageFolder (Keras, Roboflow)": "train/pizza/1.jpg val/pizza/2.jpg test/soup/3.jpg",
    "Food-101": "images/pizza/1.jpg meta/classes.txt meta/train.txt meta/test.txt",
    "Hugging Face imagefolder": "metadata.csv (file_name,label) train/1.jpg",
    "Hugging Face Parquet": "train-00000-of-00002.parquet (image,label) test-*.parquet",
    "WebDataset": "train-0000.tar (1.jpg 1.cls, or 1.json with a label) test-0000.tar",
    "TFDS": "food101-train.tfrecord-00000-of-00032 label.labels.txt",
    "list": "labels.csv or .tsv, .jsonl, .txt (path,label[,split])",
}
"""What is recognised, each with an example of its files; folders of images in archives too."""


def as_table() -> str:
    """Write the layouts as lines of a table: name, example."""
    width = max(map(len, LAYOUTS)) + 2
    rows = [f"  {name:{width}}{example}" for name, example in LAYOUTS.items()]
    return "\n".join(["layouts of --source:", *rows])
