"""Evidence that a share is above what is allowed: one row of `detectors.drift.rate`, in plain numbers."""

from math import exp, log, log1p

from detectors.drift.odds import BETS, MOST_PER_TICK, ladder, log_odds


class _Track:
    """One bet: what it won, and where its newest run began."""

    __slots__ = ("base_n", "base_sum", "bet", "cusum", "evidence", "onset")

    def __init__(self, bet: float) -> None:
        self.bet = bet
        self.evidence = 0.0
        self.cusum = 0.0
        self.onset = 0.0
        self.base_sum = 0.0
        self.base_n = 0.0


class Evidence:
    """
    Of the band [0, `allowed`], whose lower side nothing can leave: 10 bets on the upper one. What `rate.Tracks` says of
    such a row, and its promise: E[alarms in T ticks] <= T / `limit`, whatever depends on what.

    :param allowed: share, above 0 and below 1
    :param limit: ticks in which one alarm without cause is accepted, above 1
    """

    def __init__(self, allowed: float, limit: float) -> None:
        self._allowed = allowed
        self._limit = limit
        self._tracks = tuple(_Track(bet / allowed) for bet in ladder(allowed))
        self._best = self._tracks[0]
        self._sum = 0.0
        self._n = 0.0
        self._odds = 0.0

    @property
    def score(self) -> float:
        """Logarithm of the evidence by that of the limit; 1 or more at an alarm, not below 0."""
        return log_odds(self._odds) / log(self._limit)

    def flags(self, up: float, n: float, at: float) -> bool:
        """
        A tick of n flags, of which so many were up.

        :param at: unix seconds at which it began
        :return: whether it alarms; evidence then begins anew
        """
        down = n - up
        return self._tick(
            [
                down * log1p(-self._allowed * track.bet) + up * log1p((1 - self._allowed) * track.bet)
                for track in self._tracks
            ],
            up, n, at,
        )  # fmt: skip

    def share(self, value: float, at: float) -> bool:
        """A tick with one observation in [0, 1], else as `flags`."""
        return self._tick([log1p((value - self._allowed) * track.bet) for track in self._tracks], value, 1.0, at)

    def since_onset(self) -> tuple[float, float, float]:
        """Of the bet that won most: unix seconds of the onset, sum of what was seen since, and how many."""
        return self._best.onset, self._sum - self._best.base_sum, self._n - self._best.base_n

    def _tick(self, added: list[float], total: float, n: float, at: float) -> bool:
        won = 0.0
        for track, more in zip(self._tracks, added, strict=True):
            if track.cusum <= 0:
                track.cusum, track.onset, track.base_sum, track.base_n = 0.0, at, self._sum, self._n
            track.cusum += more
            track.evidence = (track.evidence + 1.0) * exp(min(more, MOST_PER_TICK))
            won += track.evidence
        self._sum += total
        self._n += n
        self._odds = won / BETS
        self._best = max(self._tracks, key=lambda track: track.evidence)
        if self._odds < self._limit:
            return False
        for track in self._tracks:
            track.evidence = track.cusum = 0.0
        return True
