// A server with threads, for hooks and shadow data. With PATCHED it is the
// fixed one; HOOK says what its hooks do.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct account { long balance; };

struct account accounts[4] = {{10}, {20}, {30}, {40}};
volatile long events, rounds, wrong;

#ifdef PATCHED
#include <syscare.h>

// What a fix would have made a member of struct account.
#define WITHDRAWALS 1

static int before(void)
{
	events = events * 10 + 1;
#if HOOK == 1
	return 7;
#elif HOOK == 2
	return *(volatile int *)8;
#elif HOOK == 3
	for (struct timespec t = {0, 600 * 1000 * 1000}; nanosleep(&t, &t);)
		;
	events = events * 10 + 9;
#endif
	return 0;
}
static int done(void) { events = events * 10 + 2; return 0; }
static int leaving(void) { events = events * 10 + 3; return 1; } // logged only
static int left(void)
{
	double d = events; // uses registers that it need not keep
	events = (long)(d * 10 + 4);
	return write(1, "", 0) != 0;
}

SYSCARE_PRE_APPLY(before);
SYSCARE_POST_APPLY(done);
SYSCARE_PRE_REMOVE(leaving);
SYSCARE_POST_REMOVE(left);
#endif

__attribute__((noinline)) long withdraw(struct account *a, long amount)
{
	a->balance -= amount;
#ifdef PATCHED
	long *count = syscare_shadow_attach(a, WITHDRAWALS, sizeof *count);
	++*count;
	return a->balance * 1000 + *count;
#else
	return a->balance;
#endif
}

// Keeps values in registers of all kinds and looks whether they stay.
static void *work(void *arg)
{
	double d = 1.5, e = 2.5;
	long a = 0x1111, b = 0x2222;
	for (long i = 0;; i++, rounds++) {
		for (int k = 0; k < 1000; k++)
			__asm__ volatile("" : "+r"(a), "+r"(b), "+x"(d), "+x"(e));
		if (a != 0x1111 || b != 0x2222 || d != 1.5 || e != 2.5)
			wrong++;
		if (arg)
			usleep(100);
	}
	return 0;
}

int main(void)
{
	pthread_t t;
	for (long i = 0; i < 3; i++)
		pthread_create(&t, 0, work, (void *)i);
	setvbuf(stdout, 0, _IOLBF, 0);
	puts("ready");
	char line[64];
	while (fgets(line, sizeof line, stdin)) {
		if (!strncmp(line, "withdraw", 8)) printf("%ld\n", withdraw(&accounts[line[9] - '0'], 1));
		else if (!strcmp(line, "events\n")) { printf("%ld\n", events); events = 0; }
		else if (!strcmp(line, "wrong\n")) printf("%ld\n", wrong);
		else printf("%ld\n", rounds);
	}
	return 0;
}
