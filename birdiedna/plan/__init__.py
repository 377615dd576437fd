"""Many runs on a borrowed accelerator: prepared here, worked off there in slices, collected here.

    <plan>/plan.json        every run with its full config, in order; checksums of the data
    <plan>/genome.npz       base ids; tasks/<task>.npz: rows as the models read them, without names
    <plan>/data.json        what figures say of the data
    <plan>/runs/<run>/      run folders, finished or `.partial`
    <plan>/compiled/        programs that one slice compiled, kept for the next
    <plan>/failures.json    runs that cannot be finished, and why

`prepare` reads FASTA and tables. `work`, `status` and `collect` need the training core and numpy.
"""
