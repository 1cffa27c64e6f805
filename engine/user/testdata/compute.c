// New code of compute in restart.c, which has no variable to use.
int compute(int x) { return x * 2 + 1000; }
