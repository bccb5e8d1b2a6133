"""Train, test and report one experiment: ``python train.py task=classify model=cnn3d snr=0.03``."""

from cryoexp.cli import main

if __name__ == "__main__":
    main()
