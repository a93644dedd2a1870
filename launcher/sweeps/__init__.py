"""Many runs that differ in a few settings: planned, run some at a time, compared, as one."""
