import re
import shutil
import subprocess

import numpy as np
import pytest
from matplotlib.image import imread

from cryoexp.report.html import write_page
from cryoexp.view3d import Scale, Scene3d, surface

MANIFEST = {
    "command": "python train.py task=pose", "overrides": [], "device": "1 x cpu", "seed": 0, "wall_s": 65.0,
    "git_commit": None, "config": {"task": {"_target_": "cryoexp.tasks.pose.Pose"}},
}  # fmt: skip
AXES = np.eye(3) * 10
PURE = ("#ff0000", "#00ff00", "#0000ff")
QUIET = ("disable-quic", "no-first-run", "disable-background-networking", "disable-component-update", "disable-sync")
SOFTWARE = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
# the view covers the window, does something, and tells how it went
FILL = """<style>.stage { position: fixed !important; inset: 0; height: 100vh !important; z-index: 9; }</style>
<script>addEventListener("load", () => { const stage = document.querySelector(".stage"); %s })</script></body>"""


def axes_scene():
    scene = Scene3d(azimuth=-60, elevation=20)
    for place, colour in zip(AXES, PURE, strict=True):
        scene.points(place[None], "</script><b>" + colour, radius=1.5, colour=colour)
    return scene


def page(folder, scene):
    scene.write(folder / "figures" / "reconstruction.view.json")
    write_page(folder, {"test/loss": 1.0}, MANIFEST, "", course=[], objective="val/x", classes=[])
    return (folder / "report.html").read_text()


def browse(text, folder, *flags):
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not program:
        pytest.skip("no chromium")
    (folder / "look.html").write_text(text)
    done = subprocess.run(
        [program, "--headless", "--no-sandbox", *(f"--{name}" for name in QUIET), "--force-prefers-reduced-motion",
         "--host-resolver-rules=MAP * ~NOTFOUND", "--window-size=700,800", "--enable-logging=stderr",
         f"--user-data-dir={folder / 'profile'}", *flags, (folder / "look.html").as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return [line for line in done.stderr.splitlines() if "CONSOLE" in line], done.stdout


def places(folder, action=""):
    """Where the three points are drawn, `(3, 2)` pixels to the right and upwards, after an action."""
    text = page(folder, axes_scene()).replace("</body>", FILL % action)
    said, _ = browse(text, folder, *SOFTWARE, f"--screenshot={folder / 'shot.png'}")
    assert said == []
    picture = imread(folder / "shot.png")[..., :3]
    found = []
    for i in range(3):
        others = np.delete(picture, i, axis=2).max(2)
        rows, columns = np.nonzero(picture[..., i] - others > 0.3)
        assert len(rows) > 50
        found.append([columns.mean(), -rows.mean()])
    return np.array(found)


def sides(points):
    """Two sides of the triangle: free of its place."""
    return np.concatenate([points[1] - points[0], points[2] - points[0]])


def expected(azimuth, elevation):
    return sides((AXES @ Scene3d(azimuth=azimuth, elevation=elevation).camera().T)[:, :2])


def assert_same_shape(found, wanted):
    np.testing.assert_allclose(found / np.linalg.norm(found), wanted / np.linalg.norm(wanted), atol=0.01)


def test_the_page_holds_the_scene_once_and_fetches_nothing(tmp_path):
    text = page(tmp_path, axes_scene())
    assert text.count("<figure") == 1  # its picture is the same figure, for browsers without WebGL
    assert text.count("data:image/png;base64,") == 1
    assert "The reconstruction, and from where it was seen" in text
    assert "\\u003c/script>\\u003cb>#ff0000" in text  # names are text, not markup
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
    assert not re.search(r'(src|href)="(?!data:)', text)


def test_a_page_without_scenes_has_no_script_for_them(tmp_path):
    write_page(tmp_path, {}, MANIFEST, "", course=[], objective="val/x", classes=[])
    assert "webgl" not in (tmp_path / "report.html").read_text()


def test_fifty_thousand_triangles_are_a_few_megabytes(tmp_path):
    grid = np.indices((100, 100, 100)) - 50
    ball = surface(40 - np.sqrt((grid**2).sum(0)), 0.0, 1.0, max_faces=99_000)
    assert len(ball.faces) > 50_000
    scene = Scene3d()
    scene.mesh(ball, "ball")
    assert len(page(tmp_path, scene)) < 3_000_000


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    return places(tmp_path_factory.mktemp("untouched"))


def test_the_browser_draws_the_same_hand_as_the_camera(untouched):
    assert_same_shape(sides(untouched), expected(-60, 20))


def test_keys_turn_and_zoom(tmp_path):
    keys = """const press = key => stage.dispatchEvent(new KeyboardEvent("keydown", {key}));
      for (let i = 0; i < 4; i++) press("ArrowRight");
      for (let i = 0; i < 3; i++) press("ArrowUp");
      press("ArrowLeft");
      press("-");"""
    assert_same_shape(sides(places(tmp_path, keys)), expected(-75, 5))


def test_dragging_turns_and_the_wheel_zooms(tmp_path, untouched):
    drag = """stage.setPointerCapture = () => {};
      const at = (kind, clientX, clientY) =>
        stage.dispatchEvent(new PointerEvent(kind, {clientX, clientY, pointerId: 1}));
      at("pointerdown", 100, 100); at("pointermove", 160, 80); at("pointerup", 160, 80); at("pointermove", 300, 300);
      stage.dispatchEvent(new WheelEvent("wheel", {deltaY: 400, cancelable: true, bubbles: true}));"""
    after = places(tmp_path, drag)
    assert_same_shape(sides(after), expected(-90, 10))
    share = np.linalg.norm(sides(after)) / np.linalg.norm(sides(untouched))
    turned = np.linalg.norm(expected(-90, 10)) / np.linalg.norm(expected(-60, 20))
    assert share / turned == pytest.approx(np.exp(-0.0015 * 400), rel=0.02)


def test_all_kinds_are_drawn_without_a_word_and_told_in_words(tmp_path):
    grid = np.indices((20, 20, 20)) - 10
    scene = axes_scene()
    scene.mesh(surface(6 - np.sqrt((grid**2).sum(0)), 0.0, 1.0, origin=(-10,) * 3), "see-through", opacity=0.4)
    scene.arrows(AXES, 2 * AXES, "arrows", radius=0.3, values=np.arange(3), scale=Scale("error (degrees)"))
    said, drawn = browse(page(tmp_path, scene), tmp_path, *SOFTWARE, "--dump-dom")
    assert said == []
    assert 'data-state="drawn"' in drawn
    assert 'aria-label="The reconstruction, and from where it was seen, to be turned.' in drawn
    assert "arrows; error (degrees) 0 to 2" in drawn
    assert drawn.count('type="checkbox"') == 5


def test_without_webgl_the_picture_stays_and_says_why(tmp_path):
    said, drawn = browse(page(tmp_path, axes_scene()), tmp_path, "--disable-gpu", "--disable-3d-apis", "--dump-dom")
    assert said == []
    assert 'data-state="still"' in drawn
    assert "WebGL 2 does not work in this browser" in drawn
    assert not re.search(r"<img[^>]* hidden", drawn)
