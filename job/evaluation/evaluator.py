"""Evaluation of a checkpoint: every image of a split once, as metrics.json and report.html."""

import datetime
import logging
import math
import os
import time
from collections.abc import Iterable, Iterator

import tensorflow as tf
from tqdm import tqdm

from job.contract import layout
from job.contract.configs import EvaluateConfig, to_dict
from job.dataset import batches as input_pipeline
from job.dataset.batches import Batch
from job.dataset.description import Dataset, load_dataset
from job.distributed import devices
from job.distributed.cluster import SINGLE
from job.distributed.strategy import connect
from job.evaluation import report
from job.evaluation.counts import Tally, count
from job.evaluation.metrics import judge, most_confused
from job.evaluation.passes import Predictions, Scorer
from job.evaluation.report import ConfusedPair, Subject
from job.evaluation.shown_examples import Gallery, hardest, of_confusion
from job.evaluation.verdicts import percent
from job.model import precision
from job.model.trained import TrainedModel, load_trained_model
from job.run.directory import Run, check_classes, load_run

SHOWN_PAIRS = 12
SHOWN_OF_A_PAIR = 6
SHOWN_HARDEST = 24
_log = logging.getLogger(__name__)


def evaluate(config: EvaluateConfig) -> None:
    """Score a split and write its report.

    Raises:
        InputMissingError: There is no such run, checkpoint or dataset.
        ConfigError: The dataset has other classes than the run.
        DataError: A damaged file or record, or a split without examples.
        DivergedError: The checkpoint gives logits that are not finite.
    """
    dataset = load_dataset(config.data)
    dataset.split(config.split)
    run = load_run(config.run)
    check_classes(run, dataset)
    # All GPUs of this machine and no other: evaluation is short, and none of a cluster's workers.
    strategy = connect(SINGLE, run.config, devices.prepare(os.environ))
    trained = load_trained_model(run, config.checkpoint, strategy)
    chosen = precision.choose(trained.precision(config.precision, otherwise="auto"))
    started = time.monotonic()
    predictions = _predict(config, dataset, trained, strategy, chosen.compute_dtype)
    seconds = time.monotonic() - started
    tally = count(predictions.logits, predictions.labels)
    subject = Subject(
        run=config.run,
        step=trained.checkpoint.step,
        checkpoint=trained.checkpoint.path,
        data=config.data,
        dataset=dataset.name,
        split=config.split,
        image_size_px=run.config.image_size_px,
        precision=chosen.name,
        batch_size=config.batch_size,
        seconds=seconds,
        finished_at=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )
    html = _page(config, subject, dataset, run, predictions)
    folder = config.output or layout.report_dir(config.run)
    report.write(folder, report.metrics_document(subject, dataset.classes, tally), html)
    _say(subject, tally, folder)


def _predict(
    config: EvaluateConfig,
    dataset: Dataset,
    trained: TrainedModel,
    strategy: tf.distribute.Strategy,
    compute_dtype: tf.DType,
) -> Predictions:
    scorer = Scorer(trained.network, compute_dtype, strategy, strategy.num_replicas_in_sync)
    batches = input_pipeline.evaluation_batches(
        dataset,
        config.split,
        image_size_px=trained.run.config.image_size_px,
        batch_size=config.batch_size,
        cache_dir=config.cache_dir,
        cache_size_gb=config.cache_size_gb,
        worker=0,
        num_workers=1,
    )
    return scorer.predict(_with_progress(batches, dataset.split(config.split).examples))


def _with_progress(batches: Iterable[Batch], examples: int) -> Iterator[Batch]:
    # disable=None: a bar on a terminal, nothing in a log file.
    with tqdm(total=examples, unit=" images", disable=None, dynamic_ncols=True) as bar:
        for batch in batches:
            yield batch
            bar.update(int(tf.math.count_nonzero(batch["weights"])))


def _page(
    config: EvaluateConfig, subject: Subject, dataset: Dataset, run: Run, predictions: Predictions
) -> str:
    tally = count(predictions.logits, predictions.labels)
    with Gallery(
        dataset,
        config.split,
        predictions,
        image_size_px=subject.image_size_px,
        cache_dir=config.cache_dir,
        cache_size_gb=config.cache_size_gb,
    ) as gallery:
        return report.page(
            subject,
            dataset.classes,
            tally,
            hardest=gallery.show(hardest(predictions, SHOWN_HARDEST)),
            pairs=[
                ConfusedPair(
                    confusion,
                    gallery.show(of_confusion(predictions, confusion, SHOWN_OF_A_PAIR)),
                )
                for confusion in most_confused(tally, SHOWN_PAIRS)
            ],
            config=to_dict(run.config),
        )


def _say(subject: Subject, tally: Tally, folder: str) -> None:
    quality = judge(tally)
    for name, share in (("top-1", quality.top1), ("top-5", quality.top5)):
        lower, upper = share.interval
        _log.info(
            "%s  %s  (95 %% interval %s to %s)",
            name,
            percent(share.value, 2),
            percent(lower, 2),
            percent(upper, 2),
        )
    _log.info(
        "step %d on %d images of %s/%s in %s: %.1f images/s",
        subject.step,
        quality.examples,
        subject.dataset,
        subject.split,
        subject.precision,
        quality.examples / subject.seconds if subject.seconds else math.inf,
    )
    _log.info("report: %s", layout.report_file(folder))
