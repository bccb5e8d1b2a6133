import re

import numpy as np

from cryoexp import plotting
from cryoexp.report.html import write_page

MANIFEST = {
    "command": "python train.py snr=inf", "device": "1 x cpu", "seed": 0,
    "config": {"task": {"_target_": "cryoexp.tasks.classify.Classify"}, "snr": float("inf")},
}  # fmt: skip


def test_one_page_with_everything(tmp_path):
    (tmp_path / "predictions").mkdir()
    (tmp_path / "predictions" / "predictions.star").touch()
    fig, axes = plotting.figure()
    plotting.show_slice(axes[0, 0], np.arange(9.0).reshape(3, 3), "a slice")
    plotting.save(fig, tmp_path / "figures" / "curves.png")
    write_page(tmp_path, {"test/accuracy": 0.5, "test/<odd>": 1.0, "val/accuracy": 0.25}, MANIFEST, "30 subtomograms")
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 1
    for text in ("classify", "30 subtomograms", "0.500", "predictions.star", "snr: inf", "python train.py snr=inf"):
        assert text in page
    assert "&lt;odd&gt;" in page  # names are text, not markup
    assert not re.search(r"https?://", page)
