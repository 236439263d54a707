"""The asynchronous client. ``posthorn.sync`` is generated from this package; see ``sdk/python/generate_sync.py``."""
