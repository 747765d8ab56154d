"""Where an engine's page is looked for, in which order, and where never again."""

from collections.abc import Sequence

from collector._pages.fault import Fault, Refused
from collector.engines.table import Table


class Paths:
    """
    The path where the page was last is tried first; else the operator's; else those of the known engines.

    One engine's JSON loses, by being read, what it tells: the page of that engine is looked for first, and once the
    JSON was met, its path is left alone until something else may listen there.

    :param fixed: the operator's path, empty when none was given
    """

    def __init__(self, fixed: str, tables: Sequence[Table]) -> None:
        self._fixed = fixed
        careful = [table for table in tables if table.consumed]
        self._known = tuple(dict.fromkeys(path for table in (*careful, *tables) for path in table.paths))
        self._consumed = {path: table for table in careful for path in table.consumed}
        self._proven = ""
        self._shunned: dict[str, Refused] = {}

    @property
    def current(self) -> str:
        """For the operator to read: where the page is; empty while it is not known."""
        return self._proven or self._fixed

    def candidates(self) -> tuple[str, ...]:
        """In the order in which to try them."""
        wanted = self._known if not self._fixed or self._fixed in self._shunned else (self._fixed,)
        ordered = dict.fromkeys((self._proven, *wanted) if self._proven else wanted)
        return tuple(path for path in ordered if path not in self._shunned)

    def is_proven(self, path: str) -> bool:
        return path == self._proven

    def found(self, path: str) -> None:
        self._proven = path

    def shun(self, path: str, body: bytes) -> Refused | None:
        """What is wrong, if this answer of `path` is the kind that reading removes."""
        table = self._consumed.get(path)
        if table is None or path == self._proven or not body.lstrip().startswith(b"["):
            return None
        detail = (
            f"{path} answers a list in JSON, as {table.title} does, and reading it removes what it holds: it is left "
            f"alone from now on. Its metrics page is {' or '.join(table.paths)}: {table.switch_on}"
        )
        self._shunned[path] = Refused(Fault.OFF, detail, engine=table.title)
        return Refused(Fault.OFF, detail, engine=table.title)  # another one: raised, it holds on to the answer

    def shunned(self) -> tuple[Refused, ...]:
        return tuple(self._shunned.values())

    def forget(self) -> None:
        """Nobody was there: whoever answers next may be somebody else."""
        self._proven = ""
        self._shunned.clear()
