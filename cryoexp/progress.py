"""Progress with the time left: a live bar in a terminal, a few plain lines in a log file."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

console = Console(highlight=False, soft_wrap=True)


@contextmanager
def progress(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show how far ``total`` items are; yields a function that counts items done (safe from threads)."""
    if not console.is_terminal:
        console.print(f"{description}: {total} items …")
    start = time.monotonic()
    done = 0
    with make_bar() as bar:
        task = bar.add_task(description, total=total)

        def advance(count: int) -> None:
            nonlocal done
            done += count
            bar.advance(task, count)

        yield advance
    seconds = time.monotonic() - start
    console.print(f"{description}: {done} items in {seconds:.1f} s ({done / max(seconds, 1e-9):.0f} a second)")


def make_bar() -> Progress:
    """Make a bar with the time left, which disappears when done."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
