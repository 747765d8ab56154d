"""
Detectors of river and frouros with their defaults on the streams of drift_streams.py, in an environment of its own.

Prints a JSON object: by detector, alarms per 10,000 records of each quiet stream, delays after each change (null =
missed), microseconds a record and bytes of a pickle. A detector starts anew after its alarm.
"""

import json
import pickle
import sys
import time

import drift_streams
from frouros.detectors.concept_drift import ADWIN, CUSUM
from river import drift


class River:
    def __init__(self, kind, **options):
        self._make = lambda: kind(**options)
        self.inner = self._make()

    def update(self, value):
        self.inner.update(value)
        fired = self.inner.drift_detected
        if fired:
            self.inner = self._make()
        return fired


class Frouros:
    def __init__(self, kind):
        self.inner = kind()

    def update(self, value):
        self.inner.update(value=value)
        fired = self.inner.drift
        if fired:
            self.inner.reset()
        return fired


MAKERS = {
    "river ADWIN": (lambda: River(drift.ADWIN), 500_000, 40),
    "river PageHinkley": (lambda: River(drift.PageHinkley), 500_000, 40),
    "river KSWIN": (lambda: River(drift.KSWIN, seed=1), 20_000, 0),
    "frouros ADWIN": (lambda: Frouros(ADWIN), 100_000, 10),
    "frouros CUSUM": (lambda: Frouros(CUSUM), 200_000, 20),
}


def main() -> None:
    found = {}
    for name, (make, records, repeats) in MAKERS.items():
        print(name, file=sys.stderr, flush=True)
        alarms, spent = {}, 0.0
        for stream in drift_streams.QUIET:
            detector = make()
            values = drift_streams.quiet(stream, records).tolist()
            began = time.process_time()
            alarms[stream] = sum(detector.update(value) for value in values) / records * 10_000
            spent += time.process_time() - began
        delays = {}
        for change in drift_streams.CHANGES if repeats else ():
            delays[change] = []
            for repeat in range(repeats):
                detector = make()
                fired = [
                    place
                    for place, value in enumerate(drift_streams.changed(change, repeat).tolist())
                    if detector.update(value)
                ]
                late = [place - drift_streams.BEFORE + 1 for place in fired if place >= drift_streams.BEFORE]
                delays[change].append(late[0] if late else None)
        microseconds = spent / (records * len(drift_streams.QUIET)) * 1e6
        found[name] = {
            "records": records,
            "alarms": alarms,
            "delays": delays,
            "us": microseconds,
            "bytes": len(pickle.dumps(detector.inner)),
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
