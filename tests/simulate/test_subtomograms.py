import pytest
import torch

from cryoexp.errors import ConfigError
from cryoexp.physics.noise import FilteredNoise, noise_sigma, variance
from cryoexp.physics.optics import Optics
from cryoexp.simulate.structures import load
from cryoexp.simulate.subtomograms import SubtomogramSimulator
from cryoexp.simulate.templates import make_templates
from tests.physics.test_noise import OPTICS

NAMES = ["dimer80", "ring240", "barrel700", "ribo2500"]
SETTINGS = {
    "voxel_size": 10.0, "box": 32, "neighbours": 4, "crowding": "spheres", "mass_fraction": 0.1, "jitter": 2.0,
    "nearest_target": True, "contrast": "dark",
}  # fmt: skip


@pytest.fixture(scope="module")
def templates():
    return make_templates(load(NAMES, 10.0), 10.0)


def simulator(templates, optics=None, **changes):
    return SubtomogramSimulator(templates, **{**SETTINGS, **changes}, optics=Optics(**{**OPTICS, **(optics or {})}))


def made(templates, n=64, seed=0, **changes):
    labels = torch.arange(n) % len(templates)
    return simulator(templates, **changes)(labels, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("support", ["box", "mask"])
@pytest.mark.parametrize("snr", [0.01, 0.03, 0.05, 0.1, 1.0])
def test_snr_is_what_was_asked_for(templates, support, snr):
    """Pooled over 64 items: sum of signal variances over sum of noise variances (over the box), within 2 %."""
    items = made(templates)
    power = items.variance_box if support == "box" else items.variance_support
    noise = FilteredNoise(Optics(**OPTICS).noise_transfer(32, 10.0))
    numbers = torch.randn(64, noise.degrees, generator=torch.Generator().manual_seed(1))
    added = noise_sigma(power, snr).view(-1, 1, 1, 1) * noise.volumes(numbers)
    assert float(power.sum() / variance(added).sum()) == pytest.approx(snr, rel=0.02)


def test_mask_convention_is_several_times_noisier(templates):
    items = made(templates)
    assert 3 < float(items.variance_support.sum() / items.variance_box.sum()) < 12


@pytest.mark.parametrize("jitter", [2.0, 8.0])
@pytest.mark.parametrize("crowding", ["spheres", "contact", "scene"])
def test_the_target_is_the_particle_nearest_to_the_centre(templates, jitter, crowding):
    centres = made(templates, jitter=jitter, crowding=crowding).scenes.centres
    distance = centres.norm(dim=2)
    assert (distance[:, :1] < distance[:, 1:]).all()
    assert centres[:, 0].abs().max() <= jitter


def test_without_the_rule_some_labels_are_ambiguous(templates):
    centres = made(templates, n=256, jitter=8.0, nearest_target=False).scenes.centres
    distance = centres.norm(dim=2)
    assert 0.05 < float((distance[:, 1:].amin(1) < distance[:, 0]).float().mean()) < 0.5


def test_protein_is_dark_and_bright_inverts(templates):
    dark = made(templates, n=8, neighbours=0, jitter=0.0, optics={"ctf": False})
    bright = made(templates, n=8, neighbours=0, jitter=0.0, optics={"ctf": False}, contrast="bright")
    assert torch.equal(dark.signal, -bright.signal)
    assert (dark.signal.masked_fill(~dark.support, 0).sum((1, 2, 3)) < 0).all()


def test_missing_wedge_is_empty(templates):
    """Along the beam nothing is measured; without a wedge there is power."""
    for tilt_max, empty in ((60.0, True), (90.0, False)):
        items = made(templates, n=4, neighbours=0, jitter=0.0, optics={"tilt_max": tilt_max, "ctf": False})
        power = torch.fft.rfftn(items.signal, dim=(1, 2, 3)).abs().square().mean(0)
        assert (float(power[3:6, 0, 0].sum() / power[0, 0, 3:6].sum()) < 0.05) == empty


def test_low_pass(templates):
    """Nothing beyond the edge at 32 Å but the leakage of cutting out the box."""
    power = torch.fft.rfftn(made(templates, n=4).signal, dim=(1, 2, 3)).abs().square().mean(0)
    assert float(power[0, 0, 12:].sum()) < 5e-3 * float(power[0, 0, 1:8].sum())


def test_same_seed_same_bits(templates):
    a, b = made(templates, n=8, seed=3), made(templates, n=8, seed=3)
    assert torch.equal(a.signal, b.signal)
    assert not torch.equal(a.signal, made(templates, n=8, seed=4).signal)


def test_support_holds_the_target(templates):
    items = made(templates, n=8, neighbours=0)
    inside = variance(items.signal, items.support)
    outside = variance(items.signal, ~items.support)
    assert (inside > 5 * outside).all()


def test_box_too_small():
    with pytest.raises(ConfigError, match=r"capsid4000 is 30 voxels .*dataset\.box="):
        simulator(make_templates(load(["blob40", "capsid4000"], 10.0), 10.0), box=24)


def test_resolution_too_fine(templates):
    with pytest.raises(ConfigError, match="at least three voxels, 30 Å"):
        simulator(templates, optics={"resolution": 20.0})
