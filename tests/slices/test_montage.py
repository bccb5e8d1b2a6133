import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from cryoexp import plotting
from cryoexp.slices import draw_montage, take_frames
from cryoexp.slices.montage import DIFFERENCE, difference, paint


def test_every_case_of_the_difference():
    truth = np.array([0, 1, 2, 0, 2, 255, 255, 1], np.uint8)
    prediction = np.array([0, 1, 0, 1, 1, 0, 2, 255], np.uint8)
    names = ["", *DIFFERENCE]
    codes = difference(truth, prediction)
    assert codes.dtype == np.uint8
    assert [names[c] for c in codes[:5]] == ["", "right", "missed", "false", "another class"]
    assert (codes[5:] == 255).all()


def test_truth_against_itself_is_right():
    label = np.random.default_rng(0).integers(0, 5, (3, 9, 8), dtype=np.uint8)
    np.testing.assert_array_equal(difference(label, label), label > 0)


def test_paint_leaves_the_background_and_covers_the_rest():
    grey = np.full((8, 8), 102, np.uint8)
    label = np.zeros((8, 8), np.uint8)
    label[0, 0], label[4:] = 2, 255
    colours = plotting.class_colours(3)
    shown = paint(grey, label, colours, opacity=1)
    np.testing.assert_allclose(shown[0, 0], to_rgb(colours[2]))
    np.testing.assert_allclose(shown[:4].reshape(-1, 3)[1:], 0.4)
    striped = shown[4:, :, 0]
    assert set(np.unique(striped.round(3))) == {0.16, 0.4}
    np.testing.assert_allclose(paint(grey, label, colours, opacity=0)[0, 0], 0.4)


def test_colours_of_classes_are_the_same_however_many_there_are():
    few, many = plotting.class_colours(4), plotting.class_colours(13)
    assert many[:4] == few
    assert len(set(many)) == 13
    assert plotting.class_colours(0) == []
    assert len(plotting.class_colours(255)) == 255


def test_a_picture_of_every_shape(tmp_path):
    for shape in ((1, 1, 1), (3, 5, 200), (2, 200, 5)):
        label = np.zeros(shape, np.uint8)
        frames = take_frames(label, {"truth": label, "prediction": label}, range(shape[0]), voxel_size=2.5)
        draw_montage(frames, ["background", "a"], tmp_path / "a.png", title="t")
        assert imread(tmp_path / "a.png").shape[1] > 400
