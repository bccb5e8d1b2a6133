"""``python -m cryoexp`` is ``python train.py``."""

from cryoexp.cli import main

if __name__ == "__main__":
    main()
