"""The problems of a dataset, collected, so that a user sees all of them at once."""

from cryoexp.errors import DataError

LINES = 20  # shown at most


class Problems:
    """Problems by kind, in the order in which they were found."""

    def __init__(self) -> None:
        self.found: dict[str, list[str]] = {}

    def __len__(self) -> int:
        """Return the number of problems."""
        return sum(map(len, self.found.values()))

    def add(self, kind: str, text: str) -> None:
        """Add one problem: its kind in two or three words, and a line that names the file."""
        self.found.setdefault(kind, []).append(text)

    def check(self, where: object) -> None:
        """Refuse the dataset if there was any problem.

        Raises:
            DataError: with at most twenty lines, some of every kind, and the number of all problems.
        """
        if self:
            count = f"{len(self):,} problem{'s' if len(self) > 1 else ''}"
            raise DataError("\n  ".join([f"{where}: {count}", *self.lines()]))

    def lines(self) -> list[str]:
        """All problems, or where they are too many some of every kind, and how many more there are."""
        if len(self) <= LINES:
            return [text for texts in self.found.values() for text in texts]
        share = max(1, LINES // len(self.found) - 1)
        out = []
        for kind, texts in self.found.items():
            more = len(texts) - share
            out += texts[:share] + ([f"… and {more:,} more: {kind}"] if more > 0 else [])
        return out[:LINES]
