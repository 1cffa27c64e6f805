// A program whose functions several patches replace. The two halves of both's
// result are always of one version.
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

volatile long errors, rounds, last, last_alone, ready;

__attribute__((noinline)) long first(void) { __asm__ volatile("" : : : "memory"); return rounds < 0 ? 5 : 0; }
__attribute__((noinline)) long second(void) { __asm__ volatile("" : : : "memory"); return rounds < 0 ? 6 : 0; }
__attribute__((noinline)) long both(void) { return first() * 1000 + second() + (rounds < 0); }
__attribute__((noinline)) long alone(void) { __asm__ volatile("" : : : "memory"); return rounds < 0 ? 7 : 0; }

static void *work(void *arg) {
	for (;;) {
		long r = both();
		if (r / 1000 != r % 1000) __atomic_add_fetch(&errors, 1, 5);
		last = r % 1000;
		last_alone = alone();
		rounds++;
		if (arg) usleep(300);
	}
	return 0;
}

int main(int argc, char **argv) {
	pthread_t t;
	ready = 1;
	for (int i = 1; i < atoi(argv[1]); i++) pthread_create(&t, 0, work, (void *)1L);
	work((void *)1L);
}
