"""New scenes while training: the simulator feeds the network from memory."""

from typing import Any

import torch
from torch import Tensor

from cryoexp.errors import ConfigError
from cryoexp.physics.noise import noise_sigma, variance
from cryoexp.seeds import torch_generator
from cryoexp.simulate.subtomograms import Scenes, SubtomogramSimulator


def online_share(online: Any) -> float:
    """Return the share of the training items that are simulated anew in every epoch.

    Raises:
        ConfigError: neither true, false nor a share.
    """
    if isinstance(online, bool | int | float) and 0 <= online <= 1:
        return float(online)
    raise ConfigError(f"dataset.online={online}: give true, false, or the share of items that are new, 0 to 1")


class OnlineScenes:
    """Replace a share of the items of a batch by new boxes of the same class.

    What an item gets is a function of (seed, epoch, item) alone: not of the batch, nor of the process that draws it.

    Args:
        simulator: of the dataset.
        share: of the items.
        seed: of the run.
        background: id of the class without a target, or -1.
        over_mask: whether the variance of the signal is taken over the target; otherwise over the box.
        noise_gain: variance of the noise over Var(S) / SNR.
        snr: of the data.
    """

    def __init__(
        self,
        simulator: SubtomogramSimulator,
        *,
        share: float,
        seed: int,
        background: int,
        over_mask: bool,
        noise_gain: float,
        snr: float,
    ) -> None:
        self.simulator, self.share, self.seed, self.background = simulator, share, seed, background
        self.over_mask, self.noise_gain, self.snr = over_mask, noise_gain, snr

    def renew(self, signal: Tensor, sigma: Tensor, labels: Tensor, empty: Tensor, items: Tensor, epoch: int) -> None:
        """Replace signal and strength of the noise of some items, in place.

        Args:
            signal: `(b, z, y, x)`.
            sigma: `(b,)` of the noise; that of background stays, it is the same for all.
            labels: `(b,)` classes.
            empty: `(b,)` bool, background without any target.
            items: `(b,)` numbers.
            epoch: from 0.
        """
        chosen, drawn = [], []
        for i, item in enumerate(items.tolist()):
            generator = torch_generator(self.seed, "scene", item, epoch)
            if torch.rand((), generator=generator) < self.share:
                chosen.append(i)
                drawn.append(self._draw(labels[i : i + 1], empty[i : i + 1], generator))
        if not chosen:
            return
        scenes = Scenes(
            *(torch.cat(p) for p in zip(*((s.classes, s.rotations, s.centres) for s in drawn), strict=True))
        )
        new = self.simulator.image(scenes)
        power = variance(new, self.simulator.support(scenes) if self.over_mask else None)
        own = noise_sigma(power * self.noise_gain, self.snr).to(sigma)
        signal[chosen] = new
        sigma[chosen] = torch.where(labels[chosen] == self.background, sigma[chosen], own)

    def _draw(self, label: Tensor, empty: Tensor, generator: torch.Generator) -> Scenes:
        if int(label) == self.background:
            return self.simulator.background(empty, generator)
        return self.simulator.scenes(label, generator)
