import re
import shutil
import subprocess

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from cryoexp import plotting
from cryoexp.report.html import write_page
from cryoexp.slices import write_slices
from cryoexp.slices.montage import DIFFERENCE

MANIFEST = {
    "command": "", "device": "", "seed": 0, "wall_s": 1.0, "git_commit": None,
    "config": {"task": {"_target_": "cryoexp.tasks.segment.Segment"}},
}  # fmt: skip
CLASSES = ["background", "membrane", "</script><b>ribosome"]
QUIET = ("disable-quic", "no-first-run", "disable-background-networking", "disable-component-update", "disable-sync")
# the picture covers the window, opaque
FILL = "<style>.stage { position: fixed !important; inset: 0; max-width: none !important; z-index: 9; }</style>"
# The clock of the page runs ahead while others decode: it works, so that they get on, until all is drawn and stays so;
# then does something, and waits again.
ACT = """<script>
  const stage = () => document.querySelector(".stage"), figure = document.querySelector("figure.slices");
  const key = key => stage().dispatchEvent(new KeyboardEvent("keydown", {key}));
  const opaque = () => { const o = document.querySelector(".fade input"); o.value = 1; o.oninput(); };
  const todo = [() => { %s }];
  let calm = 0, sum = 0;
  (function wait() {
    for (let i = 0; i < 2e6; i++) sum += Math.sqrt(i);
    calm = ["drawn", "still"].includes(figure.dataset.state) ? calm + 1 : 0;
    if (calm > 4) { calm = 0; if (!todo.length) return; todo.shift()(); }
    setTimeout(wait, 1);
  })();
</script></body>"""
SIZE = 400  # of the window


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Quarters of a slice: lower left 1 in both, lower right missed, upper left false, upper right 2 and 1."""
    folder = tmp_path_factory.mktemp("run")
    truth, prediction = np.zeros((2, 5, 40, 40), np.uint8)
    truth[:, :20] = 1
    truth[:, 20:, 20:] = 2
    prediction[:, :, :20] = 1
    prediction[:, 20:, 20:] = 1
    truth[4] = 0
    volume = np.full(truth.shape, 100, np.uint8)
    path = folder / "figures" / "tomo.slices.json"
    labels = {"truth": truth, "prediction": prediction}
    write_slices(path, volume, labels, CLASSES, voxel_size=10, title="Tomogram <1>")
    write_page(folder, {"test/loss": 1.0}, MANIFEST, "", course=[], objective="val/x", classes=[])
    return (folder / "report.html").read_text()


def browse(text, folder, *flags, action=""):
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not program:
        pytest.skip("no chromium")
    (folder / "look.html").write_text(text.replace("</body>", ACT % action))
    done = subprocess.run(
        [program, "--headless", "--no-sandbox", "--disable-gpu", *(f"--{name}" for name in QUIET),
         "--host-resolver-rules=MAP * ~NOTFOUND", f"--window-size={SIZE},{SIZE}", "--enable-logging=stderr",
         "--virtual-time-budget=20000", "--hide-scrollbars",
         f"--user-data-dir={folder / 'profile'}", *flags, (folder / "look.html").as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return [line for line in done.stderr.splitlines() if "CONSOLE" in line], done.stdout


def quarters(page, folder, action):
    """Colours of the lower left, lower right, upper left, upper right quarter after an action."""
    action = f"opaque(); {action}"
    said, _ = browse(page + FILL, folder, f"--screenshot={folder / 'shot.png'}", action=action)
    assert said == []
    picture = imread(folder / "shot.png")[::-1, :, :3]
    side = picture.shape[1]  # the picture is square and starts at the top of the window
    square = picture[-side:] if len(picture) >= side else picture
    at = (side // 3, 2 * side // 3)
    return [square[y * len(square) // side, x] for y in at for x in at]


def colour(name):
    return pytest.approx(to_rgb(name), abs=0.02)


def grey(found):
    return found == pytest.approx([100 / 255] * 3, abs=0.03)


def test_the_page_holds_the_slices_once_and_fetches_nothing(page):
    assert page.count("<figure") == 1  # the picture is the same figure, for browsers without scripts
    assert page.count("data:image/png;base64,") == 1
    assert "<figcaption>Tomogram &lt;1&gt;</figcaption>" in page
    assert "\\u003c/script>\\u003cb>ribosome" in page  # names are text, not markup
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", page)
    assert not re.search(r'(src|href)="(?!data:)', page)


def test_a_page_without_slices_has_no_script_for_them(tmp_path):
    write_page(tmp_path, {}, MANIFEST, "", course=[], objective="val/x", classes=[])
    assert "DecompressionStream" not in (tmp_path / "report.html").read_text()


def test_drawn_without_a_word_and_told_in_words(page, tmp_path):
    said, drawn = browse(page, tmp_path, "--dump-dom")
    assert said == []
    assert 'data-state="drawn"' in drawn
    assert 'data-overlay="prediction"' in drawn
    assert "z = 2 of 0 … 4, slice 3 of 5 shown" in drawn
    assert re.search(r"<img[^>]* hidden", drawn)
    assert drawn.count('type="radio"') == 4
    assert drawn.count('type="checkbox"') == 2


def test_labels_lie_where_they_belong(page, tmp_path):
    one, two = plotting.class_colours(3)[1:]
    found = quarters(page, tmp_path, 'key("2")')  # the truth
    assert found[0] == colour(one)
    assert found[1] == colour(one)
    assert grey(found[2])
    assert found[3] == colour(two)


def test_the_difference_by_key(page, tmp_path):
    found = quarters(page, tmp_path, 'key("4")')
    assert [found[i] == colour(c) for i, c in enumerate(DIFFERENCE.values())] == [True] * 4


def test_a_class_switched_off_counts_as_background(page, tmp_path):
    off = 'key("4"); document.querySelectorAll(".legend input")[0].click()'
    found = quarters(page, tmp_path, off)
    assert [grey(f) for f in found] == [True, True, True, False]
    assert found[3] == colour(DIFFERENCE["missed"])


def test_keys_go_through_the_slices_and_stop_at_the_ends(page, tmp_path):
    def ends(action):
        _, drawn = browse(page, tmp_path, "--dump-dom", action=action)
        return re.findall(r'data-slice="(\d+)" data-overlay="(\w+)"', drawn)

    assert ends('key("ArrowRight"); key("1")') == [("3", "none")]
    assert ends('key("ArrowLeft"); key("ArrowLeft"); key("ArrowLeft"); key("9")') == [("0", "prediction")]
    assert ends('key("End"); key("PageUp")') == [("4", "prediction")]


def test_without_scripts_the_picture_is_there(page):
    assert re.search(r'<img src="data:image/png;base64,[^"]+" alt="Tomogram &lt;1&gt;">', page)
    assert "<canvas" not in page


def test_a_browser_that_cannot_unpack_says_so(page, tmp_path):
    text = page.replace("<main>", "<main><script>delete window.DecompressionStream</script>")
    said, drawn = browse(text, tmp_path, "--dump-dom")
    assert any("DecompressionStream is not defined" in line for line in said)
    assert 'data-state="still"' in drawn
    assert "cannot unpack the slices" in drawn
    assert not re.search(r"<img[^>]* hidden", drawn)
