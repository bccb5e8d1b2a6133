"""What others do to find particles: blobs, templates, and a program of its own."""

import sys
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from cryoexp.errors import ConfigError, DataError
from cryoexp.inference.whole import Tomogram
from cryoexp.io.mrc import Volume
from cryoexp.physics.rotations import even_rotations
from cryoexp.simulate.structures import load
from cryoexp.simulate.templates import make_templates
from cryoexp.tasks.detect.peers import blobs, correlate, deepfinder, turned
from cryoexp.tasks.detect.peers.tuning import Course, Judged, Peer, balls, picks_of
from cryoexp.tasks.detect.truth import true_particles

SHAPE = (32, 40, 48)
CENTRES = np.array([[10.0, 10.0, 10.0], [20.3, 28.6, 12.0], [16.0, 15.4, 35.7], [16.0, 26.0, 35.7]])


def the_balls(radius=5.0):
    return balls(SHAPE, CENTRES, np.ones(len(CENTRES)), np.ones(len(CENTRES), int), np.array([radius]))


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def a_tomogram(volume, numbers, name="one"):
    return Tomogram(name, Volume(volume, 10.0), lambda given: given, truth=(numbers > 0).astype(int), instances=numbers)


def a_course(volume, numbers):
    tomogram = a_tomogram(volume, numbers)
    judged = Judged(tomogram, np.asarray(tomogram.truth), true_particles(np.asarray(tomogram.truth), numbers))
    return Course({"val": [judged], "test": [judged]}, ["background", "ball"], np.array([5.0]), 0.5, 10.0)


@pytest.mark.parametrize("dark", [True, False])
def test_blobs_are_found_where_they_are_and_learned_on_validation(dark):
    numbers = the_balls().numbers
    volume = ((-1 if dark else 1) * (numbers > 0) + 0.3 * noise(*SHAPE).numpy() + 7).astype(np.float32)
    row = a_course(volume, numbers).run(blobs.blobs(np.array([5.0]), dark))
    assert row.scores["test"]["f1"] == 1
    assert row.scores["test"]["center_error_vox"] < 0.5
    assert np.isnan(row.scores["test"]["f1_ball"])  # it tells no classes
    assert row.scores["test"]["seconds"] > 0


def test_a_ball_answers_best_to_a_scale_near_its_radius_over_root_three():
    z, y, x = np.ogrid[-20:21, -20:21, -20:21]
    ball = ((z**2 + y**2 + x**2) <= 8**2).astype(np.float32)
    shares = np.arange(0.3, 0.81, 0.05)
    heights = [blobs.differences(ball, [8 * share])[20, 20, 20] for share in shares]
    middle = np.sqrt((1 + blobs.WIDER**2) / 2)  # of the two Gaussians
    assert shares[int(np.argmax(heights))] * middle == pytest.approx(1 / np.sqrt(3), abs=0.1)


def test_nothing_found_is_a_score_of_nothing():
    numbers = the_balls().numbers
    row = a_course(np.zeros(SHAPE, np.float32), numbers).run(blobs.blobs(np.array([5.0]), True))
    assert row.scores["test"]["recall"] == 0
    assert row.threshold == np.inf


def test_better_picks_have_the_voxels_where_two_meet():
    found = balls(SHAPE, CENTRES[2:], np.array([0.2, 0.9]), np.array([1, 2]), np.array([6.0, 7.0]))
    assert found.table["score"].tolist() == [0.9, 0.2]
    assert found.table["class_number"].tolist() == [2, 1]
    assert found.numbers[16, 21, 36] == 1  # nearer to the other
    assert found.table["voxels"].sum() == (found.numbers > 0).sum()


def test_a_planted_template_is_found_with_its_rotation_and_correlates_fully():
    (wedge,) = make_templates(load(["ring240"], 10.0), 10.0)
    rotations = even_rotations(20)
    templates = turned.turned(wedge, rotations, 21) * torch.linspace(0.5, 1.5, 21)  # none is like another
    mask = correlate.ball(21, 10.0)
    volume = torch.zeros(40, 44, 48)
    volume[8:29, 12:33, 21:42] = 3 * templates[7] - 2
    found = correlate.match(volume, templates, mask)
    assert float(found.scores.max()) == pytest.approx(1, abs=1e-4)
    assert np.unravel_index(int(found.scores.argmax()), volume.shape) == (18, 22, 31)
    assert int(found.which[18, 22, 31]) == 7
    assert float(found.scores.min()) >= -1 - 1e-4


@pytest.mark.parametrize("scaled", [True, False])
def test_a_planted_template_is_found_in_noise(scaled):
    templates = noise(5, 9, 9, 9)
    volume = noise(30, 34, 28, seed=1)
    volume[3:12, 20:29, 0:9] += templates[3]
    maps = turned.match_all(volume, [turned.Bank(templates[:2], correlate.ball(9, 4.5)),
                                     turned.Bank(templates[2:], correlate.ball(9, 4.5))])  # fmt: skip
    found = turned.find_matches(maps, np.array([4.0, 4.0]), turned.Setting(1.0, scaled))
    assert np.abs(found.centres[0] - [7, 24, 4]).max() < 1
    assert found.table["class_number"][0] == 2


def test_correlation_is_that_of_numpy_and_knows_no_gain_and_no_offset():
    volume, templates, mask = noise(14, 15, 16), noise(3, 5, 5, 5, seed=1), correlate.ball(5, 2.3)
    found = correlate.match(volume, templates, mask)
    place = volume[4:9, 6:11, 3:8][mask].numpy()
    expected = [np.corrcoef(place, t[mask].numpy())[0, 1] for t in templates]
    assert float(found.scores[6, 8, 5]) == pytest.approx(max(expected), abs=1e-4)
    inside = (slice(2, -2),) * 3  # beyond the border are zeros, which an offset does not shift
    other = correlate.match(40 * volume + 5, 0.1 * templates - 3, mask)
    torch.testing.assert_close(other.scores[inside], found.scores[inside], atol=1e-3, rtol=0)


def test_where_nothing_varies_nothing_is_found():
    volume = noise(16, 16, 16)
    volume[:8] = 0
    assert float(correlate.match(volume, noise(1, 5, 5, 5), correlate.ball(5, 2.0)).scores[2:5].abs().max()) == 0


def test_templates_are_what_the_simulator_makes_of_the_structure(composed):
    from cryoexp.config.build import build
    from tests.data.test_tomograms import SMALL

    data = build(composed(*SMALL, "dataset.labels={ring240: [ring240]}", tiny=False).dataset)
    (bank,) = turned.make_banks(data.recipe, even_rotations(6), alike=1)
    assert bank.templates.shape[0] == 6
    response = turned.point_response(data.recipe.optics, 10.0, 25)
    assert float(response[12, 12, 12]) == float(response.max()) > 0  # matter is bright
    spectrum = torch.fft.fftn(response).abs()
    assert float(spectrum[5, 0, 0]) < 0.2 * float(spectrum[0, 0, 5])  # the wedge along the beam, z
    assert len(turned.make_banks(data.recipe, even_rotations(6), alike=-1)[0].templates) == 1


def test_membranes_have_no_template(composed):
    from cryoexp.config.build import build
    from tests.data.test_tomograms import SMALL

    data = build(composed(*SMALL, tiny=False).dataset)
    with pytest.raises(ConfigError, match="single_membrane has none"):
        turned.make_banks(data.recipe, even_rotations(2), alike=1)


def test_alike_templates_are_one():
    vectors = torch.nn.functional.normalize(torch.tensor([[1.0, 0], [0.99, 0.1], [0, 1], [0.7, 0.7]]), dim=1)
    assert turned.distinct(vectors, 0.9) == [0, 2, 3]
    assert turned.distinct(vectors, 1) == [0, 1, 2, 3]


def test_methods_that_share_their_first_stage_run_it_once():
    calls, numbers = [], the_balls().numbers
    course = a_course(numbers.astype(np.float32), numbers)

    def prepare(tomogram):
        calls.append(tomogram.name)
        return (np.asarray(tomogram.volume.data) > 0).astype(np.float32)

    def find(mask, distance):
        return picks_of(blobs.differences(mask, [2.5]), distance, np.array([5.0]))

    rows = [course.run(Peer(name, "", prepare, find, (3.0, 20.0))) for name in "ab"]
    assert calls == ["one"]
    assert [row.setting for row in rows] == [3.0, 3.0]


# Stand-ins for the programs of DeepFinder, which check what they are given and answer with files of the same form; they
# say nothing about DeepFinder itself
STAND_IN = """#!{python}
import sys
from pathlib import Path
from xml.etree import ElementTree
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
if {program!r} == "train":
    root = ElementTree.parse(given["-p"]).getroot()
    assert len(ElementTree.parse(root.find("path_objl_train").get("path")).getroot()) == 4
    {action}
    Path(root.find("path_out").get("path"), "net_weights_FINAL.h5").write_text("weights")
elif {program!r} == "segment":
    assert Path(given["-w"]).read_text() == "weights" and given["-c"] == "2"
    Path(given["-o"]).write_bytes(Path(given["-t"]).read_bytes())
else:
    item = '<object class_label="1" x="{{2}}" y="{{1}}" z="{{0}}" cluster_size="9"/>'
    objects = "".join(item.format(*place) for place in {places})
    Path(given["-o"]).write_text("<objlist>" + objects + "</objlist>")
"""


@pytest.fixture
def program(tmp_path):
    def make(action="pass", minutes=1.0):
        for name in ("train", "segment", "cluster"):
            path = tmp_path / name
            given = {"python": sys.executable, "program": name, "action": action, "places": CENTRES.tolist()}
            path.write_text(STAND_IN.format(**given))
            path.chmod(0o755)
        (tmp_path / "between").mkdir()
        return deepfinder.DeepFinder(str(tmp_path / "python"), tmp_path / "between", minutes, 3, 7)

    return make


def test_deepfinder_gets_files_and_gives_an_object_list(program):
    given, numbers = program(), the_balls().numbers
    course = a_course(numbers.astype(np.float32), numbers)
    row = course.run(deepfinder.deepfinder(given, course.splits["val"], course.splits["val"], course.radii))
    assert row.scores["test"]["f1"] == row.scores["test"]["f1_ball"] == 1
    settings = ElementTree.parse(given.folder / "settings.xml").getroot()
    assert settings.find("number_of_epochs").get("n") == "3"
    assert settings.find("steps_per_epoch").get("n") == "7"
    assert [node.tag for node in settings.find("path_tomo")] == ["tomo0", "tomo1"]


def test_deepfinder_that_fails_or_takes_too_long(program, tmp_path):
    numbers = the_balls().numbers
    judged = a_course(numbers.astype(np.float32), numbers).splits["val"]
    with pytest.raises(DataError, match="DeepFinder's train failed: no GPU"):
        deepfinder.learn(program("sys.exit('no GPU')"), judged, judged, 2)
    (tmp_path / "between").rename(tmp_path / "before")
    slow = program("import time; time.sleep(60)", minutes=0.01)
    with pytest.raises(DataError, match="no weights after"):
        deepfinder.learn(slow, judged, judged, 2)


def test_no_deepfinder_is_said(tmp_path):
    given = deepfinder.DeepFinder(str(tmp_path / "python"), tmp_path, 1.0, 1, 1)
    with pytest.raises(ConfigError, match="train is not there"):
        given.run("train")
