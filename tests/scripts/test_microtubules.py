"""The study of real microtubules: distances from an axis, and the whole on crops where there are some."""

import json

import numpy as np
import pytest

from cryoexp.errors import ConfigError
from tests.scripts.test_studies import script

SHAPE = (12, 30, 26)


@pytest.fixture(scope="module")
def study():
    return script("studies/microtubules")


def test_distances_from_a_line_along_an_axis(study):
    voxel = study.VOXEL / 10
    along, line = study.distances(SHAPE, (5 * voxel, 4 * voxel, 9 * voxel), (5 * voxel, 20 * voxel, 9 * voxel))
    z, y, x = np.indices(SHAPE)
    expected = np.hypot(z - 5, x - 9) * voxel
    np.testing.assert_allclose(line, expected, atol=1e-9)
    inside = (y >= 4) & (y <= 20)
    inner = (y > 4) & (y < 20)  # of the ends themselves rounding decides
    np.testing.assert_allclose(along[inner], expected[inner], atol=1e-9)
    assert np.isinf(along[~inside]).all()


def test_distances_from_a_line_that_runs_askew(study):
    """The way to a line and along it make up the way to its end, and both ends are on it."""
    first, last = np.array([2.0, 3.0, 4.0]), np.array([9.0, 22.0, 17.0])
    along, line = study.distances(SHAPE, tuple(first), tuple(last))
    places = np.moveaxis(np.indices(SHAPE), 0, -1) * study.VOXEL / 10
    length = np.linalg.norm(last - first)
    ways = [np.linalg.norm(places - end, axis=-1) for end in (first, last)]
    part = [np.sqrt(np.maximum(0, way**2 - line**2)) for way in ways]
    within = np.isfinite(along)
    np.testing.assert_allclose(sum(part)[within], length, atol=1e-6)
    np.testing.assert_allclose(np.abs(part[0] - part[1])[~within], length, atol=1e-6)
    back = study.distances(SHAPE, tuple(last), tuple(first))
    np.testing.assert_allclose(back[1], line, atol=1e-9)
    np.testing.assert_allclose(back[0][within], along[within], atol=1e-9)


def test_a_tube_along_the_axis_has_the_volume_of_a_cylinder(study):
    along, _ = study.distances((39, 60, 39), (20.0, 0.0, 20.0), (20.0, 60.0, 20.0))
    volume = (along <= study.RADIUS).sum() * (study.VOXEL / 10) ** 3
    assert volume == pytest.approx(np.pi * study.RADIUS**2 * 60, rel=0.03)


def test_the_axes_lie_within_the_crops(study, real_data):
    from cryoexp.io.tiff import read_tiff

    for name, ends in study.AXES.items():
        shape = np.array(read_tiff(real_data / "tomograms" / f"{name}.tif", study.VOXEL).data.shape)
        for end in ends:
            assert (np.array(end) >= 0).all()
            assert (np.array(end) <= shape * study.VOXEL / 10).all()


def test_the_number_of_the_class_is_that_of_the_training(study, tmp_path):
    def write(classes):
        (tmp_path / "manifest.json").write_text(json.dumps({"training": {"classes": classes}}))

    write(["background", "membrane", "microtubule"])
    assert study.number_of(tmp_path) == 2
    write(["background", "membrane"])
    with pytest.raises(ConfigError, match="its classes are background, membrane, and microtubule is none of them"):
        study.number_of(tmp_path)


@pytest.mark.parametrize(
    "given", [[], ["run=a"], ["output=b"], ["run=a", "output=b", "device=cpu"], ["run", "output=b"],
              ["run=a", "output=b", "task.axes"]],
)  # fmt: skip
def test_other_arguments_are_answered_with_the_usage(given, study):
    with pytest.raises(ConfigError, match=r"usage: python scripts/studies/microtubules\.py run=<run> output=<folder>"):
        study.main(given)


def test_crops_that_are_not_there_are_asked_for(study, tmp_path):
    with pytest.raises(ConfigError, match=r"no 13pf_MT\.tif there\. Give data=<folder> or set CRYOEXP_TEST_DATA"):
        study.main(["run=a", f"output={tmp_path / 'out'}", f"data={tmp_path}"])


def test_a_network_that_labels_the_known_tube_finds_all_of_it(study, real_data, tmp_path, monkeypatch):
    """The whole script, with the prediction replaced by the truth."""
    import pandas as pd

    from cryoexp.io.mrc import Volume, write_volume
    from cryoexp.io.tiff import read_tiff

    asked = []

    def predict(arguments):
        asked.extend(arguments)
        output = tmp_path / "out"
        output.mkdir()
        (output / "manifest.json").write_text(json.dumps({"training": {"classes": ["background", "microtubule"]}}))
        for name, ends in study.AXES.items():
            shape = read_tiff(real_data / "tomograms" / f"{name}.tif", study.VOXEL).data.shape
            labels = (study.distances(shape, *ends)[1] <= study.RADIUS).astype(np.int8)
            write_volume(output / f"{name}__labels.mrc", Volume(labels, study.VOXEL))

    monkeypatch.setattr(study, "predict", predict)
    study.main(["run=r", f"output={tmp_path / 'out'}", f"data={real_data / 'tomograms'}", "task.decide=argmax"])
    table = pd.read_csv(tmp_path / "out" / "microtubules.csv")
    assert table["recall"].tolist() == [1, 1]
    assert table["false"].tolist() == [0, 0]
    assert (tmp_path / "out" / "microtubules.png").is_file()
    assert {"contrast=bright", "voxel_size=10.0", "task.decide=argmax"} <= set(asked)
