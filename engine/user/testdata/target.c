// A program whose functions are replaced while threads call them; it checks
// that every result is the old or the new one and that no register is lost.
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

__thread long counter = 41;
__thread char more[100];
volatile long errors, rounds, last, last_tls, last_err, last_slow, last_fact, ready;
int hidden = 7;

__attribute__((noinline)) int compute(int x) { __asm__ volatile("" : : : "memory"); return x * 2 + hidden - 6; }
__attribute__((noinline)) long tls_get(void) { __asm__ volatile("" : : : "memory"); return counter + (long)more[3]; }
__attribute__((noinline)) void *free_ptr(void) { __asm__ volatile("" : : : "memory"); return (void *)free; }
__attribute__((noinline)) int err_no(void) { __asm__ volatile("" : : : "memory"); return fileno(stderr); }
__attribute__((noinline)) long fact(long n) { __asm__ volatile("" : "+r"(n)); return n < 2 ? 1 : n * fact(n - 1) + 0 * hidden; }
__attribute__((noinline)) void pause_ms(long ms) { struct timespec t = {ms / 1000, ms % 1000 * 1000000}; nanosleep(&t, 0); }
__attribute__((noinline)) long slow(long ms) { pause_ms(ms); return hidden - 6; }
__attribute__((noinline)) void forever(void) { for (;;) { pause_ms(20); rounds++; } }
__attribute__((noinline)) void spin(void) { rounds++; for (;;) rounds++; }

// How a thread spends its time between calls: not at all, in short sleep, in
// code that is not patched, or in long sleep.
enum { BUSY, CALM, MIXED, IDLE };

static void *work(void *arg) {
	double d = 1.5;
	unsigned long a = 0x1111, b = 0x2222, c = 0x3333, e = 0x4444, f = 0x5555;
	for (int i = 0;; i++) {
		int r = compute(i);
		if (r != i * 2 + 1 && r != i * 2 + 1000) __atomic_add_fetch(&errors, 1, 5);
		long t = tls_get();
		if (t != 41 && t != 1041) __atomic_add_fetch(&errors, 1, 5);
		if (free_ptr() != (void *)free) __atomic_add_fetch(&errors, 1, 5);
		long n = fact(6);
		if (n != 720 && n != 1720) __atomic_add_fetch(&errors, 1, 5);
		__asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(e), "+r"(f), "+x"(d));
		if (a != 0x1111 || b != 0x2222 || c != 0x3333 || e != 0x4444 || f != 0x5555 || d != 1.5) __atomic_add_fetch(&errors, 1, 5);
		last = r - i * 2; last_tls = t; last_err = err_no(); last_fact = n; rounds++;
		if ((long)arg == CALM) usleep(500);
		if ((long)arg == IDLE) usleep(1000000);
		if ((long)arg == MIXED) for (int k = 0; k < 5000; k++) __asm__ volatile("" : "+r"(k));
	}
	return 0;
}

static void *slowly(void *arg) { for (;;) { last_slow = slow((long)arg); rounds++; usleep(2000); } return 0; }

int main(int argc, char **argv) {
	pthread_t t;
	int n = argc > 2 ? atoi(argv[2]) : 1;
	void *heap = malloc(1 << 20);
	memset(heap, 1, 1 << 20);
	ready = 1;
	if (!strcmp(argv[1], "forever")) forever();
	if (!strcmp(argv[1], "spin")) spin();
	if (!strcmp(argv[1], "slow")) slowly((void *)(long)n);
	void *how = (void *)(long)(!strcmp(argv[1], "calm") ? CALM : !strcmp(argv[1], "mixed") ? MIXED : !strcmp(argv[1], "idle") ? IDLE : BUSY);
	for (int i = 1; i < n; i++) pthread_create(&t, 0, work, how);
	work(how);
}
