"""Train at one signal-to-noise ratio, test at all of them.

    python train.py -m snr=0.03,0.05,inf seed=0,1,2 experiment=classify_resnet3d hydra.sweep.dir=outputs/sweeps/snr
    python scripts/studies/snr_matrix.py outputs/sweeps/snr output=outputs/snr_matrix [snr=0.03,0.05,0.1,inf]
        [metric=test/accuracy] [device=cpu]

Every finished run is evaluated on its own test split at every SNR (by default those that the runs were trained at).
Writes runs.csv (one row a run and SNR), matrix.csv and matrix.png (mean over the runs of each SNR), matrix.md. What is
evaluated already is read, so an interrupted study is simply started again.
"""

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pandas as pd

from cryoexp import plotting
from cryoexp.errors import ConfigError, CryoexpError, DataError
from cryoexp.evaluate import evaluate
from cryoexp.physics.noise import snr_value
from cryoexp.progress import console
from cryoexp.report.collect import collect
from cryoexp.report.groups import group, markdown

OPTIONS = ("output", "snr", "metric")
USAGE = "usage: python scripts/studies/snr_matrix.py <sweep folder> output=<folder> [snr=0.03,0.05,inf]"


def main(arguments: list[str]) -> None:
    """Evaluate and draw what the command line names."""
    options = dict(a.split("=", 1) for a in arguments if a.split("=")[0] in OPTIONS)
    folders = [Path(a).expanduser() for a in arguments if "=" not in a]
    others = [a for a in arguments if "=" in a and a.split("=")[0] not in OPTIONS]
    if not folders or "output" not in options:
        raise ConfigError(USAGE)
    metric, output = options.get("metric", "test/accuracy"), Path(options["output"]).expanduser()
    runs, _ = collect(folders)
    runs = runs[runs["status"] == "done"]
    if runs.empty:
        raise DataError(f"{', '.join(map(str, folders))}: no finished runs there")
    trained = [snr_value(snr) for snr in runs["snr"]]
    tested = [snr_value(s) for s in options["snr"].split(",")] if "snr" in options else sorted(set(trained))
    rows = []
    for number, (run, snr) in enumerate(zip(runs["run"], trained, strict=True)):
        for other in tested:
            scores = evaluated(run, other, output / "evaluations" / f"{number}_snr_{other:g}", others)
            if metric not in scores:
                raise ConfigError(f"metric={metric}: choose one of {', '.join(scores)}")
            rows.append({"run": run, "trained": snr, "tested": other, metric: scores[metric]})
    table = pd.DataFrame(rows)
    table.to_csv(output / "runs.csv", index=False)
    write(group(table, ["trained", "tested"], metric), metric, output)
    console.print(str(output / "matrix.png"))


def evaluated(run: str, snr: float, folder: Path, others: list[str]) -> dict[str, float]:
    """Return the scores of a run at an SNR, from an earlier evaluation where there is one of this very run."""
    manifest, metrics = folder / "manifest.json", folder / "metrics.json"
    wanted = [f"run={run}", f"snr={snr:g}", *others]
    note = folder / "asked.json"
    if metrics.is_file() and manifest.is_file() and note.is_file() and json.loads(note.read_text()) == wanted:
        return dict(json.loads(metrics.read_text()))
    scores = evaluate([*wanted, f"output={folder}", "overwrite=true"])
    note.write_text(json.dumps(wanted))
    return scores


def write(groups: pd.DataFrame, metric: str, output: Path) -> None:
    """Write the matrix as CSV, Markdown and picture: a row for each SNR of training."""
    matrix = groups.pivot(index="trained", columns="tested", values="mean")
    matrix.to_csv(output / "matrix.csv")
    names = [name_of(float(snr)) for snr in matrix.columns]
    header = ["trained at \\ tested at", *names]
    cells = {(row["trained"], row["tested"]): cell(row) for _, row in groups.iterrows()}
    rows = [[name_of(snr), *(cells[snr, other] for other in matrix.columns)] for snr in matrix.index]
    (output / "matrix.md").write_text(markdown(header, rows))
    fig, axes = plotting.figure(width=0.8 * len(names) + 2, height=0.7 * len(matrix) + 1.2)
    ax = axes[0, 0]
    ax.imshow(matrix, cmap="cividis", vmin=0, vmax=1)
    for i, row in enumerate(matrix.to_numpy()):
        for j, value in enumerate(row):
            ax.text(j, i, f"{100 * value:.0f}", ha="center", va="center", color="black" if value > 0.55 else "white")
    ax.set_xticks(range(len(names)), names)
    ax.set_yticks(range(len(matrix)), [name_of(snr) for snr in matrix.index])
    ax.set_xlabel("tested at SNR")
    ax.set_ylabel("trained at SNR")
    ax.set_title(f"{metric.removeprefix('test/').replace('_', ' ')}, %")
    plotting.save(fig, output / "matrix.png")


def cell(row: pd.Series) -> str:
    """Mean of the runs, with its spread where there are several."""
    return f"{row['mean']:.3f}" + (f" ± {row['sd']:.3f}" if row["n"] > 1 else "")


def name_of(snr: float) -> str:
    """Return an SNR as it is read."""
    return "∞" if snr == float("inf") else f"{snr:g}"


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except CryoexpError as error:
        sys.exit(f"\ncryoexp: {error}")
