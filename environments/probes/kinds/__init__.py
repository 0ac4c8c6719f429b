"""Probes as data, a module a subject. Texts may hold `{placeholders}`; `facts.py` fills them in."""
