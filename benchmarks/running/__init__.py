"""The machinery of the benchmarks, from the bottom up.

harness     the benchmarks that there are; timing; results that say where they come from
identity    the code that a study's cells depend on
study       a study and its cells
cell        one cell, run
finished    the files of finished cells
table       what is stored of a study for the book
places      where cells run: processes of this machine
cluster     or the workers of a Dask cluster
sweep       all missing cells of a study, run and stored
"""
