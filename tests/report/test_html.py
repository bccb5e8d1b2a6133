import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from cryoexp import plotting
from cryoexp.report.html import HEADLINES, write_page

MANIFEST = {
    "command": "python train.py snr=inf overwrite=true", "overrides": ["snr=inf", "overwrite=true"],
    "device": "1 x cpu", "seed": 0, "wall_s": 65.0, "git_commit": "0123456789abcdef-dirty",
    "config": {"task": {"_target_": "cryoexp.tasks.classify.Classify"}, "snr": float("inf")},
}  # fmt: skip
SCORES = {"test/accuracy": 0.5, "test/<odd>": 1.0, "val/accuracy": 0.25, "test/f1_ring": 0.75, "test/f1_cap": 0.125}
COURSE = [
    {"epoch": i, "train/loss": 1 / i, "val/loss": 2 / i, "val/accuracy": i / 10, "learning_rate": 0.001}
    for i in range(1, 9)
]


@pytest.fixture
def page(tmp_path):
    def write(course=COURSE, classes=("ring", "cap")):
        (tmp_path / "predictions").mkdir(exist_ok=True)
        (tmp_path / "predictions" / "predictions.star").touch()
        rows = ["name,class", *(f"{'long/' * 12}{i}.mrc,ring" for i in range(9))]
        (tmp_path / "predictions" / "predictions.csv").write_text("\n".join(rows))
        for name in ("curves", "confusion_matrix"):
            fig, axes = plotting.figure()
            plotting.show_slice(axes[0, 0], np.arange(9.0).reshape(3, 3), "a slice")
            plotting.save(fig, tmp_path / "figures" / f"{name}.png")
        write_page(
            tmp_path, SCORES, MANIFEST, "30 subtomograms",
            course=list(course), objective="val/accuracy", classes=list(classes),
        )  # fmt: skip
        return (tmp_path / "report.html").read_text()

    return write


def test_one_page_with_everything(page, tmp_path):
    text = page()
    assert text.count("data:image/png;base64,") == 2
    for part in (
        "classify",
        "30 subtomograms",
        "0.500",
        "predictions.star",
        "snr: inf",
        "1 min 5 s",
        "012345678-dirty",
    ):
        assert part in text
    assert "validation 0.250" in text
    assert "&lt;odd&gt;" in text  # names are text, not markup
    assert "first 6 of 9 rows" in text
    assert re.search(r"<td>ring</td><td[^>]*>0\.750</td>", text)
    assert "test f1 ring" not in text  # a class has no card
    assert not list(tmp_path.glob("*.part"))


def test_telling_scores_come_first_with_their_units(tmp_path):
    scores = {
        "test/e_so3_mean_deg": 5.0, "test/loss": 1.0, "test/e_o4_mean_rad": 0.05, "test/distance_mae_rad": 0.04321,
        "test/pairs_e_so3_median_deg": 4.5, "test/e_so3_median_deg_low": 2.5, "test/e_so3_median_deg_high": 3.5,
        "test/e_so3_median_deg": 3.0, "val/e_so3_median_deg": 2.75,
    }  # fmt: skip
    write_page(tmp_path, scores, MANIFEST, "", course=[], objective="val/x", classes=[])
    text = (tmp_path / "report.html").read_text()
    cards = re.findall(r'<div class="card"><b>(.*?)</b><span>(.*?)</span>', text)
    assert cards == [
        ("3.00°", "test E_SO3 median"),
        ("4.50°", "test pairs E_SO3 median"),
        ("0.043 rad", "test distance MAE"),
        ("5.00°", "test E_SO3 mean"),
    ]
    assert len(cards) == HEADLINES
    assert "95 %: 2.50° … 3.50°" in text
    assert "validation 2.75°" in text


def test_commands_to_go_on(page, tmp_path):
    text = page()
    assert "<pre>python train.py snr=inf</pre>" in text  # repeats, and overwrites nothing
    assert f"python train.py snr=inf ckpt_path=last hydra.run.dir={tmp_path}" in text
    assert f"python scripts/predict.py run={tmp_path} " in text


def test_nothing_is_fetched(page):
    text = page()
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
    assert not re.search(r'(src|href)="(?!data:)', text)
    assert "default-src 'none'" in text  # and the browser would refuse


def test_a_run_of_no_epoch_and_no_classes(page):
    text = page(course=[], classes=[])
    assert "By class" not in text
    assert "Training</h2>" not in text


def test_a_score_that_is_no_number_is_still_json(page):
    text = page(course=[{"epoch": 1, "train/loss": float("nan"), "val/loss": float("inf")}])
    (course,) = re.findall(r'id="course">(.*?)</script>', text)
    assert json.loads(course, parse_constant=pytest.fail) == [{"epoch": 1, "train/loss": None, "val/loss": "inf"}]


TELL = """<script>addEventListener("load", () => {
  document.body.dataset.asked = performance.getEntriesByType("resource").map(entry => entry.name).join(" ");
})</script></body>"""


def look(text, folder):
    """Open a page in a browser without a network: what the console said, the page as drawn, what it asked for."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not program:
        pytest.skip("no chromium")
    (folder / "look.html").write_text(text.replace("</body>", TELL))
    quiet = [
        "disable-quic",
        "no-first-run",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
    ]
    done = subprocess.run(
        [program, "--headless", "--no-sandbox", "--disable-gpu", *(f"--{name}" for name in quiet),
         "--host-resolver-rules=MAP * ~NOTFOUND", "--window-size=1280,800", "--enable-logging=stderr",
         f"--user-data-dir={folder / 'profile'}", "--dump-dom", (folder / "look.html").as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    said = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    (asked,) = re.findall(r'data-asked="([^"]*)"', done.stdout)
    return said, done.stdout, [url for url in asked.split() if not url.startswith("data:")]


def without_policy(text):
    return re.sub(r"<meta http-equiv=.*?>\n", "", text)


def test_a_browser_draws_it_and_asks_for_nothing(page, tmp_path):
    said, drawn, _ = look(page(), tmp_path)
    assert said == []
    assert drawn.count("<svg") == 3
    assert drawn.count('<path d="M') == 4  # two losses, the objective, the learning rate
    assert "val/accuracy 0.8" in drawn  # the last value beside the name
    said, _, asked = look(without_policy(page()), tmp_path)
    assert said == []
    assert asked == []


def test_the_browser_would_tell(page, tmp_path):
    """The test above is not blind: a script that fails and a picture from elsewhere are seen."""
    text = page().replace("<main>", '<main><img src="http://127.0.0.1:9/a.png"><script>nowhere()</script>')
    said, _, _ = look(text, tmp_path)
    assert any("Content Security Policy" in line for line in said)
    assert any("nowhere is not defined" in line for line in said)
    _, _, asked = look(without_policy(text), tmp_path)
    assert asked == ["http://127.0.0.1:9/a.png"]
