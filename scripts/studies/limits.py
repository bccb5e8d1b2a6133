"""The information limit for every cell of a sweep, as a table.

    python scripts/studies/limits.py output=limit.csv sweep=difficulty experiment=classify_difficulty
        [items=100 orientations=1000 step=1 dataset.structures=<folder> snr=0.05,inf ...]

Takes what `train.py -m` takes and works on the same test data. Rows are added to the table as they are measured; those
that are there already are not measured again, so an interrupted run is simply started again.
"""

import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pandas as pd
from omegaconf import OmegaConf

from cryoexp.errors import ConfigError, CryoexpError
from cryoexp.limit import jobs, limit_of, read_settings
from cryoexp.progress import console
from cryoexp.report.results import write_whole

USAGE = "usage: python scripts/studies/limits.py output=<file>.csv sweep=difficulty [<key>=<value> ...]"
KEYS = ["dataset.structures", "snr", "dataset.crowding", "dataset.jitter"]


def main(arguments: list[str]) -> None:
    """Measure what the command line asks for."""
    output = next((Path(a.removeprefix("output=")) for a in arguments if a.startswith("output=")), None)
    if output is None:
        raise ConfigError(USAGE)
    settings, overrides = read_settings([a for a in arguments if not a.startswith("output=")])
    rows: list[Any] = pd.read_csv(output).to_dict("records") if output.is_file() else []
    done = {row["job"] for row in rows}
    bank = None
    for job in jobs(overrides):
        name = " ".join([*job, f"items={settings.items} orientations={settings.orientations} step={settings.step:g}"])
        if name in done:
            continue
        limit, bank, cfg, seconds = limit_of(job, settings, bank)
        row: dict[str, Any] = {key: OmegaConf.select(cfg, key) for key in KEYS}
        row |= {"limit": limit.accuracy, "limit_error": limit.error, "items": len(limit.labels)}
        rows.append({**row, "seconds_per_item": round(seconds, 3), "job": name})
        output.parent.mkdir(parents=True, exist_ok=True)
        write_whole(output, pd.DataFrame(rows).to_csv(index=False))
        console.print(f"limit   {limit.accuracy:.3f} ± {limit.error:.3f}  {' '.join(job)}", markup=False)
    console.print(str(output))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except CryoexpError as error:
        sys.exit(f"\ncryoexp: {error}")
