"""Let Optuna choose the values of a sweep (pip install "cryoexp[sweep]").

    python scripts/optuna_sweep.py trials=20 output=outputs/sweeps/lr task=classify model=cnn3d,resnet3d \
        'task.optimizer.lr=tag(log,interval(1e-4,1e-2))' 'model.dropout=interval(0.0,0.5)'

Searched are the keys with several values, in Hydra's own grammar: choices `a,b,c`, `range(1,9)`, `interval(low,high)`,
`int(interval(low,high))`, and `tag(log,interval(low,high))` on a log scale. The task's objective is maximised. Every
trial is a run of its own (any trainer, any number of devices) in output/<number>; results.csv and results.html are
renewed after each, and the path of results.csv is printed last.
"""

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.errors import HydraException

from cryoexp.config.ddp import JobFailed, run_command
from cryoexp.errors import ConfigError, CryoexpError
from cryoexp.progress import console
from cryoexp.report.collect import JOB
from cryoexp.report.results import write_results

USAGE = "usage: python scripts/optuna_sweep.py trials=<n> output=<folder> <key>=<fixed or several values> ..."


def main(arguments: list[str]) -> int:
    """Search; return the number of failed trials."""
    options = dict(a.split("=", 1) for a in arguments if a.startswith(("trials=", "output=", "seed=")))
    if not options.get("trials", "").isdigit() or "output" not in options:
        raise ConfigError(USAGE)
    given = [a for a in arguments if not a.startswith(("trials=", "output="))]
    overrides = OverridesParser.create().parse_overrides(given)
    if not any(override.is_sweep_override() for override in overrides):
        raise ConfigError("nothing to search: give a key several values, for example task.optimizer.lr=1e-3,1e-4")
    output = Path(options["output"]).expanduser().resolve()
    if output.exists() and any(output.iterdir()):
        raise ConfigError(f"output={output}: exists and is not empty. Give a new folder")
    seed = options.get("seed", "0")
    return search(make_study(int(seed) if seed.isdigit() else 0), overrides, int(options["trials"]), output)


def make_study(seed: int) -> Any:
    """Return an Optuna study that maximises.

    Raises:
        ConfigError: Optuna is not installed.
    """
    try:
        optuna = import_module("optuna")
    except ImportError:
        raise ConfigError('Optuna is not installed: pip install "cryoexp[sweep]"') from None
    return optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))


def search(study: Any, overrides: list[Override], trials: int, output: Path) -> int:
    """Ask the study for values, train with them, and tell it the objective; return the number of failed trials."""
    failed = 0
    for number in range(trials):
        trial = study.ask()
        chosen = [suggest(trial, o) if o.is_sweep_override() else str(o.input_line) for o in overrides]
        folder = output / str(number)
        folder.mkdir(parents=True)
        console.print(f"trial {number}: {' '.join(chosen)}", markup=False)
        try:
            note(folder, chosen, status="running")
            command = [sys.executable, "-m", "cryoexp", *chosen, f"hydra.run.dir='{folder}'"]
            study.tell(trial, run_command(command, folder))
            note(folder, chosen, status="done")
        except JobFailed as error:
            failed += 1
            study.tell(trial, state=_failed())
            console.print(f"trial {number} failed: {error}", markup=False)
            note(folder, chosen, status="failed", error=" ".join(str(error).split()))
        write_results([output])
    console.print(str(output / "results.csv"))
    return failed


def suggest(trial: Any, override: Override) -> str:
    """Let a trial choose one value of a key; return it as an override."""
    value, key = override.value(), override.get_key_element()
    if not isinstance(value, IntervalSweep):
        return f"{key}={trial.suggest_categorical(key, list(override.sweep_string_iterator()))}"
    low, high, log = value.start, value.end, "log" in value.tags
    if isinstance(low, int) and isinstance(high, int):
        return f"{key}={trial.suggest_int(key, low, high, log=log)}"
    return f"{key}={trial.suggest_float(key, float(low or 0), float(high or 0), log=log)!r}"


def note(folder: Path, overrides: list[str], **more: str) -> None:
    """Write job.json, which the table is made of."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / JOB).write_text(json.dumps({"overrides": overrides, **more}, indent=2) + "\n")


def _failed() -> Any:
    return import_module("optuna").trial.TrialState.FAIL


if __name__ == "__main__":
    try:
        sys.exit(1 if main(sys.argv[1:]) else 0)
    except KeyboardInterrupt:
        sys.exit(130)
    except (CryoexpError, HydraException) as error:
        sys.exit(f"\ncryoexp: {error}")
