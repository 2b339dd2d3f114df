"""Programs that measure what amoc costs. Each answers one question, for the machine it runs on.

    python -m benchmarks                            list the programs
    python -m benchmarks run users --json a.json    run some or all of them, and keep the figures
    python -m benchmarks compare a.json b.json      ratios of two such files, with their spread
    python -m benchmarks.users --users 500000       one program, with its own arguments

A program is a module with a `main()` and with `SHORT`, the arguments with which it ends within a
few seconds. By these it is found, listed and tested. `NEEDS` names other programs without which it
is left out. It reports its figures through `benchmarks.outcome`.
Scenarios are in modules that end in `_scenario`.
"""
