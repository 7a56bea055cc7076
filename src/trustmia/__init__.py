"""Can a membership inference attack be trusted? Attacks, pipeline and audits."""

__version__ = "0.1.0"
