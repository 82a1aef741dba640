"""Scenes of issue-sized length under virtual time: hours of a provider's trouble in seconds.

Each is one test: the real pipeline in one world (tests/simulation/world.py) without random faults,
and a provider that does as the scene says. The oracle watches every one of them.
"""
