"""The library's store of one device, seen from the supervisor: what changed in it, snapshots, rebuilding.

The supervisor reads the SQLite file that a cell's process writes; it never loads the library. Triggers of ours in the file
note which rows have changed (`notes`), captured rows travel as msgpack (`encoding`), and a file is made from them again
(`rebuilding`).
"""

from keepline_connector.session_file.sqlite_file import SqliteSessionFile

__all__ = ["SqliteSessionFile"]
