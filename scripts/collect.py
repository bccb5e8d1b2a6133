"""One table over any runs: results.csv and a page that sorts and plots it.

    python scripts/collect.py outputs/ [more folders] [metric=test/f1_macro] [by=snr,model] [output=<folder>]

Runs are found at any depth. The columns are what the command lines differ in, and every score. The table goes to the
first folder, unless `output` says otherwise; its path is printed last. With `by`, the runs that agree in these columns
are taken together into groups.csv: mean, standard deviation and number, of several seeds for example.
"""

import sys
from pathlib import Path

from rich.table import Table

from cryoexp.errors import ConfigError, CryoexpError, DataError
from cryoexp.progress import console
from cryoexp.report.collect import collect, find_runs
from cryoexp.report.groups import group, shown
from cryoexp.report.results import choose_metric, write_results

KEYS = ("metric=", "by=", "output=")
USAGE = "usage: python scripts/collect.py <folder> [<folder> ...] [metric=<score>] [by=<column>,...] [output=<folder>]"


def main(arguments: list[str]) -> None:
    """Tabulate what the command line names."""
    options = dict(a.split("=", 1) for a in arguments if a.startswith(KEYS))
    folders = [Path(a).expanduser() for a in arguments if not a.startswith(KEYS)]
    if not folders:
        raise ConfigError(USAGE)
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder")
    runs = find_runs(folders)
    if not runs:
        raise DataError(f"{', '.join(map(str, folders))}: no runs there")
    output = Path(options["output"]).expanduser() if "output" in options else None
    table = write_results(folders, output, options.get("metric"))
    if "by" in options:
        say_groups(folders, options["by"].split(","), options.get("metric"), table.with_name("groups.csv"))
    console.print(f"{len(runs)} runs, page {table.with_suffix('.html')}")
    console.print(str(table))


def say_groups(folders: list[Path], by: list[str], metric: str | None, path: Path) -> None:
    """Print the runs taken together, and write them beside the table of all."""
    runs, _ = collect(folders, by)
    name = choose_metric(runs, metric)
    if name is None:
        raise DataError(f"{', '.join(map(str, folders))}: no run has scores yet")
    groups = group(runs, by, name)
    groups.to_csv(path, index=False)
    table = Table(*map(str, groups.columns), title=name, box=None, header_style="bold")
    for row in shown(groups):
        table.add_row(*row)
    console.print(table)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except CryoexpError as error:
        sys.exit(f"\ncryoexp: {error}")
