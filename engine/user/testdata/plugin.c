// A library that says which code it runs: in its constructor, and when asked.
volatile int number = 1;
static int early;

__attribute__((noinline)) int answer(void) { __asm__ volatile("" : : : "memory"); return number * 1; }
__attribute__((constructor)) static void before(void) { early = answer(); }
int asked(void) { return early * 10 + answer(); }
