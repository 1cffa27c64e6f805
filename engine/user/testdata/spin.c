// New code of a function that never returns and never rests.
void spin(void) {}
