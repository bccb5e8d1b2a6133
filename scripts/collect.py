"""One table over any runs: results.csv and a page that sorts and plots it.

    python scripts/collect.py outputs/ [more folders] [metric=test/f1_macro] [output=<folder>]

Runs are found at any depth. The columns are what the command lines differ in, and every score. The table goes to the
first folder, unless `output` says otherwise; its path is printed last.
"""

import sys
from pathlib import Path

from cryoexp.errors import ConfigError, CryoexpError, DataError
from cryoexp.progress import console
from cryoexp.report.collect import find_runs
from cryoexp.report.results import write_results

USAGE = "usage: python scripts/collect.py <folder> [<folder> ...] [metric=<score>] [output=<folder>]"


def main(arguments: list[str]) -> None:
    """Tabulate what the command line names."""
    options = dict(a.split("=", 1) for a in arguments if a.startswith(("metric=", "output=")))
    folders = [Path(a).expanduser() for a in arguments if not a.startswith(("metric=", "output="))]
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
    console.print(f"{len(runs)} runs, page {table.with_suffix('.html')}")
    console.print(str(table))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except CryoexpError as error:
        sys.exit(f"\ncryoexp: {error}")
