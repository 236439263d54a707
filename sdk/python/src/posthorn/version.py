"""The version of this package, which is that of Posthorn."""

__version__ = "0.1.0"
