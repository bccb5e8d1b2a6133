"""Where a run keeps what it found and what it drew."""

from pathlib import Path


def run_folders(folder: Path) -> tuple[Path, Path]:
    """Make and return the folders of predictions and of figures of a run."""
    predictions, figures = folder / "predictions", folder / "figures"
    for made in (predictions, figures):
        made.mkdir(parents=True, exist_ok=True)
    return predictions, figures
