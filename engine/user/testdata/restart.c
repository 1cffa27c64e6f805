// Counts EINTR and early returns of system calls in progress.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

volatile long errors, rounds, ready, last;
__attribute__((noinline)) int compute(int x) { __asm__ volatile("" : : : "memory"); return x * 2 + 1; }
static void count(long r) { if (r < 0 && errno == EINTR) __atomic_add_fetch(&errors, 1, 5); rounds++; last = compute(0); }
static void *f_epoll(void *a) { int e = epoll_create1(0); struct epoll_event ev; for (;;) count(epoll_wait(e, &ev, 1, 30)); }
static void *f_sleep(void *a) {
	for (;;) {
		struct timespec t = {0, 30000000}, b, e;
		clock_gettime(CLOCK_MONOTONIC, &b);
		count(nanosleep(&t, 0));
		clock_gettime(CLOCK_MONOTONIC, &e);
		if ((e.tv_sec - b.tv_sec) * 1000000000L + e.tv_nsec - b.tv_nsec < 30000000) __atomic_add_fetch(&errors, 1000, 5);
	}
}
static void *f_poll(void *a) { for (;;) count(poll(0, 0, 30)); }
static void *f_futex(void *a) { int w = 0; for (;;) { struct timespec t = {0, 30000000}; count(syscall(SYS_futex, &w, FUTEX_WAIT, 0, &t, 0, 0)); } }
static void *f_read(void *a) { int p[2]; char c; if (pipe(p)) abort(); for (;;) count(read(p[0], &c, 1)); }
static void *f_accept(void *a) {
	int s = socket(AF_INET, SOCK_STREAM, 0);
	struct timeval tv = {0, 30000};
	setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
	listen(s, 1);
	for (;;) count(accept(s, 0, 0));
}
static void *f_sem(void *a) {
	int id = semget(IPC_PRIVATE, 1, 0600);
	struct sembuf b = {0, -1, 0};
	for (;;) { struct timespec t = {0, 30000000}; count(semtimedop(id, &b, 1, &t)); }
}
static void *f_sig(void *a) { sigset_t s; sigemptyset(&s); sigaddset(&s, SIGUSR1); for (;;) { struct timespec t = {0, 30000000}; count(sigtimedwait(&s, 0, &t)); } }
static void *f_ppoll(void *a) { sigset_t s; sigfillset(&s); for (;;) { struct timespec t = {0, 30000000}; count(ppoll(0, 0, &t, &s)); } }

int main(void) {
	void *(*f[])(void *) = {f_sleep, f_poll, f_futex, f_read, f_accept, f_sem, f_sig, f_ppoll};
	sigset_t s; sigemptyset(&s); sigaddset(&s, SIGUSR1); sigprocmask(SIG_BLOCK, &s, 0);
	pthread_t t;
	for (unsigned i = 0; i < sizeof f / sizeof *f; i++) pthread_create(&t, 0, f[i], 0);
	ready = 1;
	f_epoll(0);
}
