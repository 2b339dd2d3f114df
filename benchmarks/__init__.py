"""Programs that measure what amoc costs: one question each, answered for the machine they run on.

    python -m benchmarks                            what there is
    python -m benchmarks run users --json a.json    run some of them, or all, and keep the figures
    python -m benchmarks compare a.json b.json      ratios of two such files, with their spread
    python -m benchmarks.users --users 500000       one of them, with arguments of its own

A program is a module with a `main()` and with `SHORT`, the arguments that let it end within a few
seconds: that is how it is found, listed and tested. `NEEDS` names other programs without which it
is left out. It says what it has found through `benchmarks.outcome`.
What users run is in modules that end in `_scenario`.
"""
