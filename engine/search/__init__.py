"""Search for parameters: trials as jobs on an executor, and the registry of all that were tried.

jobs.py          what a trial is, and what comes of it: the structs that files and workers exchange
running.py       one trial in this process
forkserver.py    a process that has read the days and forks a child for each trial
workers.py       where an executor runs a job: hands it to the fork server of this process
executors.py     the executors by name: local processes, Dask, Ray, any factory
axes.py          the values of each parameter and the points of their grid
proposals.py     which trial comes next: grid, random, Optuna
registry.py      the folder of a sweep: its definition and one line for each trial
ranking.py       which trial is best, or why none can be ranked
overfitting.py   whether choosing is overfitting: PBO by CSCV, neighbours
bootstrap.py     block bootstraps of daily returns
folds.py         the pieces of a walk-forward
forward.py       walk-forward: trainings, and the joined run out of sample
luck.py          whether the best trial may be luck, in words
sweeping.py      runs a sweep to its end, or goes on with one
page.py          a sweep as one file of HTML; `coordinates.py` draws its parallel coordinates
environment.py   what numbers depend on besides code: Python, libraries, processor
"""
