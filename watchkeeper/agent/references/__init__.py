"""
References on disk: proposed from observations, approved by a person, and told in a journal. See docs/drift.md.

One folder. `<id>.json` is a reference as `Pack.encode` writes it, with its approval where it has one; `journal.jsonl`
tells who did what, when and why (`journal`). A folder of references alone, as a mounted ConfigMap is, reads as well.

`store.References` is what the agent reads; `command` is what `watchkeeper reference` does.
"""
