"""Learning tasks in cryo-EM, cryo-ET and soft X-ray tomography, from one config tree."""

__version__ = "0.1.0"
