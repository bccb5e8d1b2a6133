import numpy as np
import pytest
from matplotlib.image import imread

from cryoexp import plotting
from cryoexp.errors import DataError
from cryoexp.tasks.segment import figures

NAN = float("nan")
CLASSES = ["background", "membrane", "ribosome", "actin"]


@pytest.fixture
def axes(monkeypatch):
    """Axes of the figures drawn, kept open until the test ends."""
    made = []
    monkeypatch.setattr(plotting, "save", lambda fig, path: made.append(fig))
    yield lambda: made[-1].axes
    for fig in made:
        plotting.plt.close(fig)


def texts(ax):
    return [t.get_text() for t in ax.texts]


def test_overlays_with_and_without_truth(tmp_path):
    label = np.random.default_rng(0).integers(0, 4, (5, 20, 30), dtype=np.uint8)
    volume = label.astype(np.float16)
    widths = []
    for truth in (None, label):
        figures.draw_overlays(volume, truth, label, CLASSES, tmp_path / "a.png")
        widths.append(imread(tmp_path / "a.png").shape[1])
    assert widths[1] / widths[0] == pytest.approx(2, rel=0.1)  # four columns, and two
    with pytest.raises(DataError, match="like the volume"):
        figures.draw_overlays(volume, label[1:], label, CLASSES, tmp_path / "a.png")


def test_overlays_say_which_slices(axes, tmp_path):
    label = np.zeros((31, 4, 4), np.uint8)
    figures.draw_overlays(label, label, label, CLASSES, tmp_path / "a.png", average=3)
    titles = [ax.get_title() for ax in axes()]
    assert titles[0::4] == [f"z = {z}, mean of 3 slices" for z in (5, 15, 25)]
    assert titles[1:4] == ["truth", "prediction", "difference"]
    figures.draw_overlays(label, None, label, CLASSES, tmp_path / "a.png", at=[7])
    assert [ax.get_title() for ax in axes()] == ["z = 7", "prediction"]


def test_dice_of_an_absent_class_is_a_dash(axes, tmp_path):
    pooled = np.array([0.99, 0.5, 0.75, NAN])
    figures.draw_dice(pooled, np.stack([pooled, pooled]), ["a", "b"], CLASSES, tmp_path / "a.png")
    ax = axes()[0]
    assert texts(ax) == ["0.50", "0.75", "–"]
    assert [bar.get_height() for bar in ax.patches] == [0.5, 0.75, 0]
    mean = next(line for line in ax.lines if line.get_label() == "mean")
    assert mean.get_ydata()[0] == pytest.approx(0.625)  # the absent one does not count


def test_precision_recall_marks_the_threshold(axes, tmp_path):
    thresholds = np.linspace(0, 1, 11)
    recall = np.tile(1 - thresholds, (4, 1))
    precision = np.tile(thresholds, (4, 1))
    recall[3] = NAN
    chosen = [NAN, 0.5, NAN, NAN]
    figures.draw_precision_recall(precision, recall, thresholds, CLASSES, chosen, tmp_path / "a.png")
    left = axes()[0]
    dots = [line for line in left.lines if line.get_marker() == "o"]
    assert [(float(d.get_xdata()[0]), float(d.get_ydata()[0])) for d in dots] == [(0.5, 0.5)]
    labels = [line.get_label() for line in left.lines]
    assert "membrane  at 0.50: Dice 0.500" in labels
    assert "ribosome" in labels
    assert "actin  absent" in labels
    curve = next(line for line in left.lines if line.get_label() == "ribosome")
    assert curve.get_color() == plotting.class_colours(4)[2]


def test_confusion_of_voxels(axes, tmp_path):
    counts = np.array([[12_345_678, 0, 0, 0], [9_999, 10_000, 0, 0], [0, 1, 3, 0], [0, 0, 0, 0]])
    title = figures.share_right(counts)
    assert title == "voxels: 99.9% right, 50.0% of the foreground"
    plotting.draw_confusion(counts, CLASSES, tmp_path / "a.png", title=title)
    left, right = axes()[:2]
    assert [t for t in texts(left) if t] == ["12M", "9999", "10k", "1", "3"]
    assert [t for t in texts(right) if t] == ["1", ".50", ".50", ".25", ".75"]
    assert left.get_title() == title
    assert figures.share_right(np.zeros((2, 2), int)) == "voxels: 0.0% right"
