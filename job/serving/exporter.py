"""Export: a checkpoint as a SavedModel that takes encoded images.

The model directory appears whole or not at all (`job/storage/atomic_folder.py`). Beside the
SavedModel it holds model.json, written last: what the model is, and the SHA-256 of every file.
"""

import logging
import os
import tempfile

import tensorflow as tf

import job
from job import storage
from job.contract import layout, schema
from job.contract.configs import ExportConfig, to_dict
from job.contract.errors import ConfigError
from job.dataset.description import Dataset, load_dataset
from job.model.trained import TrainedModel, load_trained_model
from job.run import evaluations
from job.run.checkpoints import sha256_of_file
from job.run.directory import Run, check_classes, load_run
from job.serving import quantised
from job.serving.model_files import Int8Network, ModelFacts, ModelFile
from job.serving.saved_model import ServingModel, dense_size_px
from job.storage import atomic_folder

_log = logging.getLogger(__name__)


def export(config: ExportConfig) -> None:
    """Write a run's model.

    Raises:
        ConfigError: The model directory holds something already, and `overwrite` is not set.
        InputMissingError: There is no such run or checkpoint.
        DataError: The checkpoint is damaged.
    """
    _check_output(config)
    run = load_run(config.run)
    calibration = _calibration(config, run)
    trained = load_trained_model(run, config.checkpoint)
    with atomic_folder.staging_folder(config.output) as folder:
        precision, int8 = trained.precision(config.precision, otherwise="float32"), None
        if calibration is not None:
            precision = "float32"
            int8 = quantised.write(
                folder,
                trained.network,
                calibration,
                image_size_px=run.config.image_size_px,
                max_top1_loss=config.max_top1_loss,
            )
        save(trained, tf.dtypes.as_dtype(precision), folder)
        description = describe(trained, precision, folder, int8)
        manifest = schema.write(description)
        put = atomic_folder.replace_folder if config.overwrite else atomic_folder.commit_folder
        put(folder, config.output, layout.MODEL_FILE, manifest)
    _log.info(
        "exported step %d of %s (%d classes, %s, %.1f MB) to %s",
        trained.checkpoint.step,
        config.run,
        len(trained.run.classes),
        precision,
        sum(file.bytes for file in description.files.values()) / 1e6,
        config.output,
    )


def save(trained: TrainedModel, compute_dtype: tf.DType, folder: str) -> None:
    """Write the SavedModel alone into a local folder."""
    with tempfile.TemporaryDirectory(prefix="classes-") as scratch:
        classes_file = os.path.join(scratch, layout.CLASSES_FILE)
        with open(classes_file, "w", encoding="utf-8") as file:
            file.writelines(f"{name}\n" for name in trained.run.classes)
        model = ServingModel(
            trained.network,
            trained.run.classes,
            image_size_px=trained.run.config.image_size_px,
            compute_dtype=compute_dtype,
            classes_file=classes_file,
        )
        tf.saved_model.save(model, folder, signatures=model.signatures())


def _calibration(config: ExportConfig, run: Run) -> Dataset | None:
    """Read the dataset that int8 needs, and look for its tools, before any work is done."""
    if config.precision != "int8":
        return None
    quantised.require_tools()
    dataset = load_dataset(config.calibration_data)
    check_classes(run, dataset)
    return dataset


def describe(
    trained: TrainedModel, precision: str, folder: str, int8: Int8Network | None = None
) -> ModelFacts:
    """Give what model.json holds for the SavedModel in a folder, which has that arithmetic."""
    metrics = evaluations.metrics_of(trained.run.path, trained.checkpoint.manifest)
    run_config = trained.run.config
    return ModelFacts(
        run=trained.run.path,
        step=trained.checkpoint.step,
        metrics={name: value for name, value in metrics.items() if value is not None},
        dataset=trained.run.dataset_name,
        dataset_fingerprint=trained.run.dataset_fingerprint,
        classes=trained.run.classes,
        image_size_px=run_config.image_size_px,
        dense_size_px=dense_size_px(run_config.image_size_px),
        precision=precision,
        int8=int8,
        config=to_dict(run_config),
        software={"food101-vgg19": job.__version__, "tensorflow": tf.__version__},
        files={
            name: ModelFile(
                bytes=os.path.getsize(os.path.join(folder, name)),
                sha256=sha256_of_file(os.path.join(folder, name)),
            )
            for name in atomic_folder.files_below(folder)
        },
    )


def _check_output(config: ExportConfig) -> None:
    prefix = config.output.rstrip("/") + "/"
    there = [stat.path.removeprefix(prefix) for stat in storage.list_files(config.output)]
    foreign = [name for name in there if not layout.is_model_part(name)]
    if foreign:
        raise ConfigError(
            f"{config.output} holds {foreign[0]}, which is no part of a model; "
            "choose another --output"
        )
    if there and not config.overwrite:
        raise ConfigError(
            f"{config.output} holds a model already; choose another --output or give --overwrite"
        )
