"""Open a wandb run: online or offline without a question, and the same run again after a resume."""

import netrc
import os
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import wandb
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from cryoexp.errors import ConfigError
from cryoexp.progress import console

ID_FILE = "run_id.txt"
NAME_LENGTH = 120  # wandb refuses names above 128 characters
PATIENCE = 30  # seconds for the server to answer
UNNAMED = ("logger", "paths", "hydra", "task=", "overwrite", "ckpt_path")  # overrides that do not name a run


def open_run(folder: Path, mode: str, **arguments: Any) -> Any:
    """Open the wandb run of a run folder, or the one that it had before a resume, and say where it goes.

    Args:
        folder: the run folder; wandb's files go to its wandb/.
        mode: auto, online or offline.
        arguments: of wandb.init.

    Raises:
        ConfigError: online was asked for, and the server does not answer.
    """
    common: Any = {"dir": folder, "id": _run_id(folder), "resume": "allow", **arguments}
    settings = wandb.Settings(silent=True, init_timeout=PATIENCE)
    chosen = choose_mode(mode)
    try:
        run = wandb.init(mode=chosen, settings=settings, **common)
    except wandb.errors.Error as error:
        reason = str(error).splitlines()[0]
        if mode == "online":
            raise ConfigError(f"logger.mode=online: {reason}. logger.mode=offline works without a server") from error
        console.print(f"wandb   {reason}")
        wandb.teardown()  # it holds on to the run's id
        run = wandb.init(mode="offline", settings=settings, **common)
    if run.offline:
        console.print(f"wandb   offline; upload with: wandb sync {Path(run.dir).parent}")
    elif run.url:
        console.print(f"wandb   {run.url}")
    return run


def choose_mode(mode: str) -> Any:
    """Turn auto into online or offline; the environment's WANDB_MODE wins.

    Raises:
        ConfigError: an unknown mode, or online without an account.
    """
    if mode not in ("auto", "online", "offline"):
        raise ConfigError(f"logger.mode={mode}: choose one of auto, online, offline")
    chosen = os.environ.get("WANDB_MODE") or mode
    if chosen == "online" and not has_account():  # wandb would ask for a key, and wait
        raise ConfigError("wandb has no account to go online with: run wandb login, or set WANDB_API_KEY")
    if chosen == "auto":
        return "online" if has_account() else "offline"
    return chosen


def has_account() -> bool:
    """Whether wandb can log in by itself: a key in the environment, or one that ``wandb login`` has kept."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    for path in (os.environ.get("NETRC"), "~/.netrc", "~/_netrc"):
        try:
            if path and netrc.netrc(os.path.expanduser(path)).authenticators(host):
                return True
        except (OSError, netrc.NetrcParseError):
            continue
    return False


def run_name(folder: Path) -> str:
    """Name a run by what its command line changes, or by its folder."""
    changes = [o for o in HydraConfig.get().overrides.task if not o.lstrip("+~").startswith(UNNAMED)]
    return (",".join(changes) or folder.name)[:NAME_LENGTH]


def run_group() -> str | None:
    """Name the group of a run: the sweep's folder, if it belongs to one."""
    hydra = HydraConfig.get()
    return Path(hydra.sweep.dir).name if hydra.mode == RunMode.MULTIRUN else None


def _run_id(folder: Path) -> str:
    """Id of the folder's wandb run; a new run has cleared the folder before."""
    path = folder / "wandb" / ID_FILE
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(secrets.token_hex(4))
    return path.read_text().strip()
