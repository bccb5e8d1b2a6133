"""The model card beside best.ckpt: what a network is, what it was trained on, how well it does, where it ends."""

import inspect
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader

from cryoexp.models import name_of
from cryoexp.report.classes import class_of
from cryoexp.report.manifest import plain
from cryoexp.tasks.base import Task

CARD = "model_card.md"
OF_THE_MACHINE = ("data_dir", "num_workers")  # keys of a dataset that say nothing of the data


def write_card(task: Task, folder: Path, scores: dict[str, float], manifest: dict[str, Any], data: str) -> None:
    """Write checkpoints/model_card.md: a YAML block that programs can read, and a page for people.

    Everything in it is a fact of the run: nothing is claimed that was not measured.

    Args:
        task: trained; its hyperparameters hold the passport of its data.
        folder: the run folder.
        scores: flat, as in metrics.json.
        manifest: as in manifest.json.
        data: one line on the data.
    """
    recipe = {k: v for k, v in manifest["config"]["dataset"].items() if k not in OF_THE_MACHINE}
    facts = card_facts(task, scores, manifest)
    environment = Environment(loader=PackageLoader("cryoexp.report"), trim_blocks=True, lstrip_blocks=True)
    page = environment.get_template("card.md.j2").render(
        block=yaml.safe_dump(plain(facts), sort_keys=False, allow_unicode=True, width=110).strip(),
        does=inspect.getdoc(type(task)).splitlines()[0],  # type: ignore[union-attr]
        data=data,
        recipe=yaml.safe_dump(plain(recipe), sort_keys=False, allow_unicode=True, default_flow_style=None).strip(),
        worst=_worst(facts),
        run=folder.name,
        **facts,
    )
    (folder / "checkpoints").mkdir(exist_ok=True)
    (folder / "checkpoints" / CARD).write_text(page)


def read_card(path: Path) -> dict[str, Any]:
    """Read the facts of a model card."""
    return yaml.safe_load(path.read_text().split("---\n")[1])


def card_facts(task: Task, scores: dict[str, float], manifest: dict[str, Any]) -> dict[str, Any]:
    """Return the facts of a run that a user of its network needs, in plain values."""
    passport = task.hparams["data"]
    return {
        "task": type(task).__name__.lower(),
        "network": name_of(task.net),
        "parameters": manifest["parameters"],
        "sample": passport["sample"],
        "classes": passport.get("classes", []),
        "voxel_size": passport.get("voxel_size"),
        "box": passport.get("shape"),
        "contrast": passport.get("contrast"),
        "normalise": passport.get("normalise"),
        "simulated": "recipe" in task.info.made_by,
        "snr": {name: manifest[f"snr_{name}"] for name in ("requested", "box", "mask")},
        "seed": manifest["seed"],
        "metrics": {n: plain(round(v, 5)) for n, v in scores.items() if n.startswith(("val/", "test/"))},
        "command": manifest["command"],
        "git_commit": manifest["git_commit"],
        "versions": manifest["versions"],
        "finished": manifest["finished"],
    }


def _worst(facts: dict[str, Any]) -> tuple[str, str, float] | None:
    """Class, kind and value of the lowest test score of a single class; None where there is none."""
    test = {n.removeprefix("test/"): v for n, v in facts["metrics"].items() if n.startswith("test/") and v is not None}
    owned = [(class_of(name, facts["classes"]), name, value) for name, value in test.items()]
    of_class = [(owner, name.removesuffix(f"_{owner}"), value) for owner, name, value in owned if owner]
    return min(of_class, key=lambda row: row[2], default=None)
