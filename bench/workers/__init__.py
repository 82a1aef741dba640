"""Programs that do the dispatcher's bare job, to be measured beside it.

Know nothing of the dispatcher, nor of who measures: topics and addresses come as `BENCH_` variables
of the environment.
"""
