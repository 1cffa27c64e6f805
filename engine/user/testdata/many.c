// A program with a hundred functions. VERSION makes it the patch of them.
#include <unistd.h>

#ifndef VERSION
volatile long errors, rounds, last, ready;
#define VERSION 0
#define MAIN
#endif

#define F(n) __attribute__((noipa)) long f##n(void) { __asm__ volatile("" : : : "memory"); return VERSION + n * 1000; }
#define TEN(n) F(n##0) F(n##1) F(n##2) F(n##3) F(n##4) F(n##5) F(n##6) F(n##7) F(n##8) F(n##9)
TEN(1) TEN(2) TEN(3) TEN(4) TEN(5) TEN(6) TEN(7) TEN(8) TEN(9) TEN(10)

#ifdef MAIN
int main(void) {
	ready = 1;
	for (;;) {
		last = f10();
		rounds++;
		usleep(500);
	}
}
#endif
