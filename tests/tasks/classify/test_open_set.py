import pytest
import torch

from cryoexp.tasks.classify.open_set import confidence, open_set_scores, threshold


def test_by_hand():
    known, unknown = torch.tensor([0.9, 0.8, 0.4, 0.7]), torch.tensor([0.3, 0.5])
    s = open_set_scores(known, unknown, 0.45)
    assert s["open_set_auroc"] == pytest.approx(7 / 8)  # of eight pairs one is the wrong way round
    assert s["known_kept"] == pytest.approx(3 / 4)
    assert s["unknown_rejected"] == pytest.approx(1 / 2)
    assert s["open_set_threshold"] == 0.45


def test_the_threshold_keeps_95_percent_of_what_it_was_made_from():
    known = torch.rand(1000, generator=torch.Generator().manual_seed(0))
    assert float((known >= threshold(known)).float().mean()) == pytest.approx(0.95, abs=1e-3)
    assert threshold(torch.tensor([0.5])) == 0.5


def test_background_is_no_answer_to_be_confident_in():
    probability = torch.tensor([[0.1, 0.2, 0.7], [0.6, 0.3, 0.1]])
    torch.testing.assert_close(confidence(probability, ["a", "b", "background"]), torch.tensor([0.2, 0.6]))
    torch.testing.assert_close(confidence(probability, ["a", "b", "c"]), torch.tensor([0.7, 0.6]))
