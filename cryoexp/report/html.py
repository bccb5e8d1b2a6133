"""report.html: one self-contained page, no network."""

import base64
import json
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, select_autoescape

from cryoexp.report.manifest import plain

TITLES = {
    "curves": "Training",
    "confusion_matrix": "Confusion matrix",
    "examples": "Examples from the test split",
}


def write_page(folder: Path, scores: dict[str, float], manifest: dict[str, Any], data: str) -> None:
    """Write the page from what the run folder holds.

    Args:
        folder: the run folder; its figures/*.png are embedded.
        scores: flat, as in metrics.json.
        manifest: as in manifest.json.
        data: one line on the data.
    """
    environment = Environment(loader=PackageLoader("cryoexp.report"), autoescape=select_autoescape(["html", "j2"]))
    page = environment.get_template("page.html.j2").render(
        title=folder.name,
        task=manifest["config"]["task"]["_target_"].rpartition(".")[2].lower(),
        command=manifest["command"],
        data=data,
        device=manifest["device"],
        headline=_headline(scores),
        scores={name: f"{value:.4f}" for name, value in scores.items()},
        figures=[_figure(path) for path in sorted((folder / "figures").glob("*.png"), key=_order)],
        predictions=sorted(p.name for p in (folder / "predictions").glob("*")),
        config=yaml.safe_dump(plain(manifest["config"]), sort_keys=False),
        manifest=json.dumps(plain({k: v for k, v in manifest.items() if k != "config"}), indent=2),
    )
    (folder / "report.html").write_text(page)


def _headline(scores: dict[str, float]) -> dict[str, str]:
    """The scores of the test that are not of a single class come first; four of them are shown large."""
    main = [name for name in scores if name.startswith("test/") and name != "test/loss"][:4]
    return {name.removeprefix("test/").replace("_", " "): f"{scores[name]:.3f}" for name in main}


def _figure(path: Path) -> dict[str, str]:
    return {
        "title": TITLES.get(path.stem, path.stem.replace("_", " ").capitalize()),
        "source": "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode(),
    }


def _order(path: Path) -> tuple[int, str]:
    known = list(TITLES)
    return (known.index(path.stem) if path.stem in known else len(known), path.stem)
