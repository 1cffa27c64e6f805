// 64 threads at full load: most move money between accounts, whose sum stays
// the same; some are in system calls, none of which may end with EINTR.
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { ACCOUNTS = 97, START = 1000, MOVERS = 56 };

volatile long errors, rounds, last, ready;
long accounts[ACCOUNTS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

// In both versions as much goes away as arrives.
__attribute__((noipa)) void move(int from, int to, long amount) { accounts[from] -= amount; accounts[to] += amount; last = 1; }
__attribute__((noipa)) long fee(long amount) { __asm__ volatile("" : : : "memory"); return amount / 10; }

static void *mover(void *arg) {
	unsigned seed = (unsigned)(long)arg;
	for (;;) {
		int from = rand_r(&seed) % ACCOUNTS, to = rand_r(&seed) % ACCOUNTS;
		long amount = rand_r(&seed) % 100;
		pthread_mutex_lock(&lock);
		move(from, to, amount);
		long part = fee(amount), sum = 0;
		if (part != amount / 10) errors++;
		move(to, from, part);
		if (rand_r(&seed) % 64 == 0) {
			for (int i = 0; i < ACCOUNTS; i++) sum += accounts[i];
			if (sum != (long)ACCOUNTS * START) errors++;
		}
		rounds++;
		pthread_mutex_unlock(&lock);
	}
	return 0;
}

static void *caller(void *arg) {
	int e = epoll_create1(0), pipes[2];
	struct epoll_event event;
	char c = 0;
	if (pipe(pipes)) abort();
	for (int i = 0;; i++) {
		struct timespec t = {0, 3000000};
		long r = 0;
		errno = 0;
		switch ((i + (long)arg) % 4) {
		case 0: r = poll(0, 0, 3); break;
		case 1: r = epoll_wait(e, &event, 1, 3); break;
		case 2: r = nanosleep(&t, 0); break;
		case 3: r = write(pipes[1], &c, 1) == 1 && read(pipes[0], &c, 1) == 1 ? 0 : -1; break;
		}
		if (r < 0) __atomic_add_fetch(&errors, 1000, 5);
	}
	return 0;
}

int main(void) {
	pthread_t t;
	for (int i = 0; i < ACCOUNTS; i++) accounts[i] = START;
	for (long i = 1; i < 64; i++) pthread_create(&t, 0, i < MOVERS ? mover : caller, (void *)i);
	ready = 1;
	mover((void *)99L);
}
