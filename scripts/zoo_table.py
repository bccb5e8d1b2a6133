"""Print the zoo: what each complex is, and how alike the fixed ten look after imaging and alignment.

`python scripts/zoo_table.py` takes about a minute on one core; `--write` puts them into docs/zoo.md too.
"""

from __future__ import annotations

import argparse
from itertools import combinations
from pathlib import Path

from cryoexp.simulate.similarity import Imaging, best_correlation, harmonics
from cryoexp.simulate.structures import PRESETS
from cryoexp.simulate.zoo import FIXED_TEN, ZOO

PAGE = Path(__file__).parents[1] / "docs" / "zoo.md"
START, END = "<!-- zoo_table: start -->", "<!-- zoo_table: end -->"
CLOSE_PAIRS = (("dimer80", "wedge160"), ("barrel560", "p97like"), ("barrel700", "cap1300"))


def main() -> None:
    """Print the tables and, on request, put them into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="replace the tables in docs/zoo.md")
    write = parser.parse_args().write
    pairs = correlations(FIXED_TEN)
    text = "\n".join([*complexes_table(), "", *matrix_table(FIXED_TEN, pairs), "", *summary(pairs)])
    print(text)
    if write:
        PAGE.write_text(_replaced(PAGE.read_text(encoding="utf-8"), text), encoding="utf-8")


def complexes_table() -> list[str]:
    """Return the rows of the table of all complexes, in Markdown."""
    rows = ["| name | group | mass, kDa | radius, nm | pseudo-atoms | their volume, nm³ | what it is |"]
    rows.append("|---|---|--:|--:|--:|--:|---|")
    for item in (ZOO[name] for name in PRESETS["zoo"]):
        count = len(item.atoms().centres)
        volume = count * item.spacing**3 / 1000
        rows.append(
            f"| `{item.name}` | {item.point_group} | {item.mass:g} | {item.radius / 10:g} | {count} "
            f"| {volume:.1f} | {item.description} |"
        )
    return rows


def correlations(names: tuple[str, ...]) -> dict[tuple[str, str], float]:
    """Correlate every pair of `names`, imaged and aligned."""
    imaging = Imaging()
    images = {name: harmonics(ZOO[name].atoms(), imaging) for name in names}
    return {(a, b): best_correlation(images[a], images[b], imaging) for a, b in combinations(names, 2)}


def matrix_table(names: tuple[str, ...], pairs: dict[tuple[str, str], float]) -> list[str]:
    """Return the rows of the lower triangle in Markdown, the close pairs in bold."""
    rows = ["| | " + " | ".join(f"`{name}`" for name in names[:-1]) + " |"]
    rows.append("|---|" + "--:|" * (len(names) - 1))
    for row, name in enumerate(names[1:], start=1):
        cells = [_cell((other, name), pairs) for other in names[:row]] + [""] * (len(names) - 1 - row)
        rows.append(f"| `{name}` | " + " | ".join(cells) + " |")
    return rows


def summary(pairs: dict[tuple[str, str], float]) -> list[str]:
    """Return two lines: the close pairs, and the most alike of the others."""
    close = ", ".join(f"`{a}`/`{b}` {pairs[a, b]:.3f}" for a, b in CLOSE_PAIRS)
    a, b = max(pairs.keys() - set(CLOSE_PAIRS), key=lambda pair: pairs[pair])
    return [f"Close pairs: {close}.", f"The most alike of the other pairs: `{a}`/`{b}` {pairs[a, b]:.3f}."]


def _cell(pair: tuple[str, str], pairs: dict[tuple[str, str], float]) -> str:
    return f"**{pairs[pair]:.2f}**" if pair in CLOSE_PAIRS else f"{pairs[pair]:.2f}"


def _replaced(page: str, text: str) -> str:
    before, rest = page.split(START)
    return f"{before}{START}\n{text}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    main()
