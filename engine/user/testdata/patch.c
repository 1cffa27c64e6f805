// The new code of target.c: calls, a COPY-relocated variable, a thread-local
// one, an address taken, recursion, new data and new read-only data.
#include <stdio.h>
#include <stdlib.h>

extern __thread long counter;
extern __thread char more[100];
extern int hidden;
extern void pause_ms(long);
static int calls = 5;
static const int table[4] = {999, 998, 997, 996};

int compute(int x) { calls++; return x * 2 + table[calls & 0] + hidden - 6; }
long tls_get(void) { return counter + 1000 + more[3]; }
void *free_ptr(void) { return (void *)free; }
int err_no(void) { return fileno(stderr) + 100; }
__attribute__((noinline)) static long inner(long n) { __asm__ volatile("" : "+r"(n)); return n < 2 ? 1 : n * inner(n - 1); }
long fact(long n) { return inner(n) + 1000; }
