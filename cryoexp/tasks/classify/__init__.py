"""Name the macromolecule in a subtomogram."""

from cryoexp.tasks.classify.module import Classify

__all__ = ["Classify"]
