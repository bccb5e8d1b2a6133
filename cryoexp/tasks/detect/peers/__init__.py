"""Other ways to find particles, to be compared with a trained network; none of them is needed for `task=detect`.

`blobs`: difference of Gaussians. `turned` and `correlate`: template matching. `deepfinder`: a program of its own.
`tuning`: the free numbers of each, chosen on validation, and the scores.
"""
