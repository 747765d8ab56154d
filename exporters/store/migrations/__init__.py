"""The order of revisions, oldest first. What they do is in `versions/`; nothing there changes once it is released."""

from typing import Final

REVISIONS: Final = ("0001", "0002")
"""a database that names another one was made by a newer watchkeeper"""
