"""What importing TensorFlow leaves on a terminal."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def run(code, *folders):
    path = os.pathsep.join(map(str, (*folders, ROOT)))
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"TF_ENABLE_ONEDNN_OPTS": "1", "PYTHONPATH": path},
    )


def test_tensorflow_is_imported_without_a_word_though_it_has_something_to_say():
    assert "oneDNN custom operations are on" in run("import tensorflow").stderr
    quiet = run("import job, tensorflow as tf; print(tf.constant(1).numpy())")
    assert (quiet.stdout, quiet.stderr) == ("1\n", "")


def test_other_words_and_errors_of_the_import_come_through(tmp_path):
    (tmp_path / "tensorflow.py").write_text(
        "import os\nos.write(2, b'a word of warning\\n')\nraise ImportError('a library is missing')"
    )
    result = run("import job, tensorflow", tmp_path)
    assert result.returncode == 1
    assert "a word of warning" in result.stderr
    assert "ImportError: a library is missing" in result.stderr
