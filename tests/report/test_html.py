import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from cryoexp import plotting
from cryoexp.report.html import write_page

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
    for part in ("classify", "30 subtomograms", "0.500", "predictions.star", "snr: inf", "1 min 5 s", "012345678-dirty"):
        assert part in text
    assert "validation 0.250" in text
    assert "&lt;odd&gt;" in text  # names are text, not markup
    assert "first 6 of 9 rows" in text
    assert re.search(r"<td>ring</td><td[^>]*>0\.750</td>", text)
    assert "test f1 ring" not in text  # a class has no card
    assert not list(tmp_path.glob("*.part"))


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


def chromium(path, folder, *arguments):
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not program:
        pytest.skip("no chromium")
    quiet = ["disable-quic", "no-first-run", "disable-background-networking", "disable-component-update", "disable-sync"]
    return subprocess.run(
        [program, "--headless", "--no-sandbox", "--disable-gpu", *(f"--{name}" for name in quiet),
         f"--user-data-dir={folder / 'profile'}", "--window-size=1280,800", "--enable-logging=stderr",
         f"--log-net-log={folder / 'net.json'}", *arguments, path.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip


def requests(folder):
    """Addresses of the page's own requests."""
    text = (folder / "net.json").read_text()
    return {url for url in re.findall(r'"url":"([^"]+)"', text) if not url.startswith(("chrome", "devtools"))}


def test_a_browser_draws_it_without_a_word(page, tmp_path):
    page()
    done = chromium(tmp_path / "report.html", tmp_path, "--dump-dom")
    assert "CONSOLE" not in done.stderr
    assert not [url for url in requests(tmp_path) if not url.startswith(("file:", "data:"))]
    assert done.stdout.count("<svg") == 3
    assert done.stdout.count("<path d=\"M") == 4  # two losses, the objective, the learning rate
    assert "val/accuracy 0.8" in done.stdout  # the last value beside the name


def test_the_browser_would_tell(page, tmp_path):
    """The test above is not blind: a script that fails and an image from elsewhere are seen."""
    text = page().replace("<main>", '<main><img src="http://127.0.0.1:9/a.png"><script>nowhere()</script>')
    (tmp_path / "report.html").write_text(text)
    done = chromium(tmp_path / "report.html", tmp_path, "--dump-dom")
    assert "Content Security Policy" in done.stderr
    assert "nowhere is not defined" in done.stderr
