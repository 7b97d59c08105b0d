"""What every room stands on: checks, whole files, checkpoints, the bar of a long loop."""
