# Generated from posthorn/aio by generate_sync.py; do not edit.
"""The client that blocks until its answer is there."""
