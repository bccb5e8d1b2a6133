import gzip

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.transform import Rotation

from cryoexp.errors import DataError
from cryoexp.io.relion import Particles, angles_to_matrix, matrix_to_angles, read_particles
from cryoexp.io.relion_write import write_particles

RELION_30 = """
data_

loop_
_rlnImageName #1
_rlnMicrographName #2
_rlnCoordinateX #3
_rlnCoordinateY #4
_rlnAngleRot #5
_rlnAngleTilt #6
_rlnAnglePsi #7
_rlnOriginX #8
_rlnOriginY #9
_rlnVoltage #10
_rlnMagnification #11
_rlnDetectorPixelSize #12
_rlnClassNumber #13
000001@a.mrcs  m1.mrc  100.0 200.0  10 20 30  1.5 -2.0  300.0  50000  7.0  2
000002@a.mrcs  m1.mrc  110.0 210.0  40 50 60  0.0  0.5  300.0  50000  7.0  1
"""

OPTICS = """
# version 30001

data_optics

loop_
_rlnOpticsGroup #1
_rlnOpticsGroupName #2
_rlnVoltage #3
_rlnImagePixelSize #4
_rlnMicrographPixelSize #5
1 opticsGroup1 300.0 2.8 1.4
2 opticsGroup2 200.0 3.0 1.5
"""

RELION_31 = (
    OPTICS
    + """
# version 30001

data_particles

loop_
_rlnImageName #1
_rlnCoordinateX #2
_rlnCoordinateY #3
_rlnAngleRot #4
_rlnAngleTilt #5
_rlnAnglePsi #6
_rlnOriginXAngst #7
_rlnOriginYAngst #8
_rlnOpticsGroup #9
_rlnDefocusU #10
000001@a.mrcs 100.0 200.0 10 20 30 1.5 -2.0 2 15000.0
000002@a.mrcs 110.0 210.0 40 50 60 0.0  0.5 1 16000.0
"""
)

RELION_4 = """
data_optics

loop_
_rlnOpticsGroup #1
_rlnOpticsGroupName #2
_rlnTomoTiltSeriesPixelSize #3
_rlnImagePixelSize #4
1 TS_01 1.35 5.4

data_particles

loop_
_rlnTomoName #1
_rlnTomoParticleName #2
_rlnCoordinateX #3
_rlnCoordinateY #4
_rlnCoordinateZ #5
_rlnAngleRot #6
_rlnAngleTilt #7
_rlnAnglePsi #8
_rlnOriginXAngst #9
_rlnOriginYAngst #10
_rlnOriginZAngst #11
_rlnOpticsGroup #12
0022 0022/1 400.0 800.0 200.0 30 40 50 2.7 -5.4 1.35 1
0022 0022/2 404.0 808.0 208.0 31 41 51 0.0 0.0 0.0 1
"""

RELION_5 = """
data_general

_rlnTomoSubTomosAre2DStacks 1

data_optics

loop_
_rlnOpticsGroup #1
_rlnOpticsGroupName #2
_rlnTomoTiltSeriesPixelSize #3
_rlnImagePixelSize #4
1 TS_01 1.35 5.4

data_particles

loop_
_rlnTomoName #1
_rlnTomoParticleName #2
_rlnTomoVisibleFrames #3
_rlnCenteredCoordinateXAngst #4
_rlnCenteredCoordinateYAngst #5
_rlnCenteredCoordinateZAngst #6
_rlnTomoSubtomogramRot #7
_rlnTomoSubtomogramTilt #8
_rlnTomoSubtomogramPsi #9
_rlnAngleRot #10
_rlnAngleTilt #11
_rlnAnglePsi #12
_rlnOriginXAngst #13
_rlnOriginYAngst #14
_rlnOriginZAngst #15
_rlnOpticsGroup #16
TS_01 TS_01/1 [1,1,0] -135.0 270.0 54.0 30 40 50 0 90 0 1.0 2.0 3.0 1
"""

TOMOGRAM = (300, 601, 800)  # z, y, x in pixels of 1.35 Å


@pytest.fixture
def star(tmp_path):
    def write(text, name="particles.star"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def test_relion_30(star):
    particles = read_particles(star(RELION_30))
    table = particles.table
    assert (particles.version, particles.centred, len(particles)) == ("3.0", False, 2)
    assert table["pixel_size"].tolist() == [1.4, 1.4]  # 7 µm / 50000
    assert table["x"].tolist() == pytest.approx([140.0, 154.0])
    assert table["origin_x"].tolist() == pytest.approx([2.1, 0.0])
    assert table["image"].tolist() == ["000001@a.mrcs", "000002@a.mrcs"]
    assert table["class_number"].tolist() == [2, 1]
    assert table[["rot", "tilt", "psi"]].to_numpy().tolist() == [[10, 20, 30], [40, 50, 60]]
    assert "z" not in table
    with pytest.raises(DataError, match="coordinate z"):
        particles.positions(TOMOGRAM, 1.4)


def test_relion_31_takes_the_pixel_size_of_each_optics_group(star):
    particles = read_particles(star(RELION_31))
    assert particles.version == "3.1"
    assert particles.table["pixel_size"].tolist() == [1.5, 1.4]
    assert particles.table["image_pixel_size"].tolist() == [3.0, 2.8]
    assert particles.table["x"].tolist() == pytest.approx([150.0, 154.0])
    assert particles.table["origin_y"].tolist() == [-2.0, 0.5]
    assert particles.table["rlnDefocusU"].tolist() == [15000.0, 16000.0]
    assert particles.optics["rlnVoltage"].tolist() == [300.0, 200.0]


def test_relion_4_counts_in_unbinned_pixels(star):
    particles = read_particles(star(RELION_4))
    assert (particles.version, particles.centred) == ("4", False)
    assert particles.table["tomogram"].tolist() == ["0022", "0022"]
    assert particles.table["name"].tolist() == ["0022/1", "0022/2"]
    # a tomogram binned by 4: (400 - 2, 800 + 4, 200 - 1) / 4 in x, y, z
    np.testing.assert_allclose(particles.positions((75, 150, 200), 5.4)[0], [199 / 4, 804 / 4, 398 / 4])


def test_relion_5_counts_from_the_middle_in_angstrom(star):
    particles = read_particles(star(RELION_5.replace("30 40 50 0 90 0", "0 0 0 10 20 30")))
    assert (particles.version, particles.centred) == ("5", True)
    # golden: (index - N // 2) · voxel, less the origin
    expected = [150 + (54 - 3) / 1.35, 300 + (270 - 2) / 1.35, 400 + (-135 - 1) / 1.35]
    np.testing.assert_allclose(particles.positions(TOMOGRAM, 1.35)[0], expected)
    np.testing.assert_allclose(particles.table[["rot", "tilt", "psi"]].to_numpy()[0], [10, 20, 30])


def test_angles_of_subtomogram_and_particle_are_one_rotation(star):
    particles = read_particles(star(RELION_5))
    frame, own = (angles_to_matrix(np.array([a], dtype=float))[0] for a in ([30, 40, 50], [0, 90, 0]))
    np.testing.assert_allclose(particles.matrices()[0], frame @ own, atol=1e-9)
    origin = particles.table[["origin_x", "origin_y", "origin_z"]].to_numpy()[0]
    np.testing.assert_allclose(origin, frame @ [1, 2, 3], atol=1e-9)


def test_angles_are_relions():
    rot, tilt, psi = np.deg2rad([30, 40, 50])

    def rz(a):
        return np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])

    ry = np.array([[np.cos(tilt), 0, np.sin(tilt)], [0, 1, 0], [-np.sin(tilt), 0, np.cos(tilt)]])
    matrix = angles_to_matrix(np.array([[30.0, 40.0, 50.0]]))
    np.testing.assert_allclose(matrix[0], (rz(rot) @ ry @ rz(psi)).T, atol=1e-12)
    np.testing.assert_allclose(matrix_to_angles(matrix)[0], [30, 40, 50], atol=1e-9)


@pytest.mark.parametrize("text", [RELION_4, RELION_5])
@pytest.mark.parametrize("version", ["4", "5"])
def test_round_trips_to_a_hundredth_of_an_angstrom(star, tmp_path, text, version):
    first = read_particles(star(text))
    write_particles(tmp_path / "out.star", first, version, shape=TOMOGRAM)
    back = read_particles(tmp_path / "out.star")
    assert back.version == version
    difference = back.positions(TOMOGRAM, 1.35) - first.positions(TOMOGRAM, 1.35)
    assert np.abs(difference).max() * 1.35 < 0.01
    np.testing.assert_allclose(back.matrices(), first.matrices(), atol=1e-6)
    assert back.table["tomogram"].tolist() == first.table["tomogram"].tolist()
    assert back.table["name"].tolist() == first.table["name"].tolist()
    assert back.optics["rlnImagePixelSize"].tolist() == [5.4]


@pytest.mark.parametrize("text", [RELION_30, RELION_31])
def test_single_particles_round_trip(star, tmp_path, text):
    first = read_particles(star(text))
    write_particles(tmp_path / "out.star", first, "4")
    back = read_particles(tmp_path / "out.star")
    assert back.version == "3.1"
    names = ["image", "x", "y", "rot", "tilt", "psi", "origin_x", "origin_y", "pixel_size", "image_pixel_size"]
    pd.testing.assert_frame_equal(back.table[names], first.table[names], check_exact=False, atol=1e-6)


def test_from_corner_to_middle_needs_the_shape(star, tmp_path):
    first = read_particles(star(RELION_4))
    with pytest.raises(DataError, match="shape="):
        write_particles(tmp_path / "out.star", first, "5")
    with pytest.raises(DataError, match="tomogram 0022"):
        write_particles(tmp_path / "out.star", first, "5", shape={"other": TOMOGRAM})
    assert not (tmp_path / "out.star").exists()
    write_particles(tmp_path / "out.star", first, "5", shape={"0022": TOMOGRAM})
    back = read_particles(tmp_path / "out.star").table
    assert back["x"].tolist() == pytest.approx([0.0, 4 * 1.35])
    assert back["y"].tolist() == pytest.approx([500 * 1.35, 508 * 1.35])
    assert back["z"].tolist() == pytest.approx([50 * 1.35, 58 * 1.35])


def test_particles_made_in_code(tmp_path):
    table = pd.DataFrame({"tomogram": ["a", "a"], "x": [1.0, 2.0], "y": [3.0, 4.0], "z": [5.0, 6.0]})
    write_particles(tmp_path / "p.star", Particles(table, pd.DataFrame(), "5", centred=True))
    back = read_particles(tmp_path / "p.star")
    np.testing.assert_allclose(back.positions((10, 10, 10), 1.0), [[10, 8, 6], [11, 9, 7]])
    with pytest.raises(DataError, match="no angles"):
        back.matrices()
    with pytest.raises(DataError, match="pixel size"):
        write_particles(tmp_path / "q.star", back, "4", shape=(10, 10, 10))


@pytest.mark.parametrize(
    ("text", "old", "new", "message"),
    [
        (RELION_30, "0.5  300.0", "0.5  30.0", r"particles\.star row 2: rlnVoltage=30.0 is outside 80..1000 kV"),
        (RELION_30, "40 50 60", "40 fifty 60", r"row 2: rlnAngleTilt=fifty is outside"),
        (RELION_31, "300.0 2.8", "300.0 0.01", r"data_optics row 1: rlnImagePixelSize=0.01 is outside 0.05..10000 Å"),
        (RELION_31, "-2.0 2 15", "-2.0 3 15", r"row 1: rlnOpticsGroup=3 is not in data_optics \(1, 2\)"),
        (RELION_4, "1.35 1\n", "inf 1\n", r"row 1: rlnOriginZAngst=inf"),
        (RELION_5, "_rlnCenteredCoordinateXAngst", "_a", "no particles in data_general, data_optics, data_particles"),
        (RELION_31, "2 opticsGroup2", "1 opticsGroup2", "in which each number stands once"),
    ],
)
def test_errors_name_the_row(star, text, old, new, message):
    assert old in text
    with pytest.raises(DataError, match=message):
        read_particles(star(text.replace(old, new, 1)))


def test_a_cut_last_line_is_refused(star):
    with pytest.raises(DataError, match="the last line holds 11 of 12 values"):
        read_particles(star(RELION_4.rstrip()[:-1]))


def test_pixels_without_a_pixel_size_need_one(star):
    text = "data_\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n1.0 2.0\n"
    with pytest.raises(DataError, match="Give pixel_size="):
        read_particles(star(text))
    assert read_particles(star(text), pixel_size=2.0).table["y"].tolist() == [4.0]
    with pytest.raises(DataError, match="pixel_size="):
        read_particles(star(text), pixel_size=0.0)


def test_a_gzipped_star(star, tmp_path):
    (tmp_path / "p.star.gz").write_bytes(gzip.compress(star(RELION_4).read_bytes()))
    assert len(read_particles(tmp_path / "p.star.gz")) == 2


def test_copick_agrees_on_the_angles():
    formats = pytest.importorskip("copick.util.formats")
    matrices = Rotation.random(20, rng=np.random.default_rng(0)).as_matrix()
    np.testing.assert_allclose(matrix_to_angles(matrices), formats._relion_eulers(matrices), atol=1e-6)


def test_the_real_annotations(tmp_path, real_data):
    rubisco = read_particles(real_data / "annotations" / "rubisco.star.gz", pixel_size=1.96)
    assert len(rubisco) == 13_946
    assert rubisco.table["tomogram"].nunique() == 14
    assert rubisco.table["class_name"].unique().tolist() == ["rubisco"]
    assert rubisco.table["x"].iloc[0] == pytest.approx(1311.046 * 1.96)
    with pytest.raises(DataError, match="Give pixel_size="):
        read_particles(real_data / "annotations" / "rubisco.star.gz")
    atpase = read_particles(real_data / "annotations" / "atpase.star", pixel_size=1.96)
    shape = (1440, 4096, 4096)
    for version in ("4", "5"):
        write_particles(tmp_path / "out.star", atpase, version, shape=shape)
        back = read_particles(tmp_path / "out.star")
        assert back.version == version
        difference = back.positions(shape, 1.96) - atpase.positions(shape, 1.96)
        assert np.abs(difference).max() * 1.96 < 0.01
