// The functions of stack.c in the version that VERSION names.
__attribute__((noinline)) long first(void) { __asm__ volatile("" : : : "memory"); return VERSION; }
__attribute__((noinline)) long second(void) { __asm__ volatile("" : : : "memory"); return VERSION; }
long both(void) { return first() * 1000 + second(); }
long alone(void) { __asm__ volatile("" : : : "memory"); return VERSION; }
