"""
Drift: has a signal left the band around its approved reference? With a stated bound on false alarms. See docs/drift.md.

This package is arithmetic: no clock, no I/O, no unseeded randomness. Times are unix seconds handed in. What wires it to
traffic does the following.

1. A signal is a stream of one kind (`kinds.Kind`): a flag, a share in [0, 1], a number, a category; per segment, in a
   unit that is as good as independent. Check results, token counts, latencies, finish reasons are such streams.
2. Its reference: `packs.build(signal, kind, observations, made_at=, times=, plan=)` proposes one,
   `Pack.approved(by, at, why)` adds a person's word, `Pack.encode` and `packs.decode` store and load it; the hash is
   verified. No detector learns a reference from what it judges. A signal without a reference is `warming`.
3. Its share: `shares.divide(names, before)`, anew with every detector that comes or goes. A `Watch` and a `Block` of
   one signal have a share each. A, the horizon, is `odds.horizon(tick_seconds)`, the ticks in 30 days.
4. One signal in one process: `watch.Watch(pack, share, horizon)`; `update(value, now)` gives the verdict,
   `crossings` what alarmed in that call, `effects()` readable numbers for gauges.
   Many signals, or counts of replicas: `bank.Bank([Watched(pack, share), ...], horizon)`; `ticks.OpenTick` fills a tick
   (bin by `Pack.bin`), `ticks.Merger` adds up what replicas send, each record once, and says by the records alone when
   a tick is over, and `Bank.tick({place: counts}, at)` takes all that is due of one tick and returns what crossed.
   Dependent or seasonal streams: `block.Block(pack, share, horizon)`, with `horizon(pack.block_seconds)`.
5. A `verdicts.Crossing` is the evidence of a finding: score, onset, odds, effect, band, reference, share. A finding is
   due when the verdict's state becomes `alarm`; crossings go on while the change lasts.
6. `state()` and `restore()` (`Bank`, `Watch`, `Block`, `Merger`) before a stop and after a start. `state.ForeignState`
   means that reference, share or horizon is another one: begin without. Never reset evidence on a deploy.
7. For the page and reports: `distances` from `Pack.strata[...].counts` and the window's, `report.PeriodEvidence` fed by
   `Bank.added` each tick, `report.drifted` for the list of segments. Prometheus merges bins by itself: export the
   counts of `OpenTick` as counters, every bin from 0.

A changed reference starts new evidence, and is worth a finding of its own.
"""
