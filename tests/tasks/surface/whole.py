"""The smallest training of the task."""

from tests.data.test_sxt import SMALL

TINY = [
    "task=surface",
    *SMALL,
    "dataset.patch=[1,32,32]",
    "dataset.patches=4",
    "dataset.batch_size=2",
    "model.width=2",
    "task.window=[1,48,48]",
    "trainer=debug",
    "trainer.threads=1",
]
