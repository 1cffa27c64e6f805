// New code of a function that never returns.
void forever(void) {}
