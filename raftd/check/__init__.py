"""The judge of histories: is there one order of these operations that explains every answer?

    python -m raftd.check history.jsonl

reads what any harness recorded (docs/history-format.md), of raftd or of another store. From a
program:

    from raftd.check.history import read
    from raftd.check.judge import judge

    with open("history.jsonl") as lines:
        verdict = judge(read(lines))
    print("\\n".join(verdict.lines()))

operations.py is what a history is made of, history.py and writing.py its lines, model.py the store
that it is held against, search.py and revisions.py the two checks, window.py finds the few
operations that show a fault. Nothing else of raftd is imported.
"""
