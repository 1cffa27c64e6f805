// New code with a new helper that stays on the stack.
extern void pause_ms(long);
__attribute__((noinline)) static long helper(long ms) { pause_ms(ms); return 1; }
long slow(long ms) { return helper(ms) + 1; }
