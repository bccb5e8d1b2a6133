"""The story of one evaluation: the test table of a trained network on another dataset."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.table import Table

from cryoexp.cli import CONF
from cryoexp.config.build import build
from cryoexp.config.check import check_node
from cryoexp.config.keys import check_keys, read_keys, task_changes
from cryoexp.config.launch import make_trainer
from cryoexp.data import DataModule
from cryoexp.data.datamodule import SPLITS
from cryoexp.data.normalise import Normalise
from cryoexp.errors import ConfigError, DataError
from cryoexp.inference.output import whole_folder
from cryoexp.inference.particles import Particles
from cryoexp.inference.request import Request, Training, find_devices
from cryoexp.predict import manifest, say
from cryoexp.progress import console
from cryoexp.report.manifest import write_json
from cryoexp.restore import Trained, check_targets, restore
from cryoexp.tasks.classify.open_set import score_open_set, separate

Scores = dict[str, float]
DEALT = (
    "structures",
    "structure",
    "per_class",
    "images",
    "split",
    "path",
    "limit",
    "split_by",
)  # what decides which item is in which split


def evaluate(arguments: Sequence[str]) -> Scores:
    """Evaluate as ``key=value`` arguments ask for; see conf/evaluate.yaml.

    Returns:
        What metrics.json holds: ``test/accuracy`` and so on.

    Raises:
        CryoexpError: whatever is wrong with arguments, run or dataset; nothing is written then.
    """
    started = time.monotonic()
    keys, others = read_keys(arguments, CONF / "evaluate.yaml")
    check_keys(keys)
    if not isinstance(keys.open_set, bool):
        raise ConfigError(f"open_set={keys.open_set}: choose true or false")
    if keys.split not in (*SPLITS, "all"):
        raise ConfigError(f"split={keys.split}: choose one of {', '.join(SPLITS)}, all")
    device = find_devices(keys.device)[0]
    output = Path(keys.output).expanduser().resolve()
    with whole_folder(output, keys.overwrite) as folder:  # refused before any work is done
        changes, others = task_changes(others)
        trained = restore(keys.run, keys.checkpoint, changes)
        say(trained, [device])
        on = on_files if is_path(keys.dataset) else on_dataset
        scores, facts = on(trained, keys, others, device, folder)
        write_json(folder / "metrics.json", scores)
        facts["wall_s"] = round(time.monotonic() - started, 1)
        write_json(folder / "manifest.json", {**manifest(keys, trained), **facts})
    show(scores, trained.task.info.classes)
    console.print(str(output))
    return scores


def is_path(dataset: str) -> bool:
    """Whether a dataset is named by a path; names of conf/dataset go first.

    Raises:
        ConfigError: neither.
    """
    names = sorted(file.stem for file in (CONF / "dataset").glob("*.yaml"))
    if dataset in ("run", *names):
        return False
    if not Path(dataset).expanduser().exists():
        raise ConfigError(f"dataset={dataset}: no such path, nor one of run, {', '.join(names)}")
    return True


def on_files(
    trained: Trained, keys: DictConfig, others: Sequence[str], device: torch.device, folder: Path
) -> tuple[Scores, dict[str, Any]]:
    """Score the answers to a STAR table that holds the truth."""
    if keys.open_set:
        raise ConfigError("open_set=true is for a dataset of conf/dataset, not for one given by its path")
    if others:
        raise ConfigError(f"{' '.join(others)}: of no meaning for a dataset given by its path")
    if trained.task.takes_any_size:
        raise ConfigError(
            f"dataset={keys.dataset}: read tomograms with labels as dataset=tomograms_mrc dataset.path={keys.dataset}"
        )
    request = Request(
        input=keys.dataset,
        training=Training.from_passport(trained.passport),
        voxel_size=keys.voxel_size,
        contrast=keys.contrast,
        devices=(device,),
        batch_size=keys.batch_size,
    )
    particles = Particles(request)
    if keys.split != "all" and "cryoexpSplit" in particles.rows:
        particles.keep([i for i, name in enumerate(particles.rows["cryoexpSplit"]) if name == keys.split])
        if not len(particles):
            raise DataError(
                f"split={keys.split}: no row of the table has this cryoexpSplit. Give split=all for the rest"
            )
    truth = trained.task.truth(particles)
    for note in particles.notes:
        console.print(f"input   {note}")
    answers = trained.task.answers(particles, request)
    scores = trained.task.test_scores({"index": torch.arange(len(particles)), **truth, **answers})
    (folder / "predictions").mkdir()
    trained.task.write_answers(answers, particles, folder / "predictions")
    return {f"test/{name}": value for name, value in scores.items()}, {
        "items": len(particles),
        "input": particles.notes,
    }


def on_dataset(
    trained: Trained, keys: DictConfig, others: Sequence[str], device: torch.device, folder: Path
) -> tuple[Scores, dict[str, Any]]:
    """Score a split of a dataset of conf/dataset, or of the run's own."""
    if keys.split == "all" or keys.voxel_size or keys.contrast:
        raise ConfigError("split=all, voxel_size and contrast are for a dataset given by its path")
    config = dataset_config(trained, keys, others)
    check_node("dataset", config)
    data: DataModule = build(config)
    if data.sample != trained.task.needs_sample:
        raise ConfigError(
            f"dataset={keys.dataset} gives {data.sample}s, but the network was trained on {trained.task.needs_sample}s"
        )
    data.prepare_data()
    data.setup()
    open_set = separate(data, data.info.classes, trained.task.info.classes, keys.split) if keys.open_set else None
    fit(data, trained, open_set is not None)
    check_held_out(trained.config.dataset, config, keys.split)
    data.splits = {"test": open_set.known if open_set else data.splits[keys.split]}
    console.print(f"data    {data.describe()}")
    trainer = trainer_on(device)
    scores = dict(trainer.test(trained.task, datamodule=data, verbose=False)[0])
    more = trained.task.products(trained.task.results, data, folder) or {}
    scores |= {f"test/{name}": value for name, value in more.items()}
    if open_set:
        more = score_open_set(open_set, trained.task, data, device, keys.batch_size, folder)
        scores |= {f"test/{name}": value for name, value in more.items()}
    facts = {"dataset": OmegaConf.to_container(config, resolve=True)}
    return scores, facts | {f"snr_{name}": value for name, value in data.snr_measured.items()}


def dataset_config(trained: Trained, keys: DictConfig, others: Sequence[str]) -> DictConfig:
    """Compose the dataset's config; snr and seed are those of the run unless given.

    Raises:
        ConfigError: an argument that does not fit.
    """
    run = trained.config
    strange = [o for o in others if not o.lstrip("+~").startswith(("dataset.", "snr=", "seed=", "paths.data_dir="))]
    if strange:
        raise ConfigError(
            f"{' '.join(strange)}: neither one of {', '.join(map(str, keys))}, nor dataset.<key>, task.<key>, snr, seed"
        )
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            if keys.dataset != "run":
                given = [f"dataset={keys.dataset}", f"snr={run.snr}", f"seed={run.seed}", *others]
                return _with(compose("config", overrides=[*given, f"dataset.batch_size={keys.batch_size}"]).dataset, {})
            machine = compose("config", overrides=[o for o in others if o.startswith("paths.")]).paths
        check_targets(OmegaConf.to_container(run.dataset), (DataModule,))
        changes = {o.key_or_group: o.value() for o in OverridesParser.create().parse_overrides(list(others))}
        here = {"dataset.batch_size": keys.batch_size}
        if "data_dir" in run.dataset:
            here["dataset.data_dir"] = machine.data_dir
        if "train_items" in run.dataset:  # of the training split, which is not asked for
            here |= {"dataset.train_items": None, "dataset.online": False}
        changes = here | changes
        if "snr" in changes:
            if "snr" not in run.dataset:
                raise ConfigError(f"snr={changes['snr']}: the run's data are real and have noise of their own")
            changes.setdefault("dataset.snr", changes["snr"])
        own = {k.removeprefix("dataset."): v for k, v in changes.items() if k.startswith("dataset.")}
        return _with(run.dataset, own)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(f"dataset={keys.dataset}: {error}") from None


def check_held_out(trained_on: DictConfig, dataset: DictConfig, split: str) -> None:
    """Refuse to call items held out that the network may have learned from.

    Simulated items follow from dataset.seed and their number; among other items they are dealt to the splits anew.

    Raises:
        ConfigError: the same seed with other sizes, structures or shares.
    """
    if split == "train" or trained_on.get("seed") is None or trained_on.seed != dataset.get("seed"):
        return
    if trained_on._target_ != dataset._target_:
        return  # other data altogether
    for key in DEALT:
        if key in trained_on and key in dataset and trained_on[key] != dataset[key]:
            raise ConfigError(
                f"dataset.{key} is not that of the run, but dataset.seed={dataset.seed} is: the {split} split could "
                f"hold items of the training. Give dataset.seed={dataset.seed + 1}, or any other"
            )


def fit(data: DataModule, trained: Trained, open_set: bool = False) -> None:
    """Give a dataset the network's normalisation and order of classes.

    Args:
        data: opened dataset.
        trained: network.
        open_set: whether the classes may be others; what the network does not know gets the label -1.

    Raises:
        DataError: other classes, box, voxel size or contrast than in training.
    """
    info, passport, classes = data.info, trained.passport, trained.task.info.classes
    if set(info.classes) != set(classes) and trained.task.tells_classes and not open_set:
        raise DataError(
            f"the dataset's classes are {', '.join(info.classes)}; the network tells {', '.join(classes)} apart. "
            "They must be the same, in any order; open_set=true asks whether others are rejected"
        )
    if info.classes != classes and trained.task.takes_any_size:
        raise DataError(
            f"the dataset's classes are {', '.join(info.classes)}; the network's have another order: "
            f"{', '.join(classes)}. Give dataset.classes or dataset.labels in that order"
        )
    for key in ("voxel_size", "contrast") if trained.task.takes_any_size else ("shape", "voxel_size", "contrast"):
        here, there = getattr(info, key), passport[key]
        if here != there:
            raise DataError(
                f"the dataset's {key} is {here}, that of the training {there}. Give dataset.<key> to match, or write "
                "the dataset with scripts/simulate.py and give its path: files are brought to the network's scale"
            )
    data.normalise = Normalise(**passport["normalise"])
    if info.classes != classes and trained.task.tells_classes:
        masses = dict(zip(passport["classes"], passport["masses"], strict=False))  # real data have none
        masses |= dict(zip(info.classes, info.masses, strict=False))
        data.info = replace(info, classes=classes, masses=[masses[name] for name in classes if name in masses])
        _relabel(data, torch.tensor([classes.index(n) if n in classes else -1 for n in info.classes]))


def trainer_on(device: torch.device) -> pl.Trainer:
    """Make a trainer that only tests, in full precision."""
    index = "auto" if device.type == "cpu" else [device.index or 0]
    return make_trainer(
        precision="32-true",
        threads="auto",
        deterministic="warn",
        accelerator=device.type,
        devices=1 if device.type == "cpu" else index,
        logger=False,
        enable_checkpointing=False,
    )


def show(scores: Scores, classes: list[str]) -> None:
    """Print the scores, those of single classes as a table."""
    test = {name.removeprefix("test/"): value for name, value in scores.items()}
    kinds = [name.removesuffix(f"_{classes[0]}") for name in test if name.endswith(f"_{classes[0]}")] if classes else []
    of_class = {f"{kind}_{name}" for kind in kinds for name in classes}
    for name, value in test.items():
        if name not in of_class:
            console.print(f"test    {name:20s} {value:.4f}")
    if kinds:
        table = Table("class", *kinds, box=None, header_style="bold")
        for name in classes:
            table.add_row(name, *(f"{test.get(f'{kind}_{name}', float('nan')):.3f}" for kind in kinds))
        console.print(table)


def _with(config: DictConfig, changes: dict[str, Any]) -> DictConfig:
    """Return a resolved copy with some known keys changed."""
    plain: Any = OmegaConf.to_container(config, resolve=True)
    copy: DictConfig = OmegaConf.create(plain)
    OmegaConf.set_struct(copy, True)
    for key, value in changes.items():
        OmegaConf.update(copy, key, value)
    return copy


def _relabel(data: DataModule, order: torch.Tensor) -> None:
    """Let a dataset count its classes in another order."""
    finish = data.finish

    def finish_in_order(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        batch = finish(batch)
        return {**batch, "label": order.to(batch["label"].device)[batch["label"]]}

    setattr(data, "finish", finish_in_order)  # noqa: B010  (mypy does not let methods be assigned)
