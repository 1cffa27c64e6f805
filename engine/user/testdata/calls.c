// A program that calls one function all the time.
volatile long errors, rounds, last, ready;

#ifdef NEW
__attribute__((noipa)) long called(long x) { return x + 2; }
#else
__attribute__((noipa)) long called(long x) { __asm__ volatile("" : : : "memory"); return x + 1; }
#endif

#ifndef PATCH
int main(void) {
	ready = 1;
	for (;;) {
		last = called(last);
		rounds++;
	}
}
#endif
