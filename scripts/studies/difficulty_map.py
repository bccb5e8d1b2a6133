"""The difficulty map: held-out accuracy over SNR, crowding, crop offset and class set, beside the information limit.

    python scripts/studies/difficulty_map.py <sweep folder> [<sweep folder> ...] limit=<csv>[,<csv>] output=<folder>
        [titles="the zoo,ten real complexes"] [possible=0.87] [metric=test/accuracy]

The sweeps are those of sweep=difficulty, the tables those of scripts/studies/limits.py. Writes map.csv, map.md and
map.png/.pdf: a panel for each class set and SNR, in every cell the accuracy and beneath it the limit, in per cent, and
an outline around the cells in which `possible` is reached by either of them.
"""

import re
import sys
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from cryoexp import plotting
from cryoexp.errors import ConfigError, CryoexpError, DataError
from cryoexp.progress import console
from cryoexp.report.collect import collect
from cryoexp.report.groups import group, markdown

OPTIONS = ("limit", "output", "titles", "possible", "metric")
USAGE = "usage: python scripts/studies/difficulty_map.py <sweep folder> [...] limit=<csv>[,<csv>] output=<folder>"
KEYS = ["dataset.structures", "snr", "dataset.crowding", "dataset.jitter"]
SHORT = ["classes", "snr", "crowding", "offset"]
SCALE, COLOURS = Normalize(0, 1), "cividis"
DARK = 0.55  # below this the colours are dark, and the text is white


def main(arguments: list[str]) -> None:
    """Make the map that the command line asks for."""
    options = dict(a.split("=", 1) for a in arguments if a.split("=")[0] in OPTIONS)
    folders = [Path(a).expanduser() for a in arguments if a.split("=")[0] not in OPTIONS]
    if not folders or not {"limit", "output"} <= set(options):
        raise ConfigError(USAGE)
    output = Path(options["output"]).expanduser()
    accuracy = read_accuracy(folders, options.get("metric", "test/accuracy"))
    table = accuracy.merge(read_limits(options["limit"].split(",")), on=SHORT, how="left")
    if table["limit"].isna().all():
        raise DataError(f"limit={options['limit']}: no cell of the sweeps is in it")
    share = float(options.get("possible", "0.87"))
    table["possible"] = table[["accuracy", "limit"]].max(axis=1) >= share
    sets = class_sets(folders)
    titles = options["titles"].split(",") if "titles" in options else sets
    if len(titles) != len(sets):
        raise ConfigError(f"titles={options['titles']}: give {len(sets)}, for {', '.join(sets)}")
    output.mkdir(parents=True, exist_ok=True)
    table.to_csv(output / "map.csv", index=False)
    (output / "map.md").write_text(tables(table, dict(zip(sets, titles, strict=True))))
    draw(table, dict(zip(sets, titles, strict=True)), share, output)
    console.print(str(output / "map.png"))


def read_accuracy(folders: list[Path], metric: str) -> pd.DataFrame:
    """Return the accuracy of every cell, the mean over its seeds.

    Raises:
        DataError: no run has the metric.
    """
    runs, _ = collect(folders, KEYS)
    if metric not in runs:
        raise DataError(f"{', '.join(map(str, folders))}: no run has {metric}")
    cells = group(same_names(runs), SHORT, metric)
    return cells.rename(columns={"mean": "accuracy", "low": "accuracy_low", "high": "accuracy_high", "n": "runs"})


def class_sets(folders: list[Path]) -> list[str]:
    """Return the names of the class sets in the order of the sweeps that have them."""
    return list(dict.fromkeys(name for folder in folders for name in same_names(collect([folder], KEYS)[0])["classes"]))


def read_limits(files: list[str]) -> pd.DataFrame:
    """Return the limit of every cell.

    Raises:
        DataError: a file is missing, or not the table of scripts/studies/limits.py.
    """
    tables = []
    for file in files:
        try:
            tables.append(same_names(pd.read_csv(Path(file).expanduser())))
            tables[-1] = tables[-1][[*SHORT, "limit", "limit_error", "items"]]
        except (OSError, KeyError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
            raise DataError(f"limit={file}: not a table of scripts/studies/limits.py ({error})") from None
    return pd.concat(tables).drop_duplicates(SHORT, keep="last")


def same_names(table: pd.DataFrame) -> pd.DataFrame:
    """Give the keys their short names, numbers as numbers, class sets without folders, lists without quotes."""
    table = table.rename(columns=dict(zip(KEYS, SHORT, strict=True)))
    names = [Path(re.sub(r"['\" ]", "", str(name))).name for name in table["classes"]]
    return table.assign(classes=names, snr=table["snr"].astype(float), offset=table["offset"].astype(float))


def draw(table: pd.DataFrame, titles: dict[str, str], share: float, output: Path) -> None:
    """Draw a row of panels for each class set, one for each SNR from none to the strongest noise."""
    ratios = sorted(set(table["snr"]), reverse=True)
    crowdings, offsets = list(dict.fromkeys(table["crowding"])), sorted(set(table["offset"]))
    fig, axes = plotting.figure(len(titles), len(ratios), 2.2 * len(ratios) + 1.2, 2.1 * len(titles) + 0.6)
    for row, (name, title) in zip(axes, titles.items(), strict=True):
        for ax, snr in zip(row, ratios, strict=True):
            cells = table[(table["classes"] == name) & (table["snr"] == snr)].set_index(["crowding", "offset"])
            panel(ax, cells.reindex(pd.MultiIndex.from_product([crowdings, offsets])), len(crowdings), len(offsets))
            ax.set_title("no noise" if snr == float("inf") else f"SNR {snr:g}")
            ax.set_xticks(range(len(offsets)), [f"±{offset:g}" for offset in offsets])
            ax.set_yticks(range(len(crowdings)), crowdings if ax is row[0] else [""] * len(crowdings))
        row[0].set_ylabel(f"{title}\ncrowding")
    for ax in axes[-1]:
        ax.set_xlabel("crop offset, voxels")
    bar = fig.colorbar(ScalarMappable(SCALE, COLOURS), ax=axes, shrink=0.7, pad=0.02)
    bar.set_label("held-out accuracy")
    caption = f"accuracy, beneath it the limit (± 3 to 5), in %; outlined: {100 * share:g} % reached by either"
    fig.suptitle(caption, fontsize=8)
    fig.savefig(output / "map.pdf")
    fig.savefig(output / "map.png", dpi=300)
    plotting.plt.close(fig)


def panel(ax: Axes, cells: pd.DataFrame, rows: int, columns: int) -> None:
    """Draw one heat map, `rows` of crowding by ``columns`` of offset, with its numbers and outline."""
    accuracy = cells["accuracy"].to_numpy(dtype=float).reshape(rows, columns)
    limit = cells["limit"].to_numpy(dtype=float).reshape(rows, columns)
    possible = (cells["possible"] == True).to_numpy().reshape(rows, columns)  # noqa: E712  (a missing cell is None)
    ax.imshow(accuracy, cmap=COLOURS, norm=SCALE)
    for i in range(rows):
        for j in range(columns):
            if accuracy[i, j] != accuracy[i, j]:
                continue
            colour = "white" if accuracy[i, j] < DARK else "black"
            ax.text(j, i - 0.14, f"{100 * accuracy[i, j]:.0f}", ha="center", va="center", color=colour, fontsize=11)
            if limit[i, j] == limit[i, j]:
                ax.text(j, i + 0.26, f"{100 * limit[i, j]:.0f}", ha="center", va="center", color=colour, fontsize=7)
            for down, right in ((-1, 0), (1, 0), (0, -1), (0, 1)):
                y, x = i + down, j + right
                inside = 0 <= y < rows and 0 <= x < columns and possible[y, x]
                if possible[i, j] and not inside:
                    edge(ax, i, j, down, right)
    for side in ax.spines.values():
        side.set_visible(False)
    ax.tick_params(length=0)


def edge(ax: Axes, i: int, j: int, down: int, right: int) -> None:
    """Draw the side of a cell that looks ``down`` or ``right`` (or, where negative, up or left)."""
    y, x = i + down * 0.5, j + right * 0.5
    ys, xs = ((y, y), (j - 0.5, j + 0.5)) if down else ((i - 0.5, i + 0.5), (x, x))
    ax.plot(xs, ys, color="crimson", linewidth=2.4, clip_on=False, solid_capstyle="projecting", zorder=3)


def tables(table: pd.DataFrame, titles: dict[str, str]) -> str:
    """Return a Markdown table for each class set: crowding and offset down, SNR across, the limit in brackets."""
    ratios = sorted(set(table["snr"]), reverse=True)
    header = ["crowding", "offset", *("no noise" if r == float("inf") else f"SNR {r:g}" for r in ratios)]
    parts = []
    for name, title in titles.items():
        cells = table[table["classes"] == name].set_index(["crowding", "offset", "snr"])
        places = list(dict.fromkeys((crowding, offset) for crowding, offset, _ in cells.index))
        rows = [[c, f"±{o:g}", *(cell(cells, (c, o, r)) for r in ratios)] for c, o in places]
        parts.append(f"{title}:\n\n{markdown(header, rows)}")
    return "\n".join(parts)


def cell(cells: pd.DataFrame, key: tuple[str, float, float]) -> str:
    """Return accuracy and limit of a cell, in bold where the share looked for is possible."""
    if key not in cells.index:
        return ""
    row: Any = cells.loc[[key]].iloc[0]
    limit = "" if row["limit"] != row["limit"] else f" ({row['limit']:.2f})"
    text = f"{row['accuracy']:.2f}{limit}"
    return f"**{text}**" if row["possible"] else text


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except CryoexpError as error:
        sys.exit(f"\ncryoexp: {error}")
