import json
import math
import re

import pytest
from rich.console import Console

from cryoexp.report.classes import class_of, class_rows, written
from cryoexp.report.html import write_page
from cryoexp.report.manifest import write_json
from cryoexp.report.report import class_table

NAN = float("nan")
CLASSES = ["membrane", "double_membrane", "actin", "background"]
SCORES = {
    "miou": 0.5, "dice_membrane": 0.25, "dice_double_membrane": 1.0, "dice_actin": NAN,
    "surface_dice_double_membrane": 0.75, "precision_membrane": 0.0, "precision_double_membrane": 0.5,
    "precision_actin": NAN,
}  # fmt: skip
MANIFEST = {
    "command": "", "device": "", "seed": 0, "wall_s": 1.0, "git_commit": None,
    "config": {"task": {"_target_": "cryoexp.tasks.segment.Segment"}},
}  # fmt: skip


def test_a_score_is_of_the_longest_name_that_fits():
    assert class_of("dice_double_membrane", CLASSES) == "double_membrane"
    assert class_of("dice_membrane", CLASSES) == "membrane"
    assert class_of("miou", CLASSES) is None
    assert class_of("membrane", CLASSES) is None


def test_kinds_of_all_classes_and_no_row_for_an_unscored_background():
    kinds, rows = class_rows(SCORES, CLASSES)
    assert kinds == ["dice", "precision", "surface_dice"]
    assert rows["membrane"] == [0.25, 0.0, None]
    assert rows["double_membrane"] == [1.0, 0.5, 0.75]
    assert math.isnan(rows["actin"][0])
    assert list(rows) == CLASSES[:3]
    assert "background" in class_rows({**SCORES, "dice_background": 0.9}, CLASSES)[1]
    assert class_rows({"miou": 1.0}, CLASSES) == ([], {})


def test_absent_is_a_dash_and_zero_is_zero():
    assert [written(v) for v in (NAN, None, 0.0, 0.12345)] == ["–", "", "0.000", "0.123"]
    assert written(0.12345, 4) == "0.1235" or written(0.12345, 4) == "0.1234"


@pytest.fixture
def page(tmp_path):
    scores = {f"test/{name}": value for name, value in {**SCORES, "f1": NAN}.items()}
    write_page(tmp_path, scores, MANIFEST, "", course=[], objective="val/x", classes=CLASSES)
    return (tmp_path / "report.html").read_text()


def test_the_table_of_the_page(page):
    rows = re.findall(r"<tr><td>(\w+)</td>(.*?)</tr>", page)
    cells = {name: re.findall(r"<td[^>]*>(.*?)</td>", rest) for name, rest in rows if name in CLASSES}
    assert cells == {
        "membrane": ["0.250", "0.000", ""],
        "double_membrane": ["1.000", "0.500", "0.750"],
        "actin": ["–", "–", ""],
    }
    assert "<th>surface dice</th>" in page
    assert "nan" not in re.findall(r"<body>.*<script", page, re.DOTALL)[0].lower()
    assert '<div class="card"><b>–</b><span>test f1</span>' in page


def test_the_table_of_the_terminal_cuts_nothing():
    names = [f"a_rather_long_name_of_class_{i}" for i in range(3)]
    kinds = ("dice", "iou", "precision", "recall", "surface_dice", "cl_dice", "object_f1", "object_precision")
    scores = {f"{kind}_{name}": 0.123 for kind in kinds for name in names}
    scores[f"dice_{names[1]}"] = NAN
    console = Console(width=80, file=None, record=True, quiet=False)
    with console.capture() as capture:
        console.print(class_table(scores, names, {}))
    text = capture.get()
    assert text.count("0.123") == 3 * len(kinds) - 1
    assert text.count("–") == 1
    assert "…" not in text
    assert "kDa" not in text
    with console.capture() as capture:
        console.print(class_table({"f1_a": 0.5}, ["a"], {"a": 560.2}))
    assert re.search(r"kDa\s+f1\s*\n\s*a\s+560\s+0\.500", capture.get())


def test_metrics_hold_null_for_a_class_that_is_absent(tmp_path):
    write_json(tmp_path / "metrics.json", {"test/dice_actin": NAN, "test/dice_membrane": 0.25})
    assert json.loads((tmp_path / "metrics.json").read_text(), parse_constant=pytest.fail) == {
        "test/dice_actin": None,
        "test/dice_membrane": 0.25,
    }
