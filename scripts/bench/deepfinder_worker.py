"""DeepFinder's programs train, segment and cluster, which its wheel 0.2.1 names but lacks; see detect_peers.py.

    <python of DeepFinder's environment> -I scripts/bench/deepfinder_worker.py train -p settings.xml
    … segment -t tomogram.mrc -w weights.h5 -c <classes> -p <patch> -o labels.mrc
    … cluster -l labels.mrc -r <radius> -o objects.xml

The arguments are those of its manual. DeepFinder is GPL-3: this file imports nothing of cryoexp, and nothing of cryoexp
imports this file.
"""

import argparse
import sys

import numpy as np
from deepfinder.inference import Cluster, Segment  # type: ignore[import-not-found]
from deepfinder.training import Train  # type: ignore[import-not-found]
from deepfinder.utils import common, objl, params, smap  # type: ignore[import-not-found]


def train(given: argparse.Namespace) -> None:
    """Train as an XML file says."""
    said = params.ParamsTrain()
    said.read(given.p)
    job = Train(Ncl=said.Ncl, dim_in=said.psize)
    job.path_out = said.path_out
    job.batch_size, job.epochs = said.bsize, said.nepochs
    job.steps_per_epoch, job.steps_per_valid = said.steps_per_e, said.steps_per_v
    job.flag_direct_read, job.flag_batch_bootstrap = said.flag_direct_read, said.flag_bootstrap
    job.Lrnd = said.rnd_shift
    job.launch(said.path_tomo, said.path_target, objl.read(said.path_objl_train), objl.read(said.path_objl_valid))


def segment(given: argparse.Namespace) -> None:
    """Label a tomogram."""
    job = Segment(Ncl=given.c, path_weights=given.w, patch_size=given.p)
    scores = job.launch(common.read_array(given.t))
    common.write_array(smap.to_labelmap(scores).astype(np.int8), given.o)


def cluster(given: argparse.Namespace) -> None:
    """Turn a label map into a list of objects, which is empty where nothing is labelled: its clustering would fail."""
    labels = common.read_array(given.l)
    found = Cluster(clustRadius=given.r).launch(labels) if labels.any() else []
    objl.write(found, given.o)


OPTIONS: dict[str, dict[str, type]] = {
    "train": {"p": str},
    "segment": {"t": str, "w": str, "c": int, "p": int, "o": str},
    "cluster": {"l": str, "r": int, "o": str},
}

if __name__ == "__main__":
    name, *rest = sys.argv[1:]
    parser = argparse.ArgumentParser(name)
    for letter, kind in OPTIONS[name].items():
        parser.add_argument(f"-{letter}", type=kind, required=True)
    {"train": train, "segment": segment, "cluster": cluster}[name](parser.parse_args(rest))
