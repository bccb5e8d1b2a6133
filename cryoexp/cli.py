"""Entry point. Imports stay light (no torch), so that ``--cfg job`` and tab completion answer at once."""

import os
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from omegaconf import DictConfig

from cryoexp.config.ddp import needs_own_processes, run_apart
from cryoexp.config.folders import register_resolvers
from cryoexp.config.resume import resume_command
from cryoexp.config.schema import register_schema
from cryoexp.errors import CryoexpError

HERE = Path(__file__).resolve().parent
# a wheel carries conf/ inside the package; a source tree (plain or editable) has it beside the package
CONF = next(folder for folder in (HERE / "conf", HERE.parent / "conf") if folder.is_dir())
INTERRUPTED = 130  # what a shell calls a program stopped by Ctrl-C

# idle OpenMP threads sleep instead of spinning: on shared cores spinning made training several times slower
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

register_schema()
register_resolvers()


class Refused(CompactHydraException):
    """A user's error: Hydra prints its text without a traceback and exits with code 1."""


def main() -> None:
    """Run what the command line asks for."""
    hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(experiment)()


def experiment(cfg: DictConfig) -> float | None:
    """Run one experiment and return the task's objective (for sweepers)."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    failed = True
    try:
        if needs_own_processes(cfg):
            return run_apart(folder)
        from cryoexp.run import run  # torch is imported here and not before

        objective = run(cfg)
        failed = False
        return objective
    except CryoexpError as error:
        raise Refused(f"\ncryoexp: {error}") from error
    except (KeyboardInterrupt, SystemExit) as stop:
        # Lightning turns Ctrl-C into an exit
        if not isinstance(stop, KeyboardInterrupt) and not isinstance(stop.__context__, KeyboardInterrupt):
            raise
        there = any((folder / "checkpoints").glob("last.ckpt"))
        how = "To go on where the last checkpoint was written" if there else "No epoch was finished; to start again"
        print(f"\nstopped. {how}:\n{resume_command(folder)}", file=sys.stderr)
        sys.exit(INTERRUPTED)
    finally:
        if "wandb" in sys.modules:  # or the next job of a sweep would write into this one's run
            sys.modules["wandb"].finish(exit_code=int(failed))
