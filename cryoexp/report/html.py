"""report.html: one self-contained page, no network."""

import base64
import csv
import json
import math
import shlex
import struct
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, select_autoescape
from markupsafe import Markup

from cryoexp.report.classes import ABSENT, class_of, class_rows, written
from cryoexp.report.manifest import plain
from cryoexp.slices.stack import SUFFIX as SLICES
from cryoexp.view3d.scene import SUFFIX as VIEW

TITLES = {
    "curves": "Training",
    "overlays": "Truth and prediction",
    "dice": "Dice by class",
    "precision_recall": "Precision against recall",
    "confusion_matrix": "Confusion matrix",
    "class_scores": "Classes by mass",
    "roc_pr": "ROC and precision-recall",
    "reliability": "Calibration",
    "coverage": "Rejecting the uncertain",
    "embedding": "Map of the embeddings",
    "mistakes": "The surest mistakes",
    "reconstruction": "The reconstruction, and from where it was seen",
    "errors": "Orientation errors",
    "distances": "Distances between pairs",
    "directions": "Viewing directions",
    "fsc": "Fourier shell correlation",
    "slices": "Truth and reconstruction",
    "examples": "Examples from the test split",
}
HEADLINES = 4  # scores shown large
# those that tell a task's story, in this order; others fill up
CHOSEN = (
    "accuracy", "balanced_accuracy", "f1_macro",
    "e_so3_median_deg", "pairs_e_so3_median_deg", "regression_e_so3_median_deg", "distance_mae_rad",
    "miou", "dice", "surface_error_vox",
    "f1", "precision", "recall", "center_error_vox",
)  # fmt: skip
WRITTEN = {"e so3": "E_SO3", "e o4": "E_O4", "distance mae": "distance MAE", "miou": "mIoU"}
UNITS = {"_deg": "°", "_rad": " rad", "_vox": " voxels", "_angstrom": " Å"}  # that names of scores end with
ROWS = 6  # of each table of predictions
KINDS = 5  # scores a class, beyond which their table takes the whole page
WIDE, LARGE = 1.8, 1300  # width over height, or pixels, from which a figure takes the whole page


def write_page(
    folder: Path,
    scores: dict[str, float],
    manifest: dict[str, Any],
    data: str,
    *,
    course: list[dict[str, float]],
    objective: str,
    classes: list[str],
) -> None:
    """Write the page from what the run folder holds.

    Args:
        folder: the run folder; its figures/*.png, *.view.json and *.slices.json are embedded, the first rows of
            its predictions/*.csv shown.
        scores: flat, as in metrics.json.
        manifest: as in manifest.json.
        data: one line on the data.
        course: a row of scores an epoch.
        objective: score that has a curve of its own.
        classes: names that end the names of their scores.
    """
    environment = Environment(loader=PackageLoader("cryoexp.report"), autoescape=select_autoescape(["html", "j2"]))
    page = environment.get_template("page.html.j2").render(
        title=folder.name,
        task=manifest["config"]["task"]["_target_"].rpartition(".")[2].lower(),
        data=data,
        facts=_facts(manifest),
        headline=_headline(scores, classes),
        course=plain(course),
        objective=objective,
        figures=[_figure(path) for path in _found(folder, "*.png") if not _is_still(path)],
        views=[_view(path) for path in _found(folder, f"*{VIEW}")],
        slices=[_slices(path) for path in _found(folder, f"*{SLICES}")],
        classes=_by_class(scores, classes),
        tables=_tables(folder),
        commands=_commands(folder, manifest),
        scores={name: written(value, 4) for name, value in scores.items()},
        config=yaml.safe_dump(plain(manifest["config"]), sort_keys=False),
        manifest=_pairs({k: v for k, v in manifest.items() if k != "config"}),
        files=_files(folder),
    )
    path = folder / "report.html.part"
    path.write_text(page, encoding="utf-8")
    path.replace(folder / "report.html")


def _facts(manifest: dict[str, Any]) -> dict[str, str]:
    """What a reader wants to know first, as far as it is known."""
    found = {name: manifest.get(name) for name in ("parameters", "device", "seed", "wall_s", "git_commit", "finished")}
    shown = {
        "parameters": f"{found['parameters']:,}" if found["parameters"] else None,
        "device": found["device"],
        "seed": str(found["seed"]) if found["seed"] is not None else None,
        "took": _duration(found["wall_s"]) if found["wall_s"] is not None else None,
        "commit": _commit(found["git_commit"]) if found["git_commit"] else None,
        "finished": found["finished"],
    }
    return {name: value for name, value in shown.items() if value}


def _headline(scores: dict[str, float], classes: list[str]) -> list[dict[str, str]]:
    """Scores of the test that are not of a single class, each with that of validation; the telling ones first."""
    names = [n.removeprefix("test/") for n in scores if n.startswith("test/") and not class_of(n, classes)]
    names = [n for n in names if n != "loss" and not n.endswith(("_low", "_high"))]
    chosen = [n for n in CHOSEN if n in names]
    return [
        {
            "name": "test " + _without_unit(name),
            "value": _with_unit(scores["test/" + name], name),
            "val": _with_unit(scores["val/" + name], name) if "val/" + name in scores else "",
            "interval": _interval(scores, name),
        }
        for name in [*chosen, *(n for n in names if n not in chosen)][:HEADLINES]
    ]


def _without_unit(name: str) -> str:
    ends = [end for end in UNITS if name.endswith(end)]
    name = name.removesuffix(*ends or [""]).replace("_", " ")
    for plain_name, better in WRITTEN.items():
        name = name.replace(plain_name, better)
    return name


def _with_unit(value: float, name: str) -> str:
    if math.isnan(value):
        return ABSENT
    unit = next((unit for end, unit in UNITS.items() if name.endswith(end)), "")
    return f"{value:.2f}{unit}" if unit == "°" else f"{value:.3f}{unit}"


def _interval(scores: dict[str, float], name: str) -> str:
    """Both ends of a score's interval, where it has one."""
    low, high = scores.get(f"test/{name}_low"), scores.get(f"test/{name}_high")
    return "" if low is None or high is None else f"{_with_unit(low, name)} … {_with_unit(high, name)}"


def _by_class(scores: dict[str, float], classes: list[str]) -> dict[str, Any]:
    """Scores of the test named ``<kind>_<class>``, a row a class."""
    test = {name.removeprefix("test/"): value for name, value in scores.items() if name.startswith("test/")}
    kinds, of_class = class_rows(test, classes)
    rows = [{"name": name, "scores": [_cell(value) for value in values]} for name, values in of_class.items()]
    return {"kinds": [kind.replace("_", " ") for kind in kinds], "rows": rows, "wide": len(kinds) > KINDS}


def _cell(value: float | None) -> dict[str, Any]:
    """A score as written, and how dark its cell is."""
    share = None if value is None or math.isnan(value) else min(max(value, 0.0), 1.0)
    return {"text": written(value), "share": share}


def _tables(folder: Path) -> list[dict[str, Any]]:
    """First rows of the tables of predictions; one that is also a figure is left out."""
    found = []
    for path in sorted((folder / "predictions").glob("*.csv")):
        # those of single tomograms are many
        if (folder / "figures" / f"{path.stem}.png").is_file() or "__" in path.stem:
            continue
        with path.open(newline="", encoding="utf-8") as file:
            lines = [row for row in csv.reader(file) if row]
        if len(lines) > 1:
            # what was asked for, and the answers, before the columns that came with the items
            order = sorted(range(len(lines[0])), key=lambda i: (i > 0, not lines[0][i].startswith("cryoexp")))
            lines = [[row[i] for i in order] for row in lines]
            rows = [[{"full": value, "short": _shortened(value)} for value in row] for row in lines[1 : ROWS + 1]]
            more = f"The first {len(rows)} of {len(lines) - 1:,} rows of predictions/{path.name}"
            name = path.stem.replace("_", " ").capitalize()
            found.append({"name": name, "header": lines[0], "rows": rows, "more": more})
    return found


def _commands(folder: Path, manifest: dict[str, Any]) -> dict[str, str]:
    """What to type to go on from here."""
    run = shlex.quote(str(folder))
    settings = [o for o in manifest.get("overrides", []) if not o.startswith(("overwrite=", "ckpt_path="))]
    repeat = shlex.join(["python", "train.py", *settings])
    return {
        "as typed": manifest["command"],
        "repeat": repeat,
        "resume": f"{repeat} ckpt_path=last hydra.run.dir={run}",
        "predict": f"python scripts/predict.py run={run} input=<file, glob or dataset> output=<folder>",
        "evaluate": f"python scripts/evaluate.py run={run} output=<folder> dataset=<name or folder>",
    }


def _figure(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    width, height = struct.unpack(">II", content[16:24])  # PNG keeps them there
    return {
        "stem": path.stem,
        "title": _title(path),
        "wide": width > min(WIDE * height, LARGE),
        "source": _embedded(content),
    }


def _view(path: Path) -> dict[str, Any]:
    """A scene as written by `cryoexp.view3d`, with its picture for browsers that cannot turn it."""
    return {"title": _title(path), "scene": _script(path.read_text(encoding="utf-8")), "picture": _still(path)}


def _slices(path: Path) -> dict[str, Any]:
    """Slices as written by `cryoexp.slices`, with a picture of a few for browsers without scripts."""
    text = path.read_text(encoding="utf-8")
    title = json.loads(text)["title"] or _title(path)
    return {"title": title, "data": _script(text), "picture": _still(path)}


def _script(text: str) -> Markup:
    """JSON that cannot end the script that holds it: only strings hold a ``<``."""
    return Markup(text.replace("<", "\\u003c"))


def _still(path: Path) -> str:
    """The picture beside a scene or slices, empty where there is none."""
    picture = path.with_name(f"{_stem(path)}.png")
    return _embedded(picture.read_bytes()) if picture.is_file() else ""


def _is_still(path: Path) -> bool:
    """Tell whether a picture is one of a scene or of slices, shown with it."""
    return any(path.with_name(path.stem + suffix).is_file() for suffix in (VIEW, SLICES))


def _embedded(content: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(content).decode()


def _title(path: Path) -> str:
    return TITLES.get(_stem(path), _stem(path).replace("_", " ").capitalize())


def _stem(path: Path) -> str:
    return path.name.removesuffix(VIEW).removesuffix(SLICES).removesuffix(".png")


def _found(folder: Path, pattern: str) -> list[Path]:
    """Figures in the order of their titles."""
    return sorted((folder / "figures").glob(pattern), key=_order)


def _order(path: Path) -> tuple[int, str]:
    known = list(TITLES)
    return (known.index(_stem(path)) if _stem(path) in known else len(known), _stem(path))


def _pairs(manifest: dict[str, Any]) -> dict[str, str]:
    """One line a value; those of a group on one line."""
    shown = {}
    for name, value in plain(manifest).items():
        if isinstance(value, dict):
            value = ", ".join(f"{k} {v}" for k, v in value.items())
        elif isinstance(value, list):
            value = "  ".join(map(str, value))
        shown[name] = "–" if value is None else str(value)
    return shown


def _files(folder: Path) -> list[str]:
    """Name what lies in the run folder beside the page."""
    known = [folder / name for name in ("metrics.json", "manifest.json", "checkpoints", "predictions", "figures")]
    inner = [f for path in known for f in (sorted(path.glob("*")) if path.is_dir() else [path]) if f.is_file()]
    return [str(f.relative_to(folder)) for f in inner]


def _shortened(value: str) -> str:
    """A file's path without its middle."""
    return value if len(value) <= 40 else f"{value[:10]}…{value[-24:]}"


def _commit(commit: str) -> str:
    number, _, rest = commit.partition("-")
    return f"{number[:9]}-{rest}" if rest else number[:9]


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
