"""Why a job is where it is: rules, by the part of a job's life that they know about.

Every rule is a pure function State -> Finding | None. `launcher/diagnosis/rules.py` asks them in
order.
"""
